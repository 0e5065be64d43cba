package pipeline

import (
	"fmt"
	"runtime"
	"testing"

	"weir/telemetry"
	"weir/wire"
)

func TestZZMeasure(t *testing.T) {
	feed := func(l *log, rounds int) {
		for r := range rounds {
			for d := range 50 {
				b := &telemetry.Batch{Device: fmt.Sprintf("p/d%d", d), Ingest: epoch + int64(r)*1e6}
				for m := range 100 {
					b.Readings = append(b.Readings, telemetry.Reading{Metric: fmt.Sprintf("m%d", m), Time: b.Ingest, Value: float64(20 + (r*7+m)%13)})
				}
				l.feed(b.Device, wire.AppendReadingBatch(nil, b))
			}
		}
	}
	for _, x := range []struct{ name, text string }{
		{"nothing declared", ""},
		{"member of a group", "groups: [{match: \"p/+/+\", as: \"p/_all/{metric}\"}]"},
		{"one window 1m mean", "pipelines: [{match: \"p/#\", windows: [{size: 1m, functions: [mean]}]}]"},
		{"one window 1m 4 fn", "pipelines: [{match: \"p/#\", windows: [{size: 1m, functions: [min,max,mean,count]}]}]"},
		{"one window 1m 4 fn p99", "pipelines: [{match: \"p/#\", windows: [{size: 1m, functions: [min,max,mean,p99]}]}]"},
		{"five windows of 4 functions", "pipelines: [{match: \"p/#\", windows: [{size: 1m, functions: [min,max,mean,p99]},{size: 5m, functions: [min,max,mean,p99]},{size: 15m, functions: [min,max,mean,p99]},{size: 1h, functions: [min,max,mean,p99]},{size: 1d, functions: [min,max,mean,p99]}]}]"},
	} {
		for _, rounds := range []int{1, 70} {
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			l := newLog(t, x.text)
			feed(l, rounds)
			var c checkpoint
			for _, d := range l.replay.stages.decode.registry.devices {
				c.device(d, l.offset, nil)
			}
			n := sizeOf(c.state)
			c = checkpoint{}
			l.alerts, l.parts, l.values, l.rows = nil, nil, nil, nil
			runtime.GC()
			runtime.ReadMemStats(&after)
			t.Logf("%s, %d rounds: heap %d, state %d bytes per device series; %d series in all of 5000", x.name, rounds, (int64(after.HeapAlloc)-int64(before.HeapAlloc))/5000, n/5000, l.replay.Series())
			runtime.KeepAlive(l)
		}
	}
}
