package pipeline

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"weir/kafka"
	"weir/pipeline/plan"
	"weir/pipeline/rule"
	"weir/telemetry"
	"weir/wire"
)

// ReplayOptions of a Replay. What is nil is not told.
type ReplayOptions struct {
	Config Config
	// Plan is in force until a record says otherwise; nil: plan.Default.
	Plan *plan.Plan
	// Fixed keeps Plan in force whatever records say.
	Fixed bool
	// Partition of Partitions is the one that the records are of.
	Partition, Partitions int

	// Each is valid during the call only.
	Update  func(*telemetry.Update)
	Alert   func(*telemetry.Alert)
	Partial func(partition int, c *wire.Control)
	Deleted func(*wire.Control)
	Letter  func(*wire.DeadLetter)
	Logger  *slog.Logger
	Metrics *metrics.Set
}

// Replay runs the graph of a partition over records of weir.readings, in this goroutine and without a broker: the
// sequential model of what an owner does, whatever crashes come between. It serves tests, dry runs and backtests.
// What it tells depends on the records alone, but for when updates go out: Replay lets them out at the end of Feed.
type Replay struct {
	o      ReplayOptions
	stages *stages
	batch  Batch
	at     int64
}

// NewReplay begins with nothing known of any device.
func NewReplay(o ReplayOptions) (*Replay, error) {
	if err := o.Config.Validate(); err != nil {
		return nil, err
	}
	if o.Partitions < 1 || o.Partition < 0 || o.Partition >= o.Partitions {
		return nil, errors.New("pipeline: replay of a partition that does not exist")
	}
	r := &Replay{o: o}
	r.stages = r.newStages()
	return r, nil
}

func (r *Replay) newStages() *stages {
	o := &r.o
	set := o.Metrics
	if set == nil {
		set = metrics.NewSet()
	}
	m := newCounters(set)
	g := newRegistry(o.Config.MaxSeriesPerDevice)
	if o.Plan != nil {
		g.plan = o.Plan
	}
	g.fixed = o.Fixed
	summarise := newSummarise(o.Config.FlushPeriod, func(time.Duration) {}, m)
	s := &stages{
		decode: &decode{
			registry: g, dedupe: &dedupe{m: m}, partition: o.Partition, partitions: o.Partitions,
			m: m, gauges: newGauges(metrics.NewSet(), o.Partition), log: orDiscard(o.Logger),
			ticked: new(atomic.Int64), planHash: new(atomic.Pointer[planHash]),
		},
		validate: newValidate(o.Config.Lateness, m),
		compute:  newCompute(o.Partition, o.Partitions, m),
		average:  &average{m: m},
		judge:    &judge{m: m},
		rules: &alerting{
			partition: o.Partition, timers: newTimers(func(of *series) int64 { return of.watch.due }), m: m,
			subject: rule.Subject{Partition: o.Partition}, inhibitor: g.plan.Inhibitor(),
		},
		summarise: summarise,
	}
	s.decode.planHash.Store(&planHash{g.plan.Hash()})
	s.emit = &emit{
		ctx: context.Background(), partition: o.Partition, headers: kafka.FenceHeaders(0),
		updates: newLane(0), alerts: newLane(0), giveBack: summarise.giveBack, acknowledged: summarise.acknowledged,
		fail: func(error) {}, at: func(string) error { return nil }, done: func(*Batch) {},
		changed: make(map[string]*telemetry.Alert), m: m,
		dead: outbox{topic: wire.TopicDeadLetters}, backlog: outbox{topic: wire.TopicBacklog},
	}
	return s
}

// Feed runs records, in the order of their offsets, through the graph; next is the offset after them. What they lead
// to has been told when it returns.
func (r *Replay) Feed(records []kafka.Record, next int64) error {
	b := &r.batch
	b.reset()
	if len(records) > 0 {
		b.load(records, next)
		r.pass(b)
	}
	r.pass(&Batch{kind: barrier, next: next})
	r.at = next
	return nil
}

// Due is when (processing time, µs) an owner would write a tick; math.MaxInt64: not before something comes.
func (r *Replay) Due() int64 {
	return min(r.stages.compute.timers.first.Load(), r.stages.rules.timers.first.Load())
}

// Series is how many there are, derived ones included.
func (r *Replay) Series() int { return r.stages.decode.registry.seriesN }

// Tally counts readings.
type Tally struct {
	// Readings that came, those of repeated frames included.
	Readings uint64
	// Refused are those that are part of no value, by reason: late, or why they are not valid.
	Refused map[string]uint64
	// Surplus are those of metrics that there was no room for, or that a plan derives.
	Surplus uint64
	// Repeated are records that came again.
	Repeated uint64
}

// Tally is what has been counted so far, over all replays that share ReplayOptions.Metrics.
func (r *Replay) Tally() Tally {
	m := r.stages.decode.m
	t := Tally{Readings: m.readings.Get(), Surplus: m.surplus.Get(), Repeated: m.duplicates.Get(), Refused: make(map[string]uint64)}
	if n := m.late.Get(); n > 0 {
		t.Refused["late"] = n
	}
	for w := notFinite; w < whys; w++ {
		if n := m.invalid[w].Get(); n > 0 {
			t.Refused[whyNames[w]] = n
		}
	}
	return t
}

func (r *Replay) pass(b *Batch) {
	s := r.stages
	b = s.decode.apply(b)
	if !s.news(b) {
		return
	}
	for _, stage := range []func(*Batch) *Batch{
		s.validate.apply, s.compute.apply, s.average.apply, s.judge.apply, s.rules.apply, s.summarise.apply,
	} {
		b = stage(b)
	}
	r.tell(b)
}

// tell hands out what emit would have written, in its order.
func (r *Replay) tell(b *Batch) {
	for i := range b.records {
		if f := b.records[i].fault; f != nil && r.o.Letter != nil {
			r.o.Letter(r.stages.emit.letter(&b.records[i], b.records[i].key))
		}
	}
	for i := range b.partials {
		if r.o.Partial != nil {
			r.o.Partial(b.partials[i].partition, &b.partials[i].control)
		}
	}
	for i := range b.alerts {
		if r.o.Alert != nil {
			r.o.Alert(&b.alerts[i])
		}
	}
	for i := range b.earlier {
		r.tellRows(b.earlier[i].rows)
		if r.o.Deleted != nil {
			r.o.Deleted(&b.earlier[i].control)
		}
	}
	r.tellRows(b.rows)
	if b.rows != nil {
		r.stages.summarise.giveBack(b.rows)
		r.stages.summarise.acknowledged()
	}
	b.rows, b.earlier = nil, nil
}

func (r *Replay) tellRows(rows []telemetry.Update) {
	if r.o.Update == nil {
		return
	}
	for i := range rows {
		r.o.Update(&rows[i])
	}
}
