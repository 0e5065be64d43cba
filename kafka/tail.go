package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"
	kafkago "github.com/segmentio/kafka-go"
)

// TailOptions of a Tail.
type TailOptions struct {
	Topic     string
	Partition int
	Offset    int64         // first offset wanted: absolute, FirstOffset or EndOffset (resolved by the first Next)
	MaxBytes  int           // per fetch (default 1 MiB); a larger batch still comes whole
	MaxWait   time.Duration // how long a fetch waits for the first record (default 500 ms)
	// Committed leaves out what is in transactions that are aborted, and waits for those that are open: for topics of
	// others, as Weir opens none.
	Committed bool
}

const (
	defaultFetchBytes = 1 << 20
	defaultFetchWait  = 500 * time.Millisecond
)

// Tail reads one partition from an offset onwards, without a group. Not safe for concurrent use, except Close.
// A partition is not fetched between calls of Next: not calling it is the back-pressure.
type Tail struct {
	client  *Client
	opts    TailOptions
	offset  int64
	conn    *brokerConn
	decoder recordDecoder
	pause   *backoff.ExponentialBackOff
	failing int // attempts failed in a row
	closing context.Context
	close   context.CancelFunc
}

// Fetch is what one call of Next yields. Records and their bytes are valid until the next call; an empty
// one after MaxWait is legal.
type Fetch struct {
	Records       []Record
	HighWatermark int64 // offset after the last record there is: the lag's other end
	LogStart      int64 // first offset there is
}

// NewTail returns a tail. It connects with the first Next.
func (c *Client) NewTail(opts TailOptions) *Tail {
	if opts.MaxBytes <= 0 {
		opts.MaxBytes = defaultFetchBytes
	}
	if opts.MaxWait <= 0 {
		opts.MaxWait = defaultFetchWait
	}
	t := &Tail{client: c, opts: opts, offset: opts.Offset, pause: newBackOff()}
	t.closing, t.close = context.WithCancel(context.Background())
	return t
}

// Offset is the offset that the next fetch asks for.
func (t *Tail) Offset() int64 { return t.offset }

// SeekTo makes offset the one that the next fetch asks for: absolute, FirstOffset or EndOffset. Records of the
// last fetch stay valid.
func (t *Tail) SeekTo(offset int64) { t.offset = offset }

// Next returns the next records, waiting up to MaxWait for one. Lost connections and changes of leader are
// retried, with back-off, until ctx ends; other errors are returned: *ErrOffsetOutOfRange, *CorruptError, an
// unknown topic, a refusal. After an error Next may be called again and repeats the same offset; SeekTo goes
// past it.
func (t *Tail) Next(ctx context.Context) (Fetch, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(t.closing, cancel)()
	t.decoder.release()
	for {
		out, err := t.fetch(ctx)
		if err == nil {
			t.recovered()
			return out, nil
		}
		if t.closing.Err() != nil {
			t.drop()
			return Fetch{}, t.wrap(ErrClosed)
		}
		if err := t.failed(ctx, err); err != nil {
			return Fetch{}, t.wrap(err)
		}
	}
}

// Close ends a Next that is waiting, and those after it.
func (t *Tail) Close() error {
	t.close()
	return nil
}

func (t *Tail) wrap(err error) error {
	return fmt.Errorf("tail %s/%d: %w", t.opts.Topic, t.opts.Partition, err)
}

func (t *Tail) drop() {
	if t.conn != nil {
		t.conn.close()
		t.conn = nil
	}
}

// fetch makes one attempt, connecting and resolving the offset if need be.
func (t *Tail) fetch(ctx context.Context) (Fetch, error) {
	if err := ctx.Err(); err != nil {
		return Fetch{}, err
	}
	if t.conn == nil {
		addr, err := t.client.leader(ctx, t.opts.Topic, t.opts.Partition)
		if err != nil {
			return Fetch{}, err
		}
		if t.conn, err = t.client.connect(ctx, addr); err != nil {
			t.conn = nil
			return Fetch{}, err
		}
	}
	if t.offset < 0 {
		if err := t.resolve(ctx); err != nil {
			return Fetch{}, err
		}
	}
	m := t.client.metrics
	m.fetches.Inc()
	res, err := t.conn.fetch(ctx, &fetchRequest{
		topic: t.opts.Topic, partition: t.opts.Partition, offset: t.offset, maxBytes: t.opts.MaxBytes, maxWait: t.opts.MaxWait,
		committed: t.opts.Committed,
	})
	if err != nil {
		return Fetch{}, err
	}
	t.decoder.aborted = res.aborted
	records, next, err := t.decoder.decode(res.data, t.offset)
	if err != nil {
		return Fetch{}, t.corrupt(err, res.highWatermark)
	}
	m.fetchBytes.Add(len(res.data))
	m.fetched.Add(len(records))
	t.offset = next
	return Fetch{Records: records, HighWatermark: res.highWatermark, LogStart: res.logStart}, nil
}

// corrupt completes what the decoder says of a batch. Nothing lies behind the high watermark, whatever a
// damaged header says.
func (t *Tail) corrupt(err error, highWatermark int64) error {
	var out *CorruptError
	if errors.As(err, &out) {
		out.Topic, out.Partition = t.opts.Topic, t.opts.Partition
		out.Next = max(min(out.Next, highWatermark), out.First+1)
	}
	return err
}

func (t *Tail) resolve(ctx context.Context) error {
	r, err := t.offsets(ctx)
	if err != nil {
		return err
	}
	if t.offset == EndOffset {
		t.offset = r.End
	} else {
		t.offset = r.First
	}
	return nil
}

// offsets asks on the tail's own connection.
func (t *Tail) offsets(ctx context.Context) (OffsetRange, error) {
	out := make([]OffsetRange, t.opts.Partition+1)
	err := t.conn.offsets(ctx, t.opts.Topic, []int{t.opts.Partition}, out)
	return out[t.opts.Partition], err
}

// failed decides about an error: nil means to try again, which it has waited for.
func (t *Tail) failed(ctx context.Context, err error) error {
	if errors.Is(err, kafkago.OffsetOutOfRange) {
		t.client.metrics.fetchError[ReasonOffsetRange].Inc()
		r, failure := t.offsets(ctx)
		if failure == nil {
			return &ErrOffsetOutOfRange{Topic: t.opts.Topic, Partition: t.opts.Partition, Offset: t.offset, First: r.First, End: r.End}
		}
		err = failure // to be had another time
	}
	t.drop()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	reason := Classify(err)
	t.client.metrics.fetchError[reason].Inc()
	if !Retriable(err) || reason == ReasonUnknownTopic && t.failing >= missingTopicAttempts {
		t.failing = 0
		return err
	}
	if t.failing == 0 {
		t.client.log.Warn("tail interrupted", "topic", t.opts.Topic, "partition", t.opts.Partition, "reason", reason, "error", err)
	}
	t.failing++
	t.client.refresh()
	if !sleep(ctx, t.pause.NextBackOff()) {
		return fmt.Errorf("%w (last: %w)", ctx.Err(), err)
	}
	return nil
}

func (t *Tail) recovered() {
	if t.failing > 0 {
		t.failing = 0
		t.pause.Reset()
		t.client.log.Info("tail resumed", "topic", t.opts.Topic, "partition", t.opts.Partition, "offset", t.offset)
	}
}

// ReadRange reads the records of [from, to) once, in order, and returns when it has passed to-1. from may be
// FirstOffset. The record is valid during the call of fn, whose error ends the reading.
func (c *Client) ReadRange(ctx context.Context, topic string, partition int, from, to int64, fn func(*Record) error) error {
	if from == FirstOffset {
		ranges, err := c.Offsets(ctx, topic)
		if err != nil {
			return err
		}
		if partition >= len(ranges) {
			return fmt.Errorf("read %s/%d: %w", topic, partition, kafkago.UnknownTopicOrPartition)
		}
		from = ranges[partition].First
	}
	if from >= to {
		return nil
	}
	t := c.NewTail(TailOptions{Topic: topic, Partition: partition, Offset: from})
	defer t.drop()
	defer t.close()
	for t.offset < to {
		f, err := t.Next(ctx)
		if err != nil {
			return err
		}
		for i := range f.Records {
			if f.Records[i].Offset >= to {
				return nil
			}
			if err := fn(&f.Records[i]); err != nil {
				return err
			}
		}
	}
	return nil
}
