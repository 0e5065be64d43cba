package pipeline

import (
	"fmt"
	"testing"

	"weir/wire"
)

func TestADeletionTellsTheSameEachTime(t *testing.T) {
	seen := map[string]int{}
	for range 40 {
		l := newLog(t, `
pipelines:
  - match: "p/+/power"
    detector: off
    rules: [{name: down, kind: threshold, below: 1}]
  - match: "p/+/t"
    detector: off
    rules: [{name: cold, kind: threshold, below: 10, inhibited_by: [down]}]
`)
		l.frame("p/a", "power", 1.0, 0.0, "t", 1.0, 5.0)
		l.control(&wire.Control{Kind: wire.ControlDeleteDevice, Device: "p/a", Time: epoch + 2*second})
		out := ""
		for i := range l.alerts {
			if a := &l.alerts[i]; a.Rule == "cold" {
				out += fmt.Sprintf(" %s/%s inhibited=%v", a.Phase, a.Reason, a.Inhibited != "")
			}
		}
		seen[out]++
	}
	for out, n := range seen {
		t.Logf("%d runs: cold:%s", n, out)
	}
	if len(seen) != 1 {
		t.Error("one log, several outcomes")
	}
}
