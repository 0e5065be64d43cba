package alerts

import (
	"context"
	"sync"

	"weir/telemetry"
)

// maxRepeats is how many keys of commands are remembered. At one command a second that is more than an hour.
const maxRepeats = 4096

// repeat is a command that may be asked for again.
type repeat struct {
	stored bool
	offset int64 // of its record; -1: stored, but the broker did not tell where
	reason telemetry.Reason
}

// repeats remembers commands by the key that the asker gave, the newest maxRepeats.
type repeats struct {
	mu    sync.Mutex
	of    map[string]*claim
	order []string // oldest first
}

type claim struct {
	turn chan struct{} // holds one token, which who works on it takes
	repeat
}

func newRepeats() *repeats { return &repeats{of: make(map[string]*claim)} }

// claim gives the caller alone the command of a key until it calls release. nil: ctx ended first.
func (r *repeats) claim(ctx context.Context, key string) (*repeat, func()) {
	if key == "" {
		return new(repeat), func() {}
	}
	r.mu.Lock()
	c := r.of[key]
	if c == nil {
		c = &claim{turn: make(chan struct{}, 1)}
		c.turn <- struct{}{}
		r.of[key] = c
		r.order = append(r.order, key)
		if len(r.order) > maxRepeats {
			delete(r.of, r.order[0])
			r.order = r.order[1:]
		}
	}
	r.mu.Unlock()
	select {
	case <-c.turn:
		return &c.repeat, func() { c.turn <- struct{}{} }
	case <-ctx.Done():
		return nil, func() {}
	}
}
