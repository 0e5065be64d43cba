package pipeline

import (
	"testing"

	"weir/telemetry"
	"weir/wire"
)

const plant = `
pipelines:
  - match: "p/+/+"
    detector: off
    rules: [{name: hot, kind: threshold, above: 80}]
`

const fireFirst = plant + `
inhibit:
  - source: {series: "p/+/fire"}
    target: {series: "p/+/t"}
`

func TestAnAlertIsMarkedWhileOneThatInhibitsItIsOpenOnTheDevice(t *testing.T) {
	l := newLog(t, fireFirst)
	l.frame("p/a", "t", 0.0, 90.0)
	l.frame("p/a", "t", 1.0, 10.0)
	l.frame("p/a", "fire", 2.0, 90.0)
	l.frame("p/a", "t", 3.0, 90.0)
	l.frame("p/b", "t", 3.0, 90.0) // of another device
	l.frame("p/a", "fire", 4.0, 10.0)
	l.frame("p/a", "t", 5.0, 10.0)
	if l.phases() != "firing/raised resolved/cleared firing/raised firing/raised firing/raised resolved/cleared resolved/cleared" {
		t.Fatalf("transitions %s", l.phases())
	}
	fire := l.alerts[2].ID
	for i, want := range []string{"", "", "", fire, "", "", ""} {
		if got := l.alerts[i].Inhibited; got != want {
			t.Errorf("transition %d of %s is inhibited by %q, want %q", i, l.alerts[i].Series, got, want)
		}
	}
}

func TestAnotherPlanBringsItsInhibitions(t *testing.T) {
	l := newLog(t, plant)
	l.frame("p/a", "fire", 0.0, 90.0, "t", 0.0, 90.0)
	l.control(&wire.Control{Kind: wire.ControlPlan, Time: epoch + second, Text: fireFirst})
	l.frame("p/a", "t", 2.0, 10.0)
	l.control(&wire.Control{Kind: wire.ControlPlan, Time: epoch + 3*second, Text: plant})
	l.frame("p/a", "t", 4.0, 90.0)
	if l.phases() != "firing/raised firing/raised resolved/cleared firing/raised" {
		t.Fatalf("transitions %s", l.phases())
	}
	for i, want := range []string{"", "", l.alerts[0].ID, ""} {
		if got := l.alerts[i].Inhibited; got != want {
			t.Errorf("transition %d is inhibited by %q, want %q", i, got, want)
		}
	}
}

func TestAnOwnerBeginsWithTheInhibitionsOfThePlanInForce(t *testing.T) {
	w := newWorld(t, 1)
	p := w.pipeline(func(o *Options) { o.Plans = newFixedPlan(t, fireFirst) })
	stop := w.start(p)
	awaitPlan(t, p, 0, newFixedPlan(t, fireFirst).Hash())
	stop()
	stop = w.start(w.pipeline(nil)) // which has no plan of its own
	w.send(oneReading("p/a", "fire", epoch, 90))
	w.send(oneReading("p/a", "t", epoch+1, 90))
	w.awaitStored(2)
	stop()
	alerts := w.alerts()
	if len(alerts) != 2 || alerts[1].Inhibited != alerts[0].ID {
		t.Errorf("%+v", alerts)
	}
}

// alerts are the transitions in weir.alerts.
func (w *world) alerts() (all []telemetry.Alert) {
	w.t.Helper()
	for partition := range w.partitions {
		for _, r := range w.records(wire.TopicAlerts, partition) {
			a, err := wire.DecodeAlert(r.Value)
			if err != nil {
				w.t.Fatal(err)
			}
			all = append(all, a)
		}
	}
	return all
}
