package push

import (
	"context"
	"runtime"
	"time"

	"weir/wire"
)

// maxSnapshotRequests is how many requests for a snapshot may wait for an encoder.
const maxSnapshotRequests = 64

// encoders bounds how many snapshots are made at a time, and so how many copies of rows there are. Who finds
// none free waits in a queue, holding nothing. Guarded by hub.mu.
type encoders struct {
	free     int
	queue    []func(now time.Time) // each takes one, if it still wants to
	requests int                   // of HTTP, in the queue
}

func newEncoders() encoders { return encoders{free: runtime.GOMAXPROCS(0)} }

func (e *encoders) take() bool {
	if e.free == 0 {
		return false
	}
	e.free--
	return true
}

// releaseEncoder gives an encoder back to who waits longest.
func (h *hub) releaseEncoder() {
	now := h.now()
	h.mu.Lock()
	defer h.mu.Unlock()
	e := &h.encoders
	e.free++
	for e.free > 0 && len(e.queue) > 0 {
		next := e.queue[0]
		e.queue[0] = nil
		e.queue = e.queue[1:]
		next(now)
	}
}

// acquireEncoder waits for an encoder on behalf of a request. Too many may not wait.
func (h *hub) acquireEncoder(ctx context.Context) error {
	h.mu.Lock()
	e := &h.encoders
	if e.take() {
		h.mu.Unlock()
		return nil
	}
	if e.requests == maxSnapshotRequests {
		h.mu.Unlock()
		return wire.NewError(wire.CodeOverloaded, "")
	}
	e.requests++
	granted, gone := make(chan struct{}), false
	e.queue = append(e.queue, func(time.Time) {
		e.requests--
		if !gone {
			e.take()
			close(granted)
		}
	})
	h.mu.Unlock()

	select {
	case <-granted:
		return nil
	case <-ctx.Done():
	}
	h.mu.Lock()
	gone = true
	h.mu.Unlock()
	select {
	case <-granted: // at the last moment
		h.releaseEncoder()
	default:
	}
	return ctx.Err()
}
