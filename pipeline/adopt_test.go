package pipeline

import (
	"testing"

	"weir/telemetry"
)

// The state of a series was lost; weir.latest knows of its alert, which was flapping.
func TestAnAdoptedAlertHasATimer(t *testing.T) {
	text := `
pipelines:
  - match: "p/+/t"
    detector: off
    rules: [{name: hot, kind: threshold, above: 80, flapping: {count: 2, period: 5s}}]
`
	l := newLog(t, text)
	l.frame("p/a", "t", 0.0, 90.0)
	l.frame("p/a", "t", 1.0, 10.0)
	l.frame("p/a", "t", 2.0, 90.0)
	flapping := l.alerts[len(l.alerts)-1]
	if flapping.Phase != telemetry.Flapping {
		t.Fatal(l.phases())
	}
	l = newLog(t, text)
	l.frame("p/a", "t", 0.0, 10.0) // the series is known
	l.replay.stages.rules.open = map[string]*telemetry.Alert{flapping.ID: &flapping}
	l.replay.pass(&Batch{kind: settled, next: l.offset, named: map[string]*series{"p/a/t": nil}})
	t.Logf("due never: %v", l.replay.Due() == never)
	for i := 3; i < 600; i++ {
		l.frame("p/a", "t", float64(i), 90.0)
		l.tick(float64(i) + 0.5)
	}
	if len(l.alerts) == 0 {
		t.Error("ten minutes later the alert still flaps; its period is 5 s")
	}
}
