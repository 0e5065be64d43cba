package commands

import (
	"context"
	"fmt"
	"sync"
	"time"

	"weir/kafka"
	"weir/kafka/table"
	"weir/wire"
)

const (
	fetchWait = 5 * time.Second
	// expireEvery is how late a command may be called expired. It is not delivered after its time in any case.
	expireEvery = 500 * time.Millisecond
)

// Run follows weir.messages from its beginning until ctx ends.
func (h *Hub) Run(ctx context.Context) error {
	ends, err := h.client.Offsets(ctx, wire.TopicMessages)
	if err != nil {
		if ctx.Err() != nil {
			return nil //nolint:nilerr // asked to end
		}
		return fmt.Errorf("commands: %w", err)
	}
	var all sync.WaitGroup
	for p := range h.partitions {
		all.Go(func() { h.follow(ctx, p, ends[p]) })
	}
	all.Go(func() { h.expireUntil(ctx) })
	all.Wait()
	return nil
}

func (h *Hub) expireUntil(ctx context.Context) {
	tick := time.NewTicker(expireEvery)
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			h.expire(now)
		case <-ctx.Done():
			return
		}
	}
}

func (h *Hub) follow(ctx context.Context, partition int, there kafka.OffsetRange) {
	table.Follow(ctx, table.FollowOptions{
		Client: h.client, Topic: wire.TopicMessages, Partition: partition, There: there, MaxWait: fetchWait, Logger: h.log,
		Loaded: h.loaded,
		Apply:  func(f *kafka.Fetch, next int64) { h.take(partition, f.Records, next) },
		Lost:   func(n, next int64, err error) { h.lost(partition, n, next, err) },
	})
}

func (h *Hub) lost(partition int, n, next int64, err error) {
	h.log.Error("commands lost to damage in the log", "partition", partition, "offsets", n, "error", err)
	h.advance(partition, next)
}

// take applies what was fetched. Who waits for it is told before the deliveries are noted, as that may take a while.
func (h *Hub) take(partition int, records []kafka.Record, next int64) {
	now := time.Now()
	var delivered []delivery
	for i := range records {
		if d, ok := h.apply(string(records[i].Key), records[i].Value, now); ok {
			delivered = append(delivered, d)
		}
	}
	h.advance(partition, next)
	h.note(delivered...)
}

func (h *Hub) advance(partition int, next int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.applied[partition] == next {
		return
	}
	h.applied[partition] = next
	close(h.changed)
	h.changed = make(chan struct{})
}

func (h *Hub) loaded() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.loading--; h.loading == 0 {
		close(h.ready)
	}
}

// await waits until the command's record has been applied. Its offset is -1 when the broker only confirmed a retry.
func (h *Hub) await(ctx context.Context, c *Command, offset int64) error {
	partition := kafka.PartitionFor(c.Device, h.partitions)
	for {
		h.mu.Lock()
		done, changed := h.applied[partition] > offset, h.changed
		if offset < 0 {
			done = h.find(c.Device, c.ID) != nil
		}
		h.mu.Unlock()
		if done {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
