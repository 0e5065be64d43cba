package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"golang.org/x/sync/semaphore"
)

// ProducerOptions of a Producer. Zero values mean the defaults named.
type ProducerOptions struct {
	// TransactionalID fences: opening a producer with the same id takes over from this one. No transactions
	// are opened. Empty: idempotent only.
	TransactionalID string
	// Linger bounds a partition to one request per so long. An idle partition sends at once. 0: as soon as
	// the request before is answered.
	Linger time.Duration
	// MaxBatchBytes is how large calls are made by coalescing (default 1 MiB). A single call may be larger,
	// up to MaxMessageBytes.
	MaxBatchBytes int
	// MaxBufferedBytes bounds what is accepted and not yet acknowledged (default 64 MiB). Produce blocks there.
	MaxBufferedBytes int
	// DeliveryTimeout bounds retries, from when a batch was begun (default 30 s): its calls then fail with
	// ErrTimeout or ErrInDoubt.
	DeliveryTimeout time.Duration
	// CloseTimeout bounds the flush in Close (default 5 s).
	CloseTimeout time.Duration
	// RenewTimeout bounds a change of epoch (default 5 s), which holds all partitions up.
	RenewTimeout time.Duration
}

const (
	defaultMaxBatchBytes    = 1 << 20
	defaultMaxBufferedBytes = 64 << 20
	defaultDeliveryTimeout  = 30 * time.Second
	defaultCloseTimeout     = 5 * time.Second
	defaultRenewTimeout     = 5 * time.Second
)

func (o *ProducerOptions) setDefaults() error {
	if o.MaxBatchBytes == 0 {
		o.MaxBatchBytes = defaultMaxBatchBytes
	}
	if o.MaxBufferedBytes == 0 {
		o.MaxBufferedBytes = defaultMaxBufferedBytes
	}
	if o.DeliveryTimeout == 0 {
		o.DeliveryTimeout = defaultDeliveryTimeout
	}
	if o.CloseTimeout == 0 {
		o.CloseTimeout = defaultCloseTimeout
	}
	if o.RenewTimeout == 0 {
		o.RenewTimeout = defaultRenewTimeout
	}
	var errs []error
	if o.Linger < 0 {
		errs = append(errs, errors.New("linger: must be >= 0"))
	}
	if o.MaxBatchBytes < batchHeaderSize || o.MaxBatchBytes > MaxMessageBytes {
		errs = append(errs, fmt.Errorf("max_batch_bytes: must be in [%d, %d]", batchHeaderSize, MaxMessageBytes))
	}
	if o.MaxBufferedBytes < MaxMessageBytes {
		errs = append(errs, fmt.Errorf("max_buffered_bytes: must be >= %d", MaxMessageBytes))
	}
	return errors.Join(errs...)
}

// Producer writes records: idempotent, in order per partition, with back-pressure. Safe for concurrent use.
// The package documentation tells how it works inside.
type Producer struct {
	client *Client
	opts   ProducerOptions
	log    *slog.Logger

	memory *semaphore.Weighted // bytes accepted and not acknowledged
	gate   *semaphore.Weighted // senders hold one unit, a change of epoch all of them
	ids    *identities
	ctx    context.Context // ends the senders' requests and pauses
	cancel context.CancelCauseFunc
	wg     sync.WaitGroup

	mu     sync.RWMutex
	queues map[topicPartition]*queue
	closed bool
	fenced error // permanent
}

type topicPartition struct {
	topic     string
	partition int
}

// gateUnits is more than there can be partitions.
const gateUnits = 1 << 30

// NewProducer opens a producer. With a TransactionalID it takes over from any other of that id.
func (c *Client) NewProducer(ctx context.Context, opts ProducerOptions) (*Producer, error) {
	if err := opts.setDefaults(); err != nil {
		return nil, fmt.Errorf("kafka producer: %w", err)
	}
	ids := &identities{client: c, transactionalID: opts.TransactionalID}
	if err := ids.open(ctx); err != nil {
		return nil, fmt.Errorf("open producer %s: %w", opts.TransactionalID, err)
	}
	p := &Producer{
		client: c, opts: opts, log: c.log, ids: ids,
		memory: semaphore.NewWeighted(int64(opts.MaxBufferedBytes)),
		gate:   semaphore.NewWeighted(gateUnits),
		queues: make(map[topicPartition]*queue),
	}
	p.ctx, p.cancel = context.WithCancelCause(context.Background())
	return p, nil
}

// Produce queues recs for one partition. They stay together in one record batch, which is stored wholly or
// not at all. Their bytes are copied before Produce returns. It blocks while the buffer is full; ctx ends
// that wait. If it returns nil, done (which may be nil) is called once, in order per partition, from a
// goroutine of the producer, and must not block: with the offset of recs[0], or an error. The offset is -1
// in the rare case that a broker only confirms a retry as a duplicate.
func (p *Producer) Produce(ctx context.Context, topic string, partition int, recs []Record, done func(base int64, err error)) error {
	if len(recs) == 0 {
		return errors.New("produce: no records")
	}
	size := recordsBound(recs)
	if size+batchHeaderSize > MaxMessageBytes {
		return fmt.Errorf("produce to %s/%d: %w: %d bytes", topic, partition, ErrTooLarge, size)
	}
	q, err := p.queue(topicPartition{topic, partition})
	if err != nil {
		return err
	}
	if err := p.memory.Acquire(ctx, int64(size)); err != nil {
		return fmt.Errorf("produce to %s/%d: buffer full: %w", topic, partition, err)
	}
	if err := q.add(recs, size, done); err != nil {
		p.memory.Release(int64(size))
		return err
	}
	return nil
}

// ProduceSync produces recs and waits for the outcome. If ctx ends first, the records may still be stored.
func (p *Producer) ProduceSync(ctx context.Context, topic string, partition int, recs []Record) (base int64, err error) {
	type outcome struct {
		base int64
		err  error
	}
	ch := make(chan outcome, 1)
	err = p.Produce(ctx, topic, partition, recs, func(base int64, err error) { ch <- outcome{base, err} })
	if err != nil {
		return -1, err
	}
	select {
	case out := <-ch:
		return out.base, out.err
	case <-ctx.Done():
		return -1, fmt.Errorf("produce to %s/%d: %w: %w", topic, partition, ErrInDoubt, ctx.Err())
	}
}

// Flush sends what is queued without lingering and waits until all calls accepted before it are done.
func (p *Producer) Flush(ctx context.Context) error {
	p.mu.RLock()
	var waits []<-chan struct{}
	for _, q := range p.queues {
		if ch := q.flush(); ch != nil {
			waits = append(waits, ch)
		}
	}
	p.mu.RUnlock()
	for _, ch := range waits {
		select {
		case <-ch:
		case <-ctx.Done():
			return fmt.Errorf("flush: %w", ctx.Err())
		}
	}
	return nil
}

// Close refuses new calls, flushes for at most CloseTimeout, fails what is left with ErrClosed, and returns
// when the producer's goroutines have ended.
func (p *Producer) Close() error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		p.wg.Wait()
		return nil
	}
	p.closed = true
	for _, q := range p.queues {
		q.close()
	}
	p.mu.Unlock()

	ctx, cancel := context.WithTimeout(context.Background(), p.opts.CloseTimeout)
	defer cancel()
	err := p.Flush(ctx)
	p.cancel(ErrClosed)
	p.wg.Wait()
	return err
}

// Renew raises the epoch of a fenced producer by its own id and epoch. A broker forgets a transactional id
// that was idle for 7 days, and a successor would then fence nobody: call it daily. It waits for the
// requests under way, and returns ErrTimeout if one of them, or the coordinator, is not answered within
// RenewTimeout: try again later, meanwhile all goes on under the old epoch. It returns ErrFenced if there is
// a successor.
func (p *Producer) Renew(ctx context.Context) error {
	if p.opts.TransactionalID == "" {
		return nil
	}
	return p.renew(ctx, p.ids.shared())
}

// renew raises the epoch unless somebody else has done so since the caller saw old.
func (p *Producer) renew(ctx context.Context, old identity) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(p.ctx, cancel)()
	bounded, cancel := context.WithTimeout(ctx, p.opts.RenewTimeout)
	defer cancel()
	err := p.renewAlone(bounded, old)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrFenced):
		p.fence(err)
	case bounded.Err() != nil && ctx.Err() == nil:
		err = fmt.Errorf("%w: %w", ErrTimeout, err)
	}
	return fmt.Errorf("renew: %w", err)
}

// renewAlone raises the epoch while nobody sends.
func (p *Producer) renewAlone(ctx context.Context, old identity) error {
	if err := p.gate.Acquire(ctx, gateUnits); err != nil {
		return err
	}
	defer p.gate.Release(gateUnits)
	if p.ids.shared() != old {
		return nil
	}
	return p.ids.renew(ctx)
}

// fence makes the producer refuse everything from now on.
func (p *Producer) fence(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fenced == nil {
		p.fenced = err
		p.log.Warn("producer fenced", "transactional_id", p.opts.TransactionalID)
	}
}

// refusal is why the producer takes nothing more, nil if it does.
func (p *Producer) refusal() error {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.fenced
}

// queue returns the queue of a partition; its sender starts with it.
func (p *Producer) queue(tp topicPartition) (*queue, error) {
	p.mu.RLock()
	q, closed, fenced := p.queues[tp], p.closed, p.fenced
	p.mu.RUnlock()
	switch {
	case fenced != nil:
		return nil, fenced
	case closed:
		return nil, fmt.Errorf("producer: %w", ErrClosed)
	case q != nil:
		return q, nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if q = p.queues[tp]; q == nil {
		if p.closed {
			return nil, fmt.Errorf("producer: %w", ErrClosed)
		}
		q = newQueue(p, tp)
		p.queues[tp] = q
		p.wg.Go(q.run)
	}
	return q, nil
}

// rawProduce sends one sealed batch.
func (c *Client) rawProduce(ctx context.Context, tp topicPartition, batch []byte) (base int64, err error) {
	res, err := c.api.RawProduce(ctx, &kafkago.RawProduceRequest{
		Topic: tp.topic, Partition: tp.partition, RequiredAcks: kafkago.RequireAll, RawRecords: rawRecords(batch),
	})
	if err != nil {
		return -1, err
	}
	return res.BaseOffset, res.Error
}
