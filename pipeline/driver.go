package pipeline

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"weir/kafka"
	"weir/pipeline/rule"
	"weir/pipeline/rx"
	"weir/wire"
)

// renewEvery is how often an owner renews its producer id, renewAgain when that took too long. A broker forgets a
// transactional id that was idle for a week, and would then let a former owner write.
const (
	renewEvery = 24 * time.Hour
	renewAgain = time.Hour
)

// driver owns the source of a partition's graph: what is fetched, the ticks that end a flush period, and
// the barriers of checkpoints take their place in the stream here.
type driver struct {
	*owner
	source *rx.Source[Batch]
	stages *stages
	// drained closes when the source was closed and the graph has ended.
	drained <-chan struct{}
	fetched chan *Batch
	// wake asks for a tick after so long; summarise sends, and drops the request if one waits already.
	wake chan time.Duration

	position int64
	caughtUp int64
	// unclean: there is something to write at the next checkpoint, or only to commit.
	unclean bool

	checkpoint checkpoint
	evictor    evictor
	logs       compactor
	clock      clockwork
	// isSettled: the graph was told that the replay has passed what was emitted.
	isSettled bool
	// alerted names the series with alerts that predecessors left open.
	alerted map[string]*series
	// persisting is nil while no checkpoint is being written.
	persisting chan error
}

func (o *owner) newDriver(from *restored, f fences) *driver {
	d := &driver{
		owner:    o,
		source:   rx.NewSource[Batch](0),
		fetched:  make(chan *Batch),
		wake:     make(chan time.Duration, 1),
		position: from.position,
		caughtUp: from.caughtUp,
		logs:     from.logs,
		// Its first marker says that a successor need read back only from this owner's fences on, however old
		// the ones before grow.
		unclean: true,
		alerted: make(map[string]*series),
	}
	if !from.lately {
		d.clock.hold = time.Now().Add(outage)
	}
	for _, alert := range from.open {
		d.alerted[alert.Series] = nil
	}
	d.evictor = evictor{
		after: o.config.EvictAfter.Microseconds(), drop: o.config.DropAfter.Microseconds(), m: o.m, places: &o.places, inMemory: true,
	}
	summarise := newSummarise(o.config.FlushPeriod, d.requestTick, o.m)
	summarise.stale = from.stale
	d.stages = &stages{
		decode: &decode{
			registry: from.registry, dedupe: &dedupe{m: o.m}, waker: o.newWaker(o.work), partition: o.partition, partitions: from.partitions,
			m: o.m, gauges: o.gauges, log: o.log, enricher: o.enricher,
			ticked: new(atomic.Int64), planHash: new(atomic.Pointer[planHash]),
		},
		validate: newValidate(o.config.Lateness, o.m),
		compute:  newCompute(o.partition, from.partitions, o.m),
		average:  &average{m: o.m},
		judge:    &judge{m: o.m},
		rules: &alerting{
			partition: o.partition, timers: newTimers(func(of *series) int64 { return of.watch.due }), silences: from.silences, told: from.told, open: from.open, m: o.m,
			subject: rule.Subject{Partition: o.partition}, inhibitor: from.registry.plan.Inhibitor(),
		},
		summarise: summarise,
		emit: &emit{
			ctx: o.work, producer: o.producer, partition: o.partition, headers: o.headers,
			updates: newLane(f.updates + 1), alerts: newLane(f.alerts + 1),
			giveBack: summarise.giveBack, acknowledged: summarise.acknowledged,
			fail: o.fail, at: o.at, done: d.done,
			changed: from.changed, m: o.m, log: o.log, enricher: o.enricher, plan: from.registry.plan,
			dead: outbox{topic: wire.TopicDeadLetters}, backlog: outbox{topic: wire.TopicBacklog},
		},
	}
	d.stages.decode.planHash.Store(&planHash{from.registry.plan.Hash()})
	d.stages.arm(from)
	return d
}

// requestTick is called by summarise and by the producer.
func (d *driver) requestTick(after time.Duration) {
	select {
	case d.wake <- after:
	default:
	}
}

// done takes back a batch that has passed the graph.
func (d *driver) done(b *Batch) {
	switch b.kind {
	case data:
		d.lag.passed()
		b.reset()
		d.free <- b // never blocks: there is room for all of them
	case flush, settled:
		b.reset()
		select {
		case d.ticks <- b:
		default:
		}
	case barrier:
		d.passed <- b
	}
}

// run drives the graph until stop ends, which is when it drains and writes a last checkpoint, or until the
// owner fails, which is when it leaves everything as it is.
func (d *driver) run(stop context.Context) error {
	var fetching sync.WaitGroup
	reading, stopReading := context.WithCancel(d.work)
	d.drained = d.stages.start(d.source, d.panicked)
	fetching.Go(func() {
		if err := d.fetch(reading, d.position, d.fetched); err != nil {
			d.fail(err)
		}
	})
	halt := func() {
		stopReading()
		fetching.Wait()
	}
	err := d.loop(stop)
	halt()
	if err == nil {
		err = d.finish()
	}
	if err != nil {
		d.fail(err) // frees whatever waits inside the graph
	}
	d.source.Close()
	<-d.drained
	d.stages.decode.waker.close()
	if d.persisting != nil {
		if late := <-d.persisting; err == nil {
			err = late
		}
	}
	return err
}

func (d *driver) loop(stop context.Context) error {
	flush := time.NewTimer(time.Hour)
	flush.Stop()
	defer flush.Stop()
	checkpoint := time.NewTimer(d.firstCheckpoint())
	defer checkpoint.Stop()
	renew := time.NewTimer(renewEvery)
	defer renew.Stop()
	attend := time.NewTicker(lookEvery)
	defer attend.Stop()
	if err := d.attend(time.Now()); err != nil { // a new installation begins with the plan, not with what comes before it
		return err
	}
	if err := d.settle(); err != nil {
		return err
	}
	for {
		var err error
		select {
		case <-d.work.Done():
			err = context.Cause(d.work)
		case <-stop.Done():
			return nil
		case b := <-d.fetched:
			err = d.feed(b)
		case after := <-d.wake:
			flush.Reset(after)
		case <-flush.C:
			err = d.source.Send(d.work, d.tick())
		case now := <-attend.C:
			err = d.attend(now)
		case asked := <-d.asked:
			d.evictor.inMemory = true // it may wake somebody
			err = d.source.Send(d.work, &Batch{kind: look, looked: asked})
		case <-checkpoint.C:
			checkpoint.Reset(d.config.CheckpointPeriod)
			err = d.tryCheckpoint()
		case err = <-d.persisting:
			d.persisting = nil
			d.unclean = d.unclean || !d.checkpoint.committed // to commit at the next occasion
		case <-renew.C:
			var next time.Duration
			next, err = d.renewed(d.producer.Renew(d.work))
			renew.Reset(next)
		}
		if err != nil {
			return err
		}
	}
}

// renewed tells when to renew next. Meanwhile all goes on under the old epoch.
func (d *driver) renewed(err error) (next time.Duration, fatal error) {
	if errors.Is(err, kafka.ErrTimeout) {
		d.log.Warn("producer id not renewed", "again_in", renewAgain, "error", err)
		return renewAgain, nil
	}
	return renewEvery, err
}

// firstCheckpoint spreads the checkpoints of partitions that were assigned together over the period.
func (d *driver) firstCheckpoint() time.Duration {
	const places = 8
	return d.config.CheckpointPeriod * time.Duration(1+d.partition%places) / places
}

func (d *driver) feed(b *Batch) error {
	if err := d.at("batch"); err != nil {
		return err
	}
	next := b.next
	if err := d.source.Send(d.work, b); err != nil {
		return err
	}
	d.position = next
	d.unclean = true
	return d.settle()
}

// settle tells the graph, once, when the replay has passed all that a predecessor emitted.
func (d *driver) settle() error {
	if d.isSettled || d.position < d.caughtUp {
		return nil
	}
	d.isSettled = true
	b := d.tick()
	b.kind, b.next, b.named = settled, d.position, d.alerted
	d.alerted = nil
	return d.source.Send(d.work, b)
}

func (d *driver) tick() *Batch {
	select {
	case b := <-d.ticks:
		b.kind = flush
		return b
	default:
		return &Batch{kind: flush}
	}
}

// tryCheckpoint begins a checkpoint if there is something to write and nothing against it.
func (d *driver) tryCheckpoint() error {
	if d.persisting != nil || !d.due() {
		return nil
	}
	if err := d.snapshot(); err != nil {
		return err
	}
	started := time.Now()
	d.evictor.look(d.stages.decode.registry, d.position, d.lag.clock(started), d.headers)
	d.gauges.registered(d.stages.decode.registry)
	d.m.pauses.UpdateDuration(started)
	if err := d.dropIdle(); err != nil {
		return err
	}
	persisted := make(chan error, 1)
	d.persisting = persisted
	go func() { persisted <- d.persistAndCompact() }()
	return nil
}

func (d *driver) persistAndCompact() error {
	if err := d.persist(d.work, &d.checkpoint); err != nil {
		return err
	}
	d.logs.wrote(&d.checkpoint)
	if err := d.writeWhole(d.work, &d.evictor); err != nil {
		return err
	}
	d.logs.state.add(d.evictor.records...)
	return d.compact(d.work, &d.logs, &d.checkpoint)
}

func (d *driver) due() bool {
	return (d.unclean || d.evictor.wants(time.Now())) && d.position >= d.caughtUp
}

// snapshot drains the graph and encodes what changed.
func (d *driver) snapshot() error {
	started := time.Now()
	if err := d.at("checkpoint"); err != nil {
		return err
	}
	if err := d.source.Send(d.work, &Batch{kind: barrier}); err != nil {
		return err
	}
	var b *Batch
	select {
	case b = <-d.passed:
	case <-d.work.Done():
		return context.Cause(d.work)
	}
	if err := d.work.Err(); err != nil {
		return context.Cause(d.work)
	}
	// The barrier came through all channels of the graph, and nothing is behind it: what the stages wrote
	// happened before this, and they touch nothing until the next Send.
	d.checkpoint.started = started
	d.evictor.settle(d.stages.decode.registry)
	d.checkpoint.take(b, d.stages, d.position, d.headers)
	d.unclean = false
	d.m.encoded(&d.checkpoint.encoder.sizes)
	d.m.pauses.UpdateDuration(started)
	return nil
}

// finish writes the last checkpoint of an owner that was asked to stop.
func (d *driver) finish() error {
	if d.persisting != nil {
		select {
		case err := <-d.persisting:
			d.persisting = nil
			d.unclean = d.unclean || !d.checkpoint.committed
			if err != nil {
				return err
			}
		case <-d.work.Done():
			return context.Cause(d.work)
		}
	}
	if !d.due() {
		return nil
	}
	if err := d.snapshot(); err != nil {
		return err
	}
	return d.persist(d.work, &d.checkpoint)
}

// panicked is called for a panic outside the handling of a single record: a bug. What the stage had done
// is unknown, so the owner stops and a new one begins at the last checkpoint.
func (d *driver) panicked(f rx.Fault[Batch]) {
	d.m.panics.Inc()
	d.log.Error("stage panicked", "stage", f.Stage, "cause", f.Value, "stack", string(f.Stack))
	d.fail(fmt.Errorf("stage %s: panic: %v", f.Stage, f.Value))
}
