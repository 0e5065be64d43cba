package pipeline

import (
	"maps"
	"slices"
	"strings"

	"weir/pipeline/plan"
	"weir/pipeline/window"
	"weir/telemetry"
)

// treat gives series of a device that have come to be their treatments under the plan in force, and makes the series that
// they lead to. Where others depend on any of them, the device is treated as a whole.
func (g *registry) treat(d *device, added []*series) {
	t := g.treating(d)
	for _, of := range added {
		t.treat(of)
	}
	for made := range t.done {
		if t.concerns(made.metric()) {
			g.treatAll(d)
			return
		}
	}
}

// treatAll gives all series of a device their treatments: again when that made series, for any of them may be what
// others are made of.
func (g *registry) treatAll(d *device) {
	for before := -1; before != len(d.series); {
		before = len(d.series)
		t := g.treating(d)
		for _, metric := range slices.Sorted(maps.Keys(d.series)) {
			t.treat(d.series[metric])
		}
		t.orphans()
	}
}

// orphans leaves alone what no series leads to any more: a series that the plan used to make is not absent.
func (g treating) orphans() {
	for _, of := range g.of.series {
		if of.derived && !g.made[of] && (of.treat.outs == nil || of.treat.outs.group == nil) {
			of.treat = noTreatment
		}
	}
}

// treating gives some series of a device their treatments, each once. What a series leads to is treated before it:
// plans have no circles.
type treating struct {
	*registry
	of   *device
	plan *plan.Device
	done map[*series]*treatment
	// made are the series that others lead to.
	made map[*series]bool
	// inputs are the derived series, by their places in the plan, that each metric is an input of.
	inputs map[string][]int
}

func (g *registry) treating(d *device) treating {
	t := treating{g, d, g.plan.Device(d.name), make(map[*series]*treatment), make(map[*series]bool), nil}
	for place, derived := range t.plan.Derived() {
		for _, metric := range derived.Inputs {
			if t.inputs == nil {
				t.inputs = make(map[string][]int)
			}
			t.inputs[metric] = append(t.inputs[metric], place)
		}
	}
	return t
}

// concerns reports whether series of the device are made of the metric, or judged by it.
func (g treating) concerns(metric string) bool {
	return len(g.inputs[metric]) > 0 || g.of.reads[metric]
}

func (g treating) treat(of *series) *treatment {
	if t := g.done[of]; t != nil {
		return t
	}
	planned := g.registry.plan.Treat(of.name)
	t := g.treatments[planned]
	if t == nil {
		t = newTreatment(planned)
		g.treatments[planned] = t
	}
	if own := g.special(of, t); own != nil {
		t = own
	}
	g.done[of], of.treat = t, t
	return t
}

// special is the treatment of a series that cannot share one; nil for most.
func (g treating) special(of *series, shared *treatment) *treatment {
	outs := g.outputs(of, shared.Treatment)
	counter := g.counterOf(of, shared)
	stands := g.standing(of, shared)
	if outs == nil && counter == nil && stands == nil && shared.reads == nil {
		return nil
	}
	own := *shared
	if stands != nil {
		if outs == nil {
			outs = new(outputs)
		}
		outs.group, stands.to[0].treat = stands, &own // it holds the first of the group's functions itself
	}
	if counter != nil && counter.Detect != nil {
		own.watchRate(counter)
	}
	own.outs = outs
	if own.reads != nil {
		own.peers = make(map[string]*series)
		for metric := range own.reads {
			own.peers[metric] = of.device.series[metric]
			if of.device.reads == nil {
				of.device.reads = make(map[string]bool)
			}
			of.device.reads[metric] = true
		}
		own.others = own.peer
	}
	return &own
}

// counterOf is the treatment of the counter that a series is the rate of; nil: of none.
func (g treating) counterOf(of *series, t *treatment) *plan.Treatment {
	if !t.Published {
		return nil
	}
	base, ok := g.plan.Base(of.metric())
	if !ok {
		return nil
	}
	counter := g.registry.plan.Treat(telemetry.Series(of.device.name, base))
	if !counter.Counter || counter.Rate.Metric(base) != of.metric() {
		return nil
	}
	return counter
}

// outputs makes the series that one leads to; nil: none.
func (g treating) outputs(of *series, t *plan.Treatment) *outputs {
	out, metric := new(outputs), of.metric()
	if t.Counter {
		out.rate = g.output(of.device, t.Rate.Metric(metric))
	}
	for i := range t.Averages {
		a := &t.Averages[i]
		if to := g.output(of.device, a.As.Metric(metric)); to != nil {
			out.averages = append(out.averages, averageOut{&a.Spec, to})
		}
	}
	for _, w := range t.Windows {
		if to := g.windowOutputs(of.device, w, func(i int) string { return w.Metric(metric, i) }); to != nil {
			out.windows = append(out.windows, windowOut{w, to})
		}
	}
	for _, m := range g.registry.plan.Members(of.name) {
		if device, _, ok := telemetry.SplitSeries(m.Series); ok && !shadows(&m) {
			out.groups = append(out.groups, groupOut{w: m.Group.Window, as: m.Group.As(), device: device, series: m.Series})
		}
	}
	for _, place := range g.inputs[metric] {
		if x := g.derivation(of.device, g.plan.Derived()[place], place); x != nil {
			out.derived, out.derives = append(out.derived, x), true
		}
	}
	if out.rate == nil && out.averages == nil && out.windows == nil && out.groups == nil && out.derived == nil {
		return nil
	}
	for _, w := range out.windows {
		for _, to := range w.to {
			out.derives = out.derives || to.derives()
		}
	}
	out.derives = out.derives || out.rate != nil && out.rate.derives()
	for _, a := range out.averages {
		out.derives = out.derives || a.to.derives()
	}
	return out
}

// output is the series of a metric that others lead to; nil when the name is too long for one.
func (g treating) output(d *device, metric string) *output {
	of := d.series[metric]
	if of == nil {
		if telemetry.CheckMetric(metric) != nil || len(d.name)+1+len(metric) > telemetry.MaxPathBytes {
			return nil
		}
		if buried := d.buried[metric]; buried != nil {
			of = g.unbury(buried)
			d.ghosts = append(d.ghosts, of)
		} else {
			of = g.add(d, metric)
		}
	}
	g.setDerived(of, true) // a device may have sent it before the plan
	g.made[of] = true
	return &output{of, g.treat(of)}
}

// shadows reports whether a member, by the name that its device gave it, would be taken for a function of another one.
func shadows(m *plan.Member) bool {
	further := m.Group.Window.Functions()[1:]
	return strings.Contains(m.Group.As(), "{metric}") &&
		slices.ContainsFunc(further, func(fn string) bool { return strings.HasSuffix(m.Series, "."+fn) })
}

func (g treating) windowOutputs(d *device, w *window.Window, name func(i int) string) []*output {
	to := make([]*output, len(w.Functions()))
	for i := range to {
		if to[i] = g.output(d, name(i)); to[i] == nil {
			return nil
		}
	}
	return to
}

func (g treating) derivation(d *device, derived *plan.Derived, place int) *derivation {
	to := g.output(d, derived.As)
	if to == nil {
		return nil
	}
	x := &derivation{program: derived.Expr, maxAge: derived.MaxAge.Microseconds(), to: to, place: place}
	for _, metric := range derived.Inputs {
		x.inputs = append(x.inputs, d.series[metric])
	}
	return x
}

// standing is the group whose state is kept with a series, which holds the first of its functions; nil: none.
func (g treating) standing(of *series, shared *treatment) *windowOut {
	if of.standsFor == "" {
		return nil
	}
	group := g.registry.plan.Group(of.standsFor)
	if group == nil {
		return nil
	}
	g.done[of] = shared // not to come here again
	names := group.Outputs(of.metric())
	to := g.windowOutputs(of.device, group.Window, func(i int) string { return names[i] })
	if to == nil {
		return nil
	}
	return &windowOut{group.Window, to}
}

// group is that of a partial; nil when the names of its series would be too long.
func (g *registry) group(d *device, group *plan.Group, name string) *grouping {
	_, metric, _ := telemetry.SplitSeries(name)
	of := d.series[metric]
	if of == nil {
		if of = d.buried[metric]; of != nil {
			g.unbury(of)
		} else {
			of = g.add(d, metric)
		}
	}
	if as := group.As(); of.standsFor != as || of.treat == nil || of.treat.outs == nil || of.treat.outs.group == nil {
		of.standsFor = as
		g.treat(d, []*series{of})
	}
	if of.treat.outs == nil || of.treat.outs.group == nil {
		return nil
	}
	return &grouping{group.Window, &output{of, of.treat}}
}
