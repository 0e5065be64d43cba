package pipeline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"weir/kafka"
	"weir/wire"
)

// owner is one tenure of one partition: from taking over to losing it, or to the first error. A partition
// has one owner at a time that can write; what a former one still tries is refused by the broker.
type owner struct {
	*Pipeline
	partition int
	log       *slog.Logger
	gauges    *gauges
	lag       lag
	// restored is guarded by Pipeline.mu.
	restored bool
	// committed is the group's offset, -1 without one; commit moves it.
	committed int64
	commit    func(ctx context.Context, offset int64) error

	// work ends when the owner has failed, with the reason as its cause. Being asked to stop does not end
	// it before the last checkpoint is written.
	work context.Context
	fail func(error)

	producer *kafka.Producer
	headers  []kafka.Header

	// free holds the batches that are not in flight, ticks a few to use again. A barrier comes out at passed.
	free   chan *Batch
	ticks  chan *Batch
	passed chan *Batch
	// places is where records of weir.state went.
	places places
	// asked takes what somebody wants to know of a series.
	asked chan *inspection
}

// errStopTimeout is why the last checkpoint was given up.
var errStopTimeout = errors.New("stop timeout")

func (p *Pipeline) newOwner(partition int, committed int64, commit func(context.Context, int64) error) *owner {
	o := &owner{
		Pipeline:  p,
		partition: partition,
		log:       p.log.With("partition", partition),
		committed: committed,
		commit:    commit,
		free:      make(chan *Batch, p.config.InFlight),
		ticks:     make(chan *Batch, 2),
		passed:    make(chan *Batch, 1),
		asked:     make(chan *inspection),
	}
	for range p.config.InFlight {
		o.free <- new(Batch)
	}
	return o
}

// run owns the partition until stop ends or something fails.
func (o *owner) run(stop context.Context) error {
	work, fail := context.WithCancelCause(context.WithoutCancel(stop))
	o.work, o.fail = work, fail
	defer fail(nil)
	defer context.AfterFunc(stop, func() {
		give := time.AfterFunc(o.config.StopTimeout, func() { fail(errStopTimeout) })
		context.AfterFunc(work, func() { give.Stop() })
	})()
	o.begin(o)
	defer o.end(o)

	f, err := o.acquire(stop)
	if o.producer != nil {
		defer o.closeProducer()
	}
	if err != nil {
		return fmt.Errorf("acquire: %w", err)
	}
	from, err := o.restore(stop, f)
	if err != nil {
		return err
	}
	if err := o.at("restored"); err != nil {
		return err
	}
	o.lag.begin(from.position)
	o.ready(o)
	return o.newDriver(from, f).run(stop)
}

func (o *owner) closeProducer() {
	if err := o.producer.Close(); err != nil {
		o.log.Debug("close producer", "error", err)
	}
}

// acquire takes the partition over from whoever had it: after its fence record has been written to a topic,
// no former owner can write there. weir.latest is first because its offset is the fence's number.
// weir.updates is last, so that what a former owner emits until then is read back.
func (o *owner) acquire(ctx context.Context) (f fences, err error) {
	o.producer, err = o.client.NewProducer(ctx, kafka.ProducerOptions{
		TransactionalID:  "weir-pipeline-" + strconv.Itoa(o.partition),
		MaxBufferedBytes: 16 << 20,
		CloseTimeout:     time.Second,
	})
	if err != nil {
		return f, err
	}
	number := kafka.OwnOffset
	for _, fence := range []struct {
		topic  string
		offset *int64
	}{
		{wire.TopicLatest, &f.latest},
		{wire.TopicState, &f.state},
		{wire.TopicAlerts, &f.alerts},
		{wire.TopicUpdates, &f.updates},
	} {
		if err := o.at("fence " + fence.topic); err != nil {
			return f, err
		}
		*fence.offset, err = o.producer.ProduceSync(ctx, fence.topic, o.partition, []kafka.Record{kafka.FenceRecord(number)})
		if err == nil && *fence.offset < 0 {
			err = errors.New("the offset of the fence is unknown")
		}
		if err != nil {
			return f, fmt.Errorf("fence %s: %w", fence.topic, err)
		}
		number = f.latest
	}
	o.headers = kafka.FenceHeaders(number)
	return f, nil
}

// at names a point of the protocol; tests make owners crash or sleep there.
func (o *owner) at(point string) error {
	if o.hook == nil {
		return nil
	}
	return o.hook(o.partition, point)
}
