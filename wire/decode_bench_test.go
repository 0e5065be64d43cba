package wire

import (
	"encoding/json"
	"fmt"
	"testing"
)

// envelope is a frame of n readings as a device with four sensors sends it.
func envelope(n int) []byte {
	frame := []byte(`{"device":"plant1/line3/press7","session":"b7","seq":812,"readings":[`)
	names := []string{"temperature", "pressure", "vibration", "current"}
	for i := range n {
		if i > 0 {
			frame = append(frame, ',')
		}
		frame = fmt.Appendf(frame, `{"metric":"%s","ts":%d,"value":%.2f}`,
			names[i%4], 1760000000000+int64(i)*10, 20+float64(i)*0.37)
	}
	return append(frame, "]}"...)
}

func BenchmarkDecode(b *testing.B) {
	frames := map[string][]byte{
		"one":           []byte(`{"device":"plant1/line3/press7","metric":"temperature","ts":1760000000000,"value":21.5}`),
		"envelope-1":    envelope(1),
		"envelope-100":  envelope(100),
		"envelope-4096": envelope(4096),
	}
	for _, name := range []string{"one", "envelope-1", "envelope-100", "envelope-4096"} {
		frame := frames[name]
		b.Run(name, func(b *testing.B) {
			d := NewDecoder(DecoderOptions{})
			readings := 0
			b.ReportAllocs()
			b.SetBytes(int64(len(frame)))
			for b.Loop() {
				f, err := d.Decode(frame)
				if err != nil || len(f.Rejected) > 0 {
					b.Fatal(err, f)
				}
				readings += f.Total
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(readings), "ns/reading")
		})
	}
}

// BenchmarkDecodeStandard is encoding/json into structs, for comparison.
func BenchmarkDecodeStandard(b *testing.B) {
	frame := envelope(100)
	b.ReportAllocs()
	for b.Loop() {
		var f struct {
			Device, Session string
			Seq             uint64
			Readings        []struct {
				Metric string
				TS     int64
				Value  float64
			}
		}
		if err := json.Unmarshal(frame, &f); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(100*b.N), "ns/reading")
}
