package pipeline

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"weir/pipeline/detect"
	"weir/pipeline/plan"
	"weir/pipeline/rule"
	"weir/pipeline/window"
	"weir/telemetry"
)

// inspection travels through the graph; each stage adds what it knows. It changes nothing: what is frozen is looked at
// in a copy.
type inspection struct {
	Inspection
	// names has decode list the series that there are, instead of looking at one.
	names bool
	list  []string

	of    *series
	treat *treatment
	plan  *plan.Plan
	done  chan struct{}
}

var (
	// ErrNotOwned: another process owns the partition of the series, or this one is not ready yet.
	ErrNotOwned = errors.New("pipeline: the partition of the series is not owned by this process")
	// ErrNoSeries: nothing is known of the series.
	ErrNoSeries = errors.New("pipeline: no such series")
)

// Inspect asks the owner of a partition about one of its series.
func (p *Pipeline) Inspect(ctx context.Context, partition int, name string) (*Inspection, error) {
	q := &inspection{Inspection: Inspection{
		Series: name, Windows: []WindowView{}, Leads: []string{}, Rules: []RuleView{}, Alerts: []rule.View{},
	}}
	if err := p.ask(ctx, partition, q); err != nil {
		return nil, err
	}
	if q.of == nil {
		return nil, ErrNoSeries
	}
	q.Treatment = q.plan.Explain(name)
	p.mu.Lock()
	if o := p.owned[partition]; o != nil {
		at, _ := o.lag.read(time.Now())
		q.Position = at.Applied
	}
	p.mu.Unlock()
	return &q.Inspection, nil
}

// InForce is the plan that a partition follows.
func (p *Pipeline) InForce(ctx context.Context, partition int) (*plan.Plan, error) {
	q := new(inspection)
	err := p.ask(ctx, partition, q)
	return q.plan, err
}

// Names lists the series of a partition, derived ones too, in no order.
func (p *Pipeline) Names(ctx context.Context, partition int) ([]string, error) {
	q := &inspection{names: true}
	err := p.ask(ctx, partition, q)
	return q.list, err
}

// ask sends q through the graph of a partition, and waits until it has come out.
func (p *Pipeline) ask(ctx context.Context, partition int, q *inspection) error {
	p.mu.Lock()
	o := p.owned[partition]
	if o != nil && !o.restored {
		o = nil
	}
	p.mu.Unlock()
	if o == nil {
		return ErrNotOwned
	}
	q.Partition, q.done = partition, make(chan struct{})
	select {
	case o.asked <- q:
	case <-o.work.Done():
		return ErrNotOwned
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	select {
	case <-q.done:
		return nil
	case <-o.work.Done():
		return ErrNotOwned
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (s *decode) inspect(q *inspection) {
	q.plan = s.registry.plan
	q.Plan = q.plan.Hash()
	if q.names {
		q.list = make([]string, 0, s.registry.seriesN)
		for _, d := range s.registry.devices {
			for _, of := range d.series {
				q.list = append(q.list, of.name)
			}
		}
		if len(s.registry.asleep) > 0 {
			var err error
			if q.list, err = s.waker.names(s.registry, q.list); err != nil {
				s.log.Warn("series of idle devices not listed", "error", err)
			}
		}
		return
	}
	device, metric, ok := telemetry.SplitSeries(q.Series)
	if !ok {
		return
	}
	s.device(device) // wakes it
	if q.of = s.registry.known(device, metric); q.of == nil {
		return
	}
	q.treat, q.Derived = q.of.treat, q.of.derived
	q.Leads = append(q.Leads, q.treat.leads()...)
}

func (s *validate) inspect(q *inspection) {
	if q.of == nil {
		return
	}
	if n := q.of.newest; n.time != minTime {
		q.Reading.Time, q.Reading.Value = &n.time, finite(n.value)
		if n.changed != minTime {
			q.Reading.SameSince = &n.changed
		}
	}
	if at := q.of.device.newestTime; at != minTime {
		at -= int64(s.latenessOf(q.treat))
		q.Reading.Watermark = &at
	}
}

func (s *compute) inspect(q *inspection) {
	if q.of == nil || q.of.compute == nil {
		return
	}
	c := q.of.compute
	q.State.Compute = len(c.marshalAppend(nil))
	q.dueAt(c.due)
	treat := cmp.Or(c.treat, q.treat)
	outs := treat.outs
	if c.frozen != nil && outs != nil {
		thawed := computeState{
			treat: treat, averages: make([]window.Average, len(outs.averages)), windows: make([]window.State, len(outs.windows)),
			collectors: make([]window.Collector, len(outs.groups)),
		}
		if outs.group != nil {
			thawed.group = new(window.Group)
		}
		thawed.thaw(c.frozen)
		c = &thawed
	}
	if outs == nil || c.treat == nil {
		return
	}
	for i := range outs.windows {
		q.Windows = append(q.Windows, viewOfWindow(outs.windows[i].w, &c.windows[i]))
	}
	if c.group != nil && outs.group != nil {
		q.Windows = append(q.Windows, viewOfGroup(outs.group.w, c.group))
	}
}

// dueAt notes a timer of the series.
func (q *inspection) dueAt(due int64) {
	if due != never && (q.Due == nil || due < *q.Due) {
		q.Due = &due
	}
}

func (s *average) inspect(q *inspection) {
	if q.of == nil {
		return
	}
	a, spec := &q.of.average, &q.treat.Average
	q.Average.Kind = spec.Kind.String()
	q.State.Average = len(a.marshalAppend(nil))
	switch {
	case a.frozen != nil:
		var thawed window.Average
		if thawed.Unmarshal(a.frozen, spec) == nil {
			q.Average.Value = finite(thawed.Value(spec))
		}
	case a.spec != nil && *a.spec == *spec:
		q.Average.Value = finite(a.Value(spec))
	}
}

func (s *judge) inspect(q *inspection) {
	if q.of == nil || q.treat.detector == nil {
		return
	}
	d := &q.of.detector
	q.Detector.On = q.treat.detector.Enabled()
	q.State.Detector = len(d.marshalAppend(nil))
	learned := d.Detector
	if b := d.frozen; learned == nil && len(b) > hashBytes {
		learned = new(detect.Detector)
		if learned.Unmarshal(b[hashBytes:]) != nil {
			return
		}
	}
	if learned != nil {
		v := learned.View()
		q.Detector.Learned = &v
	}
}

func (s *alerting) inspect(q *inspection) {
	if q.of == nil {
		return
	}
	for _, r := range q.treat.rules {
		q.Rules = append(q.Rules, RuleView{r.Name(), r.Kind(), r.Severity()})
	}
	w := &q.of.watch
	q.State.Rules = len(w.marshalAppend(nil))
	q.dueAt(w.due)
	subject := rule.Subject{Partition: s.partition, Series: q.of.name, Unit: q.treat.Unit, Tags: q.treat.Tags, Rules: q.treat.rules}
	look := &w.Watch
	if w.frozen != nil {
		look = new(rule.Watch)
		if look.Unmarshal(w.frozen) != nil {
			return
		}
	}
	q.Alerts = append(q.Alerts, slices.Collect(look.Open(&subject))...)
}

func (s *summarise) inspect(q *inspection) {
	if q.of == nil {
		return
	}
	u := &q.of.summary.newest
	q.Version, q.Latest = q.of.summary.version, viewOf(u)
	q.Detector.State, q.Detector.Score, q.Detector.Lo, q.Detector.Hi = u.State.String(), finite(u.Score), finite(u.Lo), finite(u.Hi)
}
