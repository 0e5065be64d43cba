package ingest

import (
	"context"
	"sync/atomic"

	"golang.org/x/sync/semaphore"
)

// freeBytes of a message need no place in the budget: what every connection may take at any time.
const freeBytes = 64 << 10

// budget bounds the memory of large messages and bodies that have been announced and not yet been dealt with,
// all connections together: their buffers are allocated when their length is known, before any of it has come.
type budget struct {
	places *semaphore.Weighted // bytes; who asked first is served first
	taken  atomic.Int64
}

func newBudget(bytes int) *budget {
	return &budget{places: semaphore.NewWeighted(int64(bytes))}
}

// take waits for room, until ctx ends.
func (b *budget) take(ctx context.Context, bytes int64) error {
	if err := b.places.Acquire(ctx, bytes); err != nil {
		return err
	}
	b.taken.Add(bytes)
	return nil
}

// try takes what there is room for now.
func (b *budget) try(bytes int64) bool {
	if !b.places.TryAcquire(bytes) {
		return false
	}
	b.taken.Add(bytes)
	return true
}

func (b *budget) giveBack(bytes int64) {
	b.taken.Add(-bytes)
	b.places.Release(bytes)
}
