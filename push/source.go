package push

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"weir/kafka"
	"weir/wire"
)

// source feeds the hub from Kafka. For each partition it reads weir.latest to its end, and then follows
// weir.updates and weir.alerts from where the partition's marker says that latest is complete.
type source struct {
	kafka *kafka.Client
	hub   *hub
	cfg   *Config
	log   *slog.Logger
	// behind counts the tails that have not yet passed what was there when they began.
	behind atomic.Int64
	thrift thrift        // guards the log from those who come back again and again
	last   time.Duration // lastReading, but in tests

	mu    sync.Mutex
	tails []*tail
	ends  map[string][]kafka.OffsetRange // where to end, once the source is to stop
}

func newSource(s *Server, client *kafka.Client) *source {
	return &source{kafka: client, hub: s.hub, cfg: &s.cfg, log: s.log, thrift: newThrift(s.hub.now()), last: lastReading}
}

// lastReading bounds how long what was written before the end of run's context may take to be read.
const lastReading = time.Second

// run reads until ctx ends, and then what is there at that moment: whoever writes was stopped before, and
// clients should get its last words. Then it returns nil. Any other end is an error.
func (src *source) run(ctx context.Context) error {
	n, err := src.kafka.Partitions(ctx, wire.TopicUpdates)
	if err != nil {
		return orStopped(ctx, fmt.Errorf("push: partitions of %s: %w", wire.TopicUpdates, err))
	}
	ends, err := src.offsets(ctx)
	if err != nil {
		return orStopped(ctx, err)
	}
	for topic, ranges := range ends {
		if len(ranges) != n {
			return fmt.Errorf("push: %s has %d partitions, %s has %d", topic, len(ranges), wire.TopicUpdates, n)
		}
	}
	src.behind.Store(int64(2 * n))
	reading, stop := context.WithCancel(context.WithoutCancel(ctx))
	var finishing sync.WaitGroup
	defer finishing.Wait()
	defer stop()
	finishing.Go(func() {
		select {
		case <-ctx.Done():
			src.finish(reading)
			stop()
		case <-reading.Done():
		}
	})
	return orStopped(ctx, src.follow(reading, n, ends))
}

// follow runs one reader per partition. The first error ends all.
func (src *source) follow(ctx context.Context, n int, ends map[string][]kafka.OffsetRange) error {
	tails, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	for p := range n {
		wg.Go(func() {
			if err := src.followPartition(tails, p, ends); err != nil {
				cancel(fmt.Errorf("push: partition %d: %w", p, err))
			}
		})
	}
	wg.Wait()
	return orStopped(ctx, context.Cause(tails))
}

// finish lets the tails read to the present ends, and returns when ctx, the reading, has ended or has taken
// too long.
func (src *source) finish(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, src.last)
	defer cancel()
	ends, err := src.offsets(ctx)
	if err != nil {
		src.log.Warn("ends of the topics not learned; stopping without the last updates", "error", err)
		return
	}
	src.mu.Lock()
	src.ends = ends
	for _, t := range src.tails {
		if t.doneLocked() {
			t.stop()
		}
	}
	src.mu.Unlock()
	<-ctx.Done()
}

// readBack reads the records that count of a partition's [from, to), which the window does not have any more.
func (src *source) readBack(ctx context.Context, topic string, partition int, from, to int64) (out []stored, err error) {
	var fence kafka.FenceFilter
	size := 0
	read := src.thrift.begin(src.hub.now)
	if !read.spend(0) {
		return nil, errTooOld
	}
	src.hub.m.readBacks.Inc()
	err = src.kafka.ReadRange(ctx, topic, partition, from, to, func(r *kafka.Record) error {
		if !read.spend(len(r.Value)) {
			return errTooOld
		}
		if !fence.Accept(r) {
			return nil
		}
		src.hub.m.readBackBytes.Add(len(r.Value))
		if size += len(r.Value); size > maxReadBack {
			return errTooOld
		}
		out = append(out, stored{r.Offset, bytes.Clone(r.Value)})
		return nil
	})
	return out, err
}

// offsets returns what is in the tailed topics now.
func (src *source) offsets(ctx context.Context) (map[string][]kafka.OffsetRange, error) {
	out := make(map[string][]kafka.OffsetRange, 3)
	for _, topic := range []string{wire.TopicUpdates, wire.TopicAlerts, wire.TopicLatest} {
		ranges, err := src.kafka.Offsets(ctx, topic)
		if err != nil {
			return nil, fmt.Errorf("push: %w", err)
		}
		out[topic] = ranges
	}
	return out, nil
}

// caughtUp notes that one tail has passed what was there at the start.
func (src *source) caughtUp() {
	if src.behind.Add(-1) == 0 {
		src.hub.setReady()
		src.log.Info("push is ready", "series", src.hub.m.series.Load())
	}
}

func orStopped(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil //nolint:nilerr // whatever it was, the end was wanted
	}
	return err
}

// intern gives each series' name one string per partition, so that decoding allocates none.
type intern map[string]string

func (in intern) string(b []byte) string {
	if s, ok := in[string(b)]; ok {
		return s
	}
	s := string(b)
	in[s] = s
	return s
}
