package wire

import (
	"fmt"
	"math"
	"testing"

	"weir/telemetry"
)

// batch is a device's frame of n readings of four metrics.
func batch(n int) *telemetry.Batch {
	b := &telemetry.Batch{
		Device: "plant1/line3/press7", Session: "b7", Seq: 812, Ingest: 1_760_000_001_000_000,
		Readings: make([]telemetry.Reading, n),
	}
	names := []string{"temperature", "pressure", "vibration", "current"}
	for i := range b.Readings {
		b.Readings[i] = telemetry.Reading{
			Metric: names[i%4], Time: 1_760_000_000_000_000 + int64(i/4)*10_000, Value: 20 + float64(i)*0.37,
		}
	}
	return b
}

// flush is what a pipeline partition emits at once: n series, each with the given number of readings.
func flush(n int, readings uint64) []telemetry.Update {
	us := make([]telemetry.Update, n)
	for i := range us {
		v := telemetry.VersionOf(1_000_000+int64(i/4), i%4)
		x := 20 + float64(i)*0.37
		us[i] = telemetry.Update{
			Series: fmt.Sprintf("plant1/line3/press%d/temperature", i), Version: v, Since: v - 400<<telemetry.IndexBits,
			N: readings, FirstTime: 1_760_000_000_000_000 + int64(i)*100, LastTime: 1_760_000_000_000_000 + int64(i)*100,
			Last: x, Min: x, Max: x, Sum: x, Avg: x * 1.01 / 3, Lo: x * 0.97 / 3, Hi: x * 1.03 / 3, Score: 0.125 / 3,
			IngestTime: 1_760_000_000_001_000 + int64(i)*100,
		}
		if readings > 1 {
			us[i].LastTime += 8000
			us[i].Min, us[i].Max, us[i].Sum = x-0.5, x+0.25, x*float64(readings)
		}
	}
	return us
}

func perItem(b *testing.B, n int, bytes int) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/item")
	b.ReportMetric(float64(bytes)/float64(n), "B/item")
}

func BenchmarkReadingBatch(b *testing.B) {
	for _, n := range []int{1, 100} {
		in := batch(n)
		record := AppendReadingBatch(nil, in)
		b.Run(fmt.Sprintf("encode-%d", n), func(b *testing.B) {
			var dst []byte
			b.ReportAllocs()
			for b.Loop() {
				dst = AppendReadingBatch(dst[:0], in)
			}
			perItem(b, n, len(record))
		})
		b.Run(fmt.Sprintf("decode-%d", n), func(b *testing.B) {
			var c ReadingColumns
			b.ReportAllocs()
			for b.Loop() {
				if err := c.Unmarshal(record); err != nil {
					b.Fatal(err)
				}
			}
			perItem(b, n, len(record))
		})
	}
}

func BenchmarkUpdateBatch(b *testing.B) {
	for _, c := range []struct {
		rows     int
		readings uint64
	}{{1, 1}, {100, 1}, {100, 20}} {
		in := flush(c.rows, c.readings)
		record := AppendUpdateBatch(nil, 1_760_000_000_002_000, in)
		b.Run(fmt.Sprintf("encode-%d-n%d", c.rows, c.readings), func(b *testing.B) {
			var dst []byte
			b.ReportAllocs()
			for b.Loop() {
				dst = AppendUpdateBatch(dst[:0], 1_760_000_000_002_000, in)
			}
			perItem(b, c.rows, len(record))
		})
		b.Run(fmt.Sprintf("decode-%d-n%d", c.rows, c.readings), func(b *testing.B) {
			names := map[string]string{}
			intern := func(name []byte) string {
				s, ok := names[string(name)]
				if !ok {
					s = string(name)
					names[s] = s
				}
				return s
			}
			var dst []telemetry.Update
			b.ReportAllocs()
			for b.Loop() {
				var err error
				if dst, err = DecodeUpdateBatch(record, dst[:0], intern); err != nil {
					b.Fatal(err)
				}
			}
			perItem(b, c.rows, len(record))
		})
	}
}

func BenchmarkAppendRow(b *testing.B) {
	for _, c := range []struct {
		name   string
		modify func(*telemetry.Update)
	}{
		{"sensor", func(*telemetry.Update) {}},
		{"warming", func(u *telemetry.Update) { u.Avg, u.Lo, u.Hi, u.Score = math.NaN(), math.NaN(), math.NaN(), 0 }},
		{"full-precision", func(u *telemetry.Update) { u.Last, u.Min, u.Max, u.Sum = u.Last/3, u.Min/3, u.Max/3, u.Sum/3 }},
	} {
		u := flush(1, 20)[0]
		c.modify(&u)
		b.Run(c.name, func(b *testing.B) {
			var dst []byte
			b.ReportAllocs()
			for b.Loop() {
				dst = AppendRow(dst[:0], 17, &u)
			}
			perItem(b, 1, len(dst))
		})
	}
}
