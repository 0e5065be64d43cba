package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"time"

	"weir/kafka"
	"weir/wire"
)

// floors keeps the embedded broker from deleting what is still needed: of readings, updates and alerts, what
// lies beyond the marker that a partition's last checkpoint left in weir.latest. A pipeline that starts
// again reads from there, and so does push.
type floors struct {
	client *kafka.Client
	log    *slog.Logger

	mu      sync.Mutex
	markers map[int]wire.Marker
}

func newFloors(client *kafka.Client, log *slog.Logger) *floors {
	return &floors{client: client, log: log, markers: make(map[int]wire.Marker)}
}

// floor is an embedded.Floor.
func (f *floors) floor(_ context.Context, topic string, partition int) (int64, error) {
	f.mu.Lock()
	marker, ok := f.markers[partition]
	f.mu.Unlock()
	unknown := int64(-1)
	switch topic {
	case wire.TopicReadings:
		return pick(ok, marker.Readings, unknown), nil
	case wire.TopicUpdates:
		return pick(ok, marker.Updates, unknown), nil
	case wire.TopicAlerts:
		return pick(ok, marker.Alerts, unknown), nil
	default:
		return math.MaxInt64, nil // nobody has to have read it
	}
}

func pick(ok bool, a, b int64) int64 {
	if ok {
		return a
	}
	return b
}

// run follows the markers of all partitions until ctx ends.
func (f *floors) run(ctx context.Context, partitions int) {
	var all sync.WaitGroup
	for p := range partitions {
		all.Go(func() {
			for ctx.Err() == nil {
				if err := f.follow(ctx, p); err != nil && ctx.Err() == nil {
					f.log.Warn("markers cannot be read; trying again", "partition", p, "error", err)
					pause(ctx, time.Second)
				}
			}
		})
	}
	all.Wait()
}

// follow reads from the start: the last marker may be anywhere. It returns nil when what it was about to
// read has been rewritten.
func (f *floors) follow(ctx context.Context, partition int) error {
	tail := f.client.NewTail(kafka.TailOptions{
		Topic: wire.TopicLatest, Partition: partition, Offset: kafka.FirstOffset, MaxWait: 5 * time.Second})
	defer func() { _ = tail.Close() }()
	var filter kafka.FenceFilter
	for {
		fetch, err := tail.Next(ctx)
		var trimmed *kafka.ErrOffsetOutOfRange
		if errors.As(err, &trimmed) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("follow %s: %w", wire.TopicLatest, err)
		}
		for i := range fetch.Records {
			if r := &fetch.Records[i]; filter.Accept(r) {
				f.take(partition, r)
			}
		}
	}
}

func (f *floors) take(partition int, r *kafka.Record) {
	if kind, _ := wire.ParseLatestKey(r.Key); kind != wire.LatestMarker || r.Value == nil {
		return
	}
	marker, err := wire.DecodeMarker(r.Value)
	if err != nil {
		f.log.Warn("marker does not decode", "partition", partition, "offset", r.Offset, "error", err)
		return
	}
	f.mu.Lock()
	f.markers[partition] = marker
	f.mu.Unlock()
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
