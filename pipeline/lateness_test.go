package pipeline

import (
	"testing"
	"time"
)

func TestLatenessIsThatOfThePlanElseTheServers(t *testing.T) {
	l := newLog(t, `
pipelines:
  - {match: "p/own/x", lateness: 1m}
  - {match: "p/back/x", lateness: 0s}
`)
	l.replay.stages.validate.lateness = uint64((10 * time.Minute).Microseconds())
	for _, device := range []string{"p/own", "p/back", "p/none"} {
		l.frame(device, "x", 1000.0, 1.0)
		l.frame(device, "x", 500.0, 2.0)
		l.frame(device, "x", 399.0, 3.0)
	}
	l.want("p/own/x", 1)
	l.want("p/back/x", 1, 2)
	l.want("p/none/x", 1, 2)
	for _, of := range []struct {
		series string
		late   uint64
	}{{"p/own/x", 2}, {"p/back/x", 1}, {"p/none/x", 1}} {
		if got := l.rows[of.series].Late; got != of.late {
			t.Errorf("%s: %d late readings, want %d", of.series, got, of.late)
		}
	}
}

func TestTheWatermarkLiesBehindByTheLatenessThatCounts(t *testing.T) {
	l := newLog(t, `pipelines: [{match: "p/own/x", lateness: 1m}]`)
	l.frame("p/own", "x", 0.0, 1.0)
	l.frame("p/none", "x", 0.0, 1.0)
	for series, lateness := range map[string]time.Duration{"p/own/x": time.Minute, "p/none/x": DefaultConfig().Lateness} {
		q := &inspection{Inspection: Inspection{Series: series}, done: make(chan struct{})}
		l.replay.stages.decode.inspect(q)
		l.replay.stages.validate.inspect(q)
		if want := epoch - lateness.Microseconds(); *q.Reading.Watermark != want {
			t.Errorf("%s: watermark %d, want %d", series, *q.Reading.Watermark, want)
		}
	}
}
