package commands

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"weir/kafka"
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
		all.Go(func() { h.follow(ctx, p, ends[p].End) })
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

func (h *Hub) follow(ctx context.Context, partition int, end int64) {
	tail := h.client.NewTail(kafka.TailOptions{
		Topic: wire.TopicMessages, Partition: partition, Offset: kafka.FirstOffset, MaxWait: fetchWait})
	defer func() { _ = tail.Close() }()
	loaded := false
	load := func(next int64) {
		if !loaded && next >= end {
			loaded = true
			h.loaded()
		}
	}
	load(0) // an empty partition
	for ctx.Err() == nil {
		fetch, err := tail.Next(ctx)
		if err != nil {
			h.recover(ctx, tail, partition, err)
			continue
		}
		now := time.Now()
		for i := range fetch.Records {
			h.apply(string(fetch.Records[i].Key), fetch.Records[i].Value, now)
		}
		h.advance(partition, tail.Offset())
		load(tail.Offset())
	}
}

// recover goes past what retention has removed, or what cannot be read.
func (h *Hub) recover(ctx context.Context, tail *kafka.Tail, partition int, err error) {
	var trimmed *kafka.ErrOffsetOutOfRange
	var corrupt *kafka.CorruptError
	switch {
	case errors.As(err, &trimmed):
		tail.SeekTo(kafka.FirstOffset)
		return
	case errors.As(err, &corrupt):
		h.log.Error("commands lost to a damaged record batch", "partition", partition, "error", err)
		tail.SeekTo(corrupt.Next)
		return
	case ctx.Err() != nil:
		return
	}
	h.log.Warn("cannot be read; trying again", "topic", wire.TopicMessages, "partition", partition, "error", err)
	select {
	case <-time.After(time.Second):
	case <-ctx.Done():
	}
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
