package pipeline

import (
	"fmt"
	"testing"
)

// The same log, run through the graph 40 times, must tell the same.
func TestTheSameLogTellsTheSame(t *testing.T) {
	seen := map[string]int{}
	for range 40 {
		l := newLog(t, `
derived:
  - {match: "p/+", as: x, expr: a * 2}
  - {match: "p/+", as: "y", expr: x + c}
`)
		l.frame("p/a", "c", 1.0, 100.0)
		l.frame("p/a", "a", 2.0, 1.0)
		l.frame("p/a", "c", 3.0, 200.0)
		l.frame("p/a", "c", 4.0, 300.0)
		seen[fmt.Sprint("p/a/y: ", l.values["p/a/y"])]++
	}
	for out, n := range seen {
		t.Logf("%d runs: %s", n, out)
	}
	if len(seen) != 1 {
		t.Error("one log, several outcomes")
	}
}

func TestAnInputThatIsPublishedLaterIsFound(t *testing.T) {
	l := newLog(t, `
pipelines:
  - match: "p/+/a"
    averages: [{kind: median, samples: 1}]
  - match: "p/+/c"
    detector: off
    rules: [{name: hot, kind: expr, raise: 'value > m["a.median"]'}]
derived:
  - {match: "p/+", as: "y", expr: 'm["a.median"] + c'}
`)
	l.frame("p/a", "c", 1.0, 100.0)
	l.frame("p/a", "a", 2.0, 1.0)
	l.frame("p/a", "c", 3.0, 200.0)
	l.frame("p/a", "c", 4.0, 300.0)
	t.Logf("y: %v, alerts %q", l.values["p/a/y"], l.phases())
	// What an owner that takes over here does to every device (registry.begin).
	g := l.replay.stages.decode.registry
	g.begin(l.offset)
	l.frame("p/a", "c", 5.0, 400.0)
	t.Logf("after a change of owner: y: %v, alerts %q", l.values["p/a/y"], l.phases())
	l.want("p/a/y", 101, 201, 301, 401)
}
