package pipeline

import (
	"context"
	"errors"
	"math"
	"slices"

	"weir/pipeline/rule"
	"weir/telemetry"
)

// Inspection is what a partition knows of one series: what each stage thinks of it, as of Position.
type Inspection struct {
	Series    string `json:"series"`
	Partition int    `json:"partition"`
	// Position is the next offset of weir.readings as of the answer, Version that of the newest update emitted.
	Position int64             `json:"position"`
	Version  telemetry.Version `json:"version"`
	// Plan is what the plan in force is known by, Derived says that the series comes of others.
	Plan    string `json:"plan"`
	Derived bool   `json:"derived,omitempty"`

	// Times are source times in µs; null where nothing is known.
	NewestTime  *int64      `json:"newest_ts"`
	NewestValue *float64    `json:"newest_value"`
	SameSince   *int64      `json:"same_since_ts"`
	Watermark   *int64      `json:"watermark_ts"`
	Average     *float64    `json:"average"`
	AverageKind string      `json:"average_kind"`
	StateBytes  int         `json:"state_bytes"`
	Windows     []Window    `json:"windows,omitempty"`
	Leads       []string    `json:"leads_to,omitempty"`
	Detector    any         `json:"detector"`
	Rules       []string    `json:"rules"`
	Alerts      []rule.View `json:"alerts"`
	// Newest is the newest update.
	Newest *telemetry.Update `json:"-"`
}

// Window is an open window of a series.
type Window struct {
	Name string `json:"name"`
	Kind string `json:"kind"`
	// Ends is the source time (µs) at which the first open one ends; null: none is open.
	Ends *int64 `json:"ends_ts"`
	// Missed are readings that came after theirs had closed.
	Missed uint64 `json:"missed"`
}

// inspection travels through the graph; each stage adds what it knows.
type inspection struct {
	Inspection
	of    *series
	treat *treatment
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
	p.mu.Lock()
	o := p.owned[partition]
	if o != nil && !o.restored {
		o = nil
	}
	p.mu.Unlock()
	if o == nil {
		return nil, ErrNotOwned
	}
	q := &inspection{Inspection: Inspection{Series: name, Partition: partition}, done: make(chan struct{})}
	select {
	case o.asked <- q:
	case <-o.work.Done():
		return nil, ErrNotOwned
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	select {
	case <-q.done:
	case <-o.work.Done():
		return nil, ErrNotOwned
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if q.of == nil {
		return nil, ErrNoSeries
	}
	return &q.Inspection, nil
}

func (s *decode) inspect(q *inspection) {
	device, metric, ok := telemetry.SplitSeries(q.Series)
	if !ok {
		return
	}
	if q.of = s.registry.known(device, metric); q.of == nil {
		return
	}
	q.treat = q.of.treat
	q.Plan, q.Derived = s.registry.plan.Hash(), q.of.derived
	q.Leads = q.treat.leads()
}

func (s *validate) inspect(q *inspection) {
	if q.of == nil {
		return
	}
	n := &q.of.newest
	if n.time != minTime {
		q.NewestTime, q.NewestValue, q.SameSince = &n.time, finite(n.value), &n.changed
		at := *n
		q.NewestTime, q.SameSince = &at.time, &at.changed
	}
	if w := q.of.device.newestTime; w != minTime {
		w -= int64(q.treat.Lateness.Microseconds())
		q.Watermark = &w
	}
}

func (s *compute) inspect(q *inspection) {
	if q.of == nil || q.of.compute == nil {
		return
	}
	c := q.of.compute
	q.StateBytes += len(c.marshalAppend(nil))
	if c.treat == nil || c.treat.outs == nil {
		return
	}
	for i := range c.treat.outs.windows {
		w := c.treat.outs.windows[i].w
		view := Window{Name: w.Name(), Kind: w.Kind().String(), Missed: c.windows[i].Missed()}
		if end := c.windows[i].Due(w); end != never {
			view.Ends = &end
		}
		q.Windows = append(q.Windows, view)
	}
}

func (s *average) inspect(q *inspection) {
	if q.of == nil {
		return
	}
	spec := &q.treat.Average
	q.AverageKind = spec.Kind.String()
	if q.of.average.spec != nil {
		q.Average = finite(q.of.average.Value(spec))
	}
	q.StateBytes += len(q.of.average.marshalAppend(nil))
}

func (s *judge) inspect(q *inspection) {
	if q.of == nil || q.treat.detector == nil {
		return
	}
	q.StateBytes += len(q.of.detector.marshalAppend(nil))
}

func (s *alerting) inspect(q *inspection) {
	if q.of == nil {
		return
	}
	for _, r := range q.treat.rules {
		q.Rules = append(q.Rules, r.Name())
	}
	w := &q.of.watch
	q.StateBytes += len(w.marshalAppend(nil))
	if w.frozen == nil && w.treat != nil {
		q.Alerts = slices.Collect(s.on(q.of, w.treat).Open(&s.subject))
	}
}

func (s *summarise) inspect(q *inspection) {
	if q.of == nil {
		return
	}
	newest := q.of.summary.newest
	q.Version, q.Newest = q.of.summary.version, &newest
}

func finite(v float64) *float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	return &v
}
