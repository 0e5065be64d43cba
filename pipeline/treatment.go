package pipeline

import (
	"slices"

	"weir/pipeline/detect"
	"weir/pipeline/plan"
	"weir/pipeline/rule"
	"weir/pipeline/window"
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
	// reads are the metrics of the device that its rules read, peers these series.
	reads map[string]bool
	peers map[string]*series
	// others looks one of the peers up; nil where there are none.
	others func(metric string) (float64, bool)
}

// outputs are what a series leads to.
type outputs struct {
	rate     *output
	averages []averageOut
	windows  []windowOut
	groups   []groupOut
	derived  []*derivation
	// derives: it, or a series that it leads to, is an input of a derived one.
	derives bool
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
	w                  *window.Window
	as, device, series string
}

// grouping is a group whose device is here.
type grouping struct {
	w      *window.Window
	anchor *output
}

func newTreatment(t *plan.Treatment) *treatment {
	out := &treatment{Treatment: t, detector: t.Detect, rules: t.Rules}
	if t.Counter { // a rate is watched in its place
		out.detector, out.rules = nil, without(t.Rules, rule.Anomaly)
	}
	for _, r := range t.Rules {
		out.timed = out.timed || r.Kind() == rule.Absence
		for _, metric := range r.Metrics() {
			if out.reads == nil {
				out.reads = make(map[string]bool)
			}
			out.reads[metric] = true
		}
	}
	return out
}

func without(rules []*rule.Rule, kind rule.Kind) []*rule.Rule {
	return slices.DeleteFunc(slices.Clone(rules), func(r *rule.Rule) bool { return r.Kind() == kind })
}

// noTreatment does nothing.
var noTreatment = newTreatment(&plan.Treatment{})

// watchRate has a rate watched in place of its counter.
func (t *treatment) watchRate(counter *plan.Treatment) {
	t.detector, t.rules = counter.Detect, slices.Clone(t.rules)
	for _, r := range counter.Rules {
		named := func(other *rule.Rule) bool { return other.Name() == r.Name() }
		if r.Kind() == rule.Anomaly && !slices.ContainsFunc(t.rules, named) {
			t.rules = append(t.rules, r)
		}
	}
}

// peer is the newest value of a metric that rules read. It is for the stage of the rules.
func (t *treatment) peer(metric string) (float64, bool) {
	if of := t.peers[metric]; of != nil && of.watch.last.known {
		return of.watch.last.value, true
	}
	return 0, false
}

// leads names the series that one leads to.
func (t *treatment) leads() (names []string) {
	if t.outs == nil {
		return nil
	}
	add := func(o *output) { names = append(names, o.series.name) }
	if t.outs.rate != nil {
		add(t.outs.rate)
	}
	for _, a := range t.outs.averages {
		add(a.to)
	}
	for _, w := range t.outs.windows {
		for _, to := range w.to {
			add(to)
		}
	}
	for _, d := range t.outs.derived {
		add(d.to)
	}
	for _, m := range t.outs.groups {
		names = append(names, m.series)
	}
	return names
}

func (o *output) derives() bool { return o.treat.outs != nil && o.treat.outs.derives }
