package pipeline

import (
	"maps"
	"slices"
	"sync"
	"testing"

	"weir/pipeline/plan"
	"weir/telemetry"
)

// scribe is an Enricher that writes down what it is told.
type scribe struct {
	mu    sync.Mutex
	met   []string
	plans []string
	fail  bool
}

func (s *scribe) Meet(_ *plan.Plan, device string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.met = append(s.met, device)
	if s.fail {
		panic("meet")
	}
}

func (s *scribe) Alert(p *plan.Plan, a *telemetry.Alert) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.plans = append(s.plans, p.Hash())
	a.Labels["owner"], a.Annotations["note"] = "mia", "x"
	if s.fail {
		panic("alert")
	}
}

const labelled = `
pipelines:
  - match: "p/+/+"
    detector: off
    rules: [{name: hot, kind: threshold, above: 80, labels: {team: north}}]
`

func TestWhatIsAddedToAlertsIsToldAndNotKept(t *testing.T) {
	w := newWorld(t, 1)
	wanted := newFixedPlan(t, labelled)
	s := new(scribe)
	p := w.pipeline(func(o *Options) { o.Plans, o.Enricher = wanted, s })
	stop := w.start(p)
	awaitPlan(t, p, 0, wanted.Hash())
	w.send(oneReading("p/a", "t", epoch, 90))
	w.send(oneReading("p/b", "t", epoch, 10))
	w.awaitStored(2)
	stop()
	if met := slices.Sorted(slices.Values(s.met)); !slices.Equal(met, []string{"p/a", "p/b"}) {
		t.Errorf("met %v", met)
	}
	if !slices.Equal(s.plans, []string{wanted.Hash()}) {
		t.Errorf("plans %v, want that in force", s.plans)
	}
	stop = w.start(w.pipeline(nil)) // which adds nothing
	w.send(oneReading("p/a", "t", epoch+1, 10))
	w.awaitStored(3)
	stop()
	alerts := w.alerts()
	if len(alerts) != 2 {
		t.Fatalf("%d transitions", len(alerts))
	}
	if a := alerts[0]; !maps.Equal(a.Labels, map[string]string{"team": "north", "owner": "mia"}) || a.Annotations["note"] != "x" {
		t.Errorf("told: %v, %v", a.Labels, a.Annotations)
	}
	if a := alerts[1]; !maps.Equal(a.Labels, map[string]string{"team": "north"}) || len(a.Annotations) != 0 {
		t.Errorf("kept: %v, %v", a.Labels, a.Annotations)
	}
}

func TestAnEnricherThatPanicsKeepsNothingFromBeingCountedOrTold(t *testing.T) {
	w := newWorld(t, 1)
	wanted := newFixedPlan(t, labelled)
	p := w.pipeline(func(o *Options) { o.Plans, o.Enricher = wanted, &scribe{fail: true} })
	stop := w.start(p)
	awaitPlan(t, p, 0, wanted.Hash())
	w.send(oneReading("p/a", "t", epoch, 90))
	w.awaitStored(1)
	stop()
	alerts := w.alerts()
	if len(alerts) != 1 || !maps.Equal(alerts[0].Labels, map[string]string{"team": "north"}) {
		t.Errorf("%+v", alerts)
	}
	if got := p.m.panics.Get(); got != 2 {
		t.Errorf("%d panics counted, want 2", got)
	}
}
