package ingest

import (
	"context"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"
)

// freeBytes of a message need no place in the budget: what every connection may take at any time.
const freeBytes = 64 << 10

// budget bounds the memory of large messages and bodies that have been announced and not yet been dealt with,
// all connections together: their buffers are allocated when their length is known, before any of it has come.
type budget struct {
	places *semaphore.Weighted // bytes; who asked first is served first
	taken  atomic.Int64

	waiting atomic.Int64
	refused atomic.Int64 // when somebody was last told that there is no room, µs
}

// pressedFor is how long others count as waiting after one was refused: clients of HTTP come again.
const pressedFor = 5 * time.Second

func newBudget(bytes int) *budget {
	return &budget{places: semaphore.NewWeighted(int64(bytes))}
}

// take waits for room, until ctx ends.
func (b *budget) take(ctx context.Context, bytes int64) error {
	b.waiting.Add(1)
	defer b.waiting.Add(-1)
	if err := b.places.Acquire(ctx, bytes); err != nil {
		return err
	}
	b.taken.Add(bytes)
	return nil
}

// try takes what there is room for now.
func (b *budget) try(bytes int64) bool {
	if !b.places.TryAcquire(bytes) {
		b.refused.Store(nowMicros())
		return false
	}
	b.taken.Add(bytes)
	return true
}

// pressed reports whether somebody lacks the room that others have.
func (b *budget) pressed(now int64) bool {
	return b.waiting.Load() > 0 || now-b.refused.Load() < pressedFor.Microseconds()
}

func (b *budget) giveBack(bytes int64) {
	b.taken.Add(-bytes)
	b.places.Release(bytes)
}
