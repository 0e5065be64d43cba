package kafka

import (
	"fmt"
	"slices"
	"sync"
	"time"
)

// queue holds the batches of one partition on their way to the broker. Callers encode into the last batch,
// the queue's sender takes the first; at most one request is under way, so order and sequence hold.
type queue struct {
	p    *Producer
	tp   topicPartition
	wake chan struct{} // one token: there is something to look at
	free sync.Pool     // *batch

	mu        sync.Mutex
	batches   []*batch
	last      *batch // newest that is not finished, perhaps under way
	idle      bool   // the sender waits for a batch
	lingering bool   // the sender waits for the linger to pass
	urgent    bool   // somebody flushes: do not linger until that is done
	closed    bool

	// Sender's own.
	id       identity
	sequence int32
	stale    bool // id must be replaced before the next batch
	failing  bool // the last batch was given up
	sent     time.Time
	timer    *time.Timer
}

// batch is a record batch with the calls it serves.
type batch struct {
	recordBatch
	calls    []call
	memory   int64
	opened   time.Time
	shared   bool          // an attempt that was given up may still read buf
	finished chan struct{} // made for whoever waits, closed at the end
}

type call struct {
	first int32 // index of the call's first record
	done  func(base int64, err error)
}

func newQueue(p *Producer, tp topicPartition) *queue {
	q := &queue{p: p, tp: tp, wake: make(chan struct{}, 1), id: noIdentity, timer: time.NewTimer(time.Hour)}
	q.timer.Stop()
	q.free.New = func() any { return new(batch) }
	return q
}

// add encodes recs into the open batch, or a new one.
func (q *queue) add(recs []Record, size int, done func(int64, error)) error {
	now := time.Now()
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return fmt.Errorf("producer: %w", ErrClosed)
	}
	b := q.open(size, now)
	b.calls = append(b.calls, call{first: b.count, done: done})
	b.memory += int64(size)
	ms := now.UnixMilli()
	for i := range recs {
		b.add(&recs[i], ms)
	}
	wake := q.idle || q.lingering && q.due()
	q.idle = false
	q.mu.Unlock()

	q.p.client.metrics.buffered.Add(float64(size))
	if wake {
		q.signal()
	}
	return nil
}

// open returns a batch with room for size more bytes.
func (q *queue) open(size int, now time.Time) *batch {
	if n := len(q.batches); n > 0 {
		if b := q.batches[n-1]; b.size()+size <= q.p.opts.MaxBatchBytes {
			return b
		}
	}
	b := q.free.Get().(*batch)
	b.opened = now
	q.batches = append(q.batches, b)
	q.last = b
	return b
}

// due reports whether the first batch should go although the linger has not passed.
func (q *queue) due() bool {
	return len(q.batches) > 1 || q.urgent || q.closed ||
		len(q.batches) == 1 && q.batches[0].size() >= q.p.opts.MaxBatchBytes*9/10
}

func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// flush ends lingering and returns a channel that is closed when all that is queued now is done; nil if
// nothing is.
func (q *queue) flush() <-chan struct{} {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.last == nil {
		return nil
	}
	q.urgent = true
	q.signal()
	if q.last.finished == nil {
		q.last.finished = make(chan struct{})
	}
	return q.last.finished
}

func (q *queue) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.signal()
}

// run is the sender: it ends when the queue is closed and empty.
func (q *queue) run() {
	defer q.timer.Stop()
	for {
		b := q.next()
		if b == nil {
			return
		}
		base, err := q.deliver(b)
		q.finish(b, base, err)
	}
}

// next waits for a batch that may be sent now; nil means there will be none.
func (q *queue) next() *batch {
	for {
		q.mu.Lock()
		if len(q.batches) == 0 {
			if q.closed {
				q.mu.Unlock()
				return nil
			}
			q.idle, q.urgent = true, false
			q.mu.Unlock()
			<-q.wake
			continue
		}
		now := time.Now()
		if wait := q.p.opts.Linger - now.Sub(q.sent); wait > 0 && !q.due() {
			q.lingering = true
			q.mu.Unlock()
			q.timer.Reset(wait)
			select {
			case <-q.timer.C:
			case <-q.wake:
			}
			q.timer.Stop()
			q.mu.Lock()
			q.lingering = false
			q.mu.Unlock()
			continue
		}
		b := q.batches[0]
		q.batches = slices.Delete(q.batches, 0, 1)
		q.sent = now
		q.mu.Unlock()
		return b
	}
}

// finish tells the calls of b the outcome, in order, and gives their memory back.
func (q *queue) finish(b *batch, base int64, err error) {
	m := q.p.client.metrics
	if err != nil {
		err = fmt.Errorf("produce to %s/%d: %w", q.tp.topic, q.tp.partition, err)
		m.failed[Classify(err)].Add(int(b.count))
	} else {
		m.records.Add(int(b.count))
		m.bytes.Add(b.size())
		m.ack.UpdateDuration(b.opened)
	}
	for _, c := range b.calls {
		if c.done == nil {
			continue
		}
		if err != nil || base < 0 {
			c.done(-1, err)
		} else {
			c.done(base+int64(c.first), nil)
		}
	}
	m.buffered.Add(-float64(b.memory))
	q.p.memory.Release(b.memory)

	q.mu.Lock()
	if q.last == b {
		q.last = nil
	}
	if b.finished != nil {
		close(b.finished)
		q.urgent = false
	}
	q.mu.Unlock()
	q.recycle(b)
}

// recycle keeps a batch for later unless somebody may still read its bytes.
func (q *queue) recycle(b *batch) {
	if b.shared {
		return
	}
	clear(b.calls)
	b.reset()
	*b = batch{recordBatch: b.recordBatch, calls: b.calls[:0]}
	q.free.Put(b)
}
