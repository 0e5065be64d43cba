package pipeline

import (
	"weir/pipeline/detect"
	"weir/pipeline/plan"
	"weir/pipeline/rule"
	"weir/pipeline/window"
	"weir/telemetry"
)

// treatment is what the plan in force asks for a series. It does not change: stages that are behind decode may still be
// at readings that came with the one before. Series that lead to no other share it.
type treatment struct {
	*plan.Treatment
	// detector is nil where it is off, or watches the rate of a counter instead.
	detector *detect.Params
	rules    []*rule.Rule
	// timed: there are rules that wait for silence.
	timed bool
	// outs are the series that this one leads to; nil: none.
	outs *outputs
	// peers are the metrics of the device that its rules read.
	peers map[string]*series
}

// outputs are what a series leads to.
type outputs struct {
	rate     *output
	averages []averageOut
	windows  []windowOut
	groups   []groupOut
	derived  []*derivation
	// group is set in the series that stands for a group: the first of those that it leads to.
	group *windowOut
}

type output struct {
	series *series
	treat  *treatment
}

type averageOut struct {
	spec *window.AverageSpec
	to   *output
}

// windowOut has an output for each function of the window.
type windowOut struct {
	w  *window.Window
	to []*output
}

// groupOut is a group that the series is a member of: the name of its device, and of the series that stands for it.
type groupOut struct {
	w              *window.Window
	device, series string
}

// grouping is a group whose device is here.
type grouping struct {
	w      *window.Window
	anchor *output
}

func (t *treatment) others(metric string) (float64, bool) {
	if of := t.peers[metric]; of != nil && of.watch.last.known {
		return of.watch.last.value, true
	}
	return 0, false
}

// treat gives a series its treatment under the plan in force, and makes the series that it leads to.
func (g *registry) treat(of *series) {
	of.treat = g.treatment(of)
}

func (g *registry) treatment(of *series) *treatment {
	t := g.plan.Treat(of.name)
	shared := g.treatments[t]
	if shared == nil {
		shared = newTreatment(t)
		g.treatments[t] = shared
	}
	metric := of.metric()
	_ = metric
	_ = telemetry.NoVersion
	return shared
}

func newTreatment(t *plan.Treatment) *treatment {
	out := &treatment{Treatment: t, detector: t.Detect, rules: t.Rules}
	for _, r := range t.Rules {
		out.timed = out.timed || r.Kind() == rule.Absence
	}
	return out
}
