package pipeline

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"weir/kafka"
	"weir/telemetry"
	"weir/wire"
)

// BenchmarkIdleDevices tells what 100,000 series take in memory while their devices, of five series each, are awake,
// and when they are evicted, and how long checkpoints take to evict them.
func BenchmarkIdleDevices(b *testing.B) {
	const devices, metricsN, times = 20_000, 5, 40
	for range b.N {
		start := inUse()
		r, err := NewReplay(ReplayOptions{Config: DefaultConfig(), Partitions: 1})
		if err != nil {
			b.Fatal(err)
		}
		offset := int64(0)
		for i := range int64(times) {
			for first := 0; first < devices; first += 500 {
				var records []kafka.Record
				for d := first; d < first+500; d++ {
					batch := &telemetry.Batch{Device: fmt.Sprintf("plant1/line%d/press%d", d%40, d), Session: "boot 1", Seq: uint64(i), Ingest: 1}
					for m := range metricsN {
						batch.Readings = append(batch.Readings, telemetry.Reading{
							Metric: fmt.Sprintf("metric%d", m), Time: epoch + i*1e6, Value: 20 + float64((i+int64(m))%3)})
					}
					records = append(records, kafka.Record{Offset: offset, Value: wire.AppendReadingBatch(nil, batch)})
					offset++
				}
				if err := r.Feed(records, offset); err != nil {
					b.Fatal(err)
				}
			}
		}
		g, m := r.stages.decode.registry, r.stages.decode.m
		var c checkpoint
		c.take(&Batch{}, r.stages, offset, nil)
		c = checkpoint{}
		r.batch = Batch{}
		awake := inUse() - start
		v := &evictor{after: 1, m: m, places: new(places)}
		var written, longest int64
		began := time.Now()
		rounds := 0
		for at := int64(0); len(g.devices) > 0 && rounds < 100; rounds++ {
			t := time.Now()
			v.settle(g)
			v.look(g, offset, time.Now().UnixMicro()+1e9, nil)
			longest = max(longest, time.Since(t).Microseconds())
			for i := range v.going {
				v.going[i].base = at
				at += int64(v.going[i].stub.size())
			}
			for i := range v.records {
				written += int64(len(v.records[i].Key) + len(v.records[i].Value))
			}
		}
		took := time.Since(began)
		c.take(&Batch{}, r.stages, offset, nil) // lets go of who changed before
		asleep := inUse() - start
		if len(g.asleep) != devices {
			b.Fatalf("%d of %d devices are evicted", len(g.asleep), devices)
		}
		g.asleep = nil
		stubs := asleep - (inUse() - start) // the rest are buffers that do not grow with the number of devices
		b.ReportMetric(float64(awake)/devices/metricsN, "awake-B/series")
		b.ReportMetric(float64(stubs)/devices, "evicted-B/device")
		b.ReportMetric(float64(asleep)/devices/metricsN, "evicted-B/series")
		b.ReportMetric(float64(written)/devices/metricsN, "written-B/series")
		b.ReportMetric(float64(longest)/1e3, "longest-pause-ms")
		b.ReportMetric(float64(took.Microseconds())/devices, "evict-µs/device")
		b.ReportMetric(float64(rounds), "checkpoints")
		runtime.KeepAlive(r)
	}
}

func inUse() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
