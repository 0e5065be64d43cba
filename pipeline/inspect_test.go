package pipeline

import (
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"

	"weir/pipeline/plan"
)

// fixedPlan is a Plans that wants one plan for ever.
type fixedPlan struct{ *plan.Plan }

func (f fixedPlan) Current() *plan.Plan { return f.Plan }

func newFixedPlan(t *testing.T, text string) fixedPlan {
	t.Helper()
	p, err := plan.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return fixedPlan{p}
}

const inspectedPlan = `
pipelines:
  - name: ovens
    match: "plant/+/temperature"
    windows: [{name: 10s, size: 10s, functions: [mean, count]}]
    rules:
      - {name: hot, kind: threshold, above: 90, severity: critical}
      - {name: warm, kind: threshold, above: 50, for: 1h}
`

func awaitPlan(t *testing.T, p *Pipeline, partition int, hash string) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		if in, err := p.InForce(t.Context(), partition); err == nil && in.Hash() == hash {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the plan does not come into force")
		}
	}
}

func TestASeriesIsLookedIntoWithoutChangingAnything(t *testing.T) {
	w := newWorld(t, 1)
	wanted := newFixedPlan(t, inspectedPlan)
	planned := func(o *Options) { o.Plans = wanted }
	p := w.pipeline(planned)
	stop := w.start(p)
	awaitPlan(t, p, 0, wanted.Hash())
	for i := range 25 {
		w.send(oneReading("plant/a", "temperature", epoch+int64(i)*1e6, 70+float64(i)))
	}
	// Its own rows: those of its windows come by themselves.
	const name = "plant/a/temperature"
	w.await("all readings of the series are emitted", func() bool {
		c := w.chains()[name]
		return c != nil && c.N == 25
	})
	x, err := p.Inspect(t.Context(), 0, name)
	if err != nil {
		t.Fatal(err)
	}
	if x.Plan != wanted.Hash() || x.Derived || *x.Reading.Time != epoch+24e6 || *x.Reading.Value != 94 || x.Latest.N == 0 || x.Position == 0 {
		t.Errorf("%+v", x)
	}
	if want := epoch + 24e6 - DefaultConfig().Lateness.Microseconds(); *x.Reading.Watermark != want {
		t.Errorf("watermark %d, want %d", *x.Reading.Watermark, want)
	}
	if x.Average.Kind != "simple" || *x.Average.Value != 82 {
		t.Errorf("average %v of kind %q, want 82", *x.Average.Value, x.Average.Kind)
	}
	if len(x.Windows) != 1 || x.Windows[0].Name != "10s" || len(x.Windows[0].Open) == 0 {
		t.Fatalf("windows %+v", x.Windows)
	}
	open := x.Windows[0].Open[len(x.Windows[0].Open)-1]
	if open.N == 0 || *open.Values["count"] != float64(open.N) || open.End-open.Start != 10e6 {
		t.Errorf("the last open window is %+v", open)
	}
	if want := []string{name + ".10s.count", name + ".10s.mean"}; len(x.Leads) != 2 || !slices.Equal(slices.Sorted(slices.Values(x.Leads)), want) {
		t.Errorf("leads to %v", x.Leads)
	}
	phases := map[string]string{}
	for _, a := range x.Alerts {
		phases[a.Rule] = string(a.Phase)
	}
	if phases["hot"] != "firing" || phases["warm"] != "pending" {
		t.Errorf("alerts %v", phases)
	}
	if !x.Detector.On || x.Detector.Learned == nil || x.Detector.Learned.Readings != 25 || x.State.Detector == 0 || x.State.Compute == 0 {
		t.Errorf("detector %+v, state %+v", x.Detector, x.State)
	}
	if x.Treatment == nil || len(x.Treatment.Entries) != 1 || x.Treatment.Entries[0].Name != "ovens" {
		t.Errorf("treatment %+v", x.Treatment)
	}
	stop()

	// The next owner has not taken its state apart yet, and tells the same.
	p = w.pipeline(planned)
	w.start(p)
	awaitPlan(t, p, 0, wanted.Hash())
	for range 2 {
		y, err := p.Inspect(t.Context(), 0, name)
		if err != nil {
			t.Fatal(err)
		}
		y.Position, y.Latest.Since, x.Position, x.Latest.Since = 0, 0, 0, 0
		before, _ := json.Marshal(x)
		after, _ := json.Marshal(y)
		if string(before) != string(after) {
			t.Errorf("before a restart\n%s\nand after\n%s", before, after)
		}
	}
}

func TestWhatIsNotKnownOrNotOwnedIsSaid(t *testing.T) {
	w := newWorld(t, 1)
	p := w.pipeline(nil)
	if _, err := p.Inspect(t.Context(), 0, "plant/a/x"); !errors.Is(err, ErrNotOwned) {
		t.Errorf("before it runs: %v", err)
	}
	w.start(p)
	w.send(oneReading("plant/a", "x", epoch, 1))
	w.awaitStored(1)
	if _, err := p.Inspect(t.Context(), 0, "plant/a/y"); !errors.Is(err, ErrNoSeries) {
		t.Errorf("an unknown series: %v", err)
	}
	if names, err := p.Names(t.Context(), 0); err != nil || !slices.Equal(names, []string{"plant/a/x"}) {
		t.Errorf("names %v, %v", names, err)
	}
	if _, err := p.Names(t.Context(), 1); !errors.Is(err, ErrNotOwned) {
		t.Errorf("a partition of nobody: %v", err)
	}
}
