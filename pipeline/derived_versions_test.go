package pipeline

import "testing"

// A frame of two instants: what is derived of both has one version, and the rule passes over the second.
func TestARuleSeesAllOfADerivedSeries(t *testing.T) {
	l := newLog(t, `
pipelines:
  - match: "p/+/x"
    detector: off
    rules: [{name: hot, kind: threshold, above: 10}, {name: gone, kind: absence, for: 10s}]
derived: [{match: "p/+", as: x, expr: a * 2}]
`)
	l.frame("p/a", "a", 1.0, 10.0, "a", 2.0, 1.0)
	t.Logf("x %v: %s", l.values["p/a/x"], l.phases())
	for i := 3; i < 8; i++ {
		l.tick(float64(i))
	}
	if l.phases() != "firing/raised resolved/cleared" {
		t.Errorf("x is 2, at a limit of 10, and the alert is open: %s", l.phases())
	}
}
