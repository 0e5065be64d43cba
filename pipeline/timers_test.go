package pipeline

import (
	"testing"

	"weir/telemetry"
	"weir/wire"
)

func TestTimersOfOneSeriesDoNotPileUp(t *testing.T) {
	l := newLog(t, `
pipelines:
  - match: "p/+/t"
    windows: [{name: 1m, kind: tumbling, size: 1m, functions: [mean]}]
groups: [{match: "p/+/t", as: p/_all/t, every: 10s, functions: [mean]}]
`)
	for i := range 600 { // ten minutes, a reading and a tick a second
		l.frame("p/a", "t", float64(i), 1.0)
		l.tick(float64(i) + 0.9)
		if i%100 == 99 {
			t.Logf("after %d s: %d timers in compute's queue, of 1 series", i+1, len(l.replay.stages.compute.timers.queue))
		}
	}
	if n := len(l.replay.stages.compute.timers.queue); n > 60 { // what a second leaves is gone with the window
		t.Errorf("%d timers for one series", n)
	}
}

func TestTimersOfRulesDoNotPileUp(t *testing.T) {
	l := newLog(t, `
pipelines:
  - match: "p/+/t"
    detector: off
    rules:
      - {name: hot, kind: threshold, above: 80, flapping: {count: 2, period: 2s}}
      - {name: gone, kind: absence, for: 30s}
`)
	for i := range 600 {
		v := 1.0
		if i%10 == 0 || i%10 == 2 {
			v = 90
		}
		l.frame("p/a", "t", float64(i), v)
		l.tick(float64(i) + 0.9)
	}
	if n := len(l.replay.stages.rules.timers.queue); n > 4 {
		t.Errorf("%d timers of rules for one series", n)
	}
}

// One window, no group: it is enough that the way of the frames takes now more and now less.
func TestTimersOfOneWindowDoNotPileUp(t *testing.T) {
	l := newLog(t, `
pipelines:
  - match: "p/+/t"
    windows: [{name: 10s, kind: tumbling, size: 10s, grace: 2s, functions: [mean]}]
`)
	seed := uint32(1)
	for i := range 3600 { // an hour, a reading and a tick a second
		seed = seed*1664525 + 1013904223
		at := epoch + int64(i)*second
		b := &telemetry.Batch{Device: "p/a", Ingest: at + int64(seed>>12)%(second/2), Readings: []telemetry.Reading{{Metric: "t", Time: at, Value: 1}}}
		l.feed(b.Device, wire.AppendReadingBatch(nil, b))
		l.tick(float64(i) + 0.9)
		if i%900 == 899 {
			t.Logf("after %d s: %d timers", i+1, len(l.replay.stages.compute.timers.queue))
		}
	}
	if n := len(l.replay.stages.compute.timers.queue); n > 60 { // what a second leaves is gone with the window
		t.Errorf("%d timers for one series", n)
	}
}
