package pipeline

import "testing"

func TestKeepFiringForEnds(t *testing.T) {
	l := newLog(t, `
pipelines:
  - match: "p/+/t"
    detector: off
    rules: [{name: hot, kind: threshold, above: 80, keep_firing_for: 5s}]
`)
	l.frame("p/a", "t", 0.0, 90.0)
	l.frame("p/a", "t", 1.0, 10.0)
	for i := 2; i < 600; i++ {
		l.frame("p/a", "t", float64(i), 10.0)
		l.tick(float64(i) + 0.5)
	}
	if l.phases() != "firing/raised resolved/cleared" {
		t.Errorf("ten minutes after the condition went: %s", l.phases())
	}
}
