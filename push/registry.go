package push

import (
	"sync"

	"weir/wire"
)

// registry is the set of connections, and the count of those whose handshake is under way.
type registry struct {
	mu       sync.Mutex
	phase    phase
	admitted int
	clients  map[*client]struct{}
	empty    chan struct{} // closed when the last is gone, once somebody waits for it
}

type phase uint8

const (
	starting phase = iota
	open
	draining
)

// begin takes connections from now on.
func (r *registry) begin() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.phase = open
}

// end takes no connections any more, and returns a channel that is closed when all are gone.
func (r *registry) end() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.phase != draining {
		r.phase = draining
		r.empty = make(chan struct{})
		r.checkLocked()
	}
	return r.empty
}

func (r *registry) isDraining() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.phase == draining
}

// admit lets a handshake begin, unless there are too many connections or none are taken. After it comes
// add or dismiss.
func (r *registry) admit(limit int) *wire.Error {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.phase == starting:
		return wire.NewError(wire.CodeNotReady, "")
	case r.phase == draining:
		return wire.NewError(wire.CodeDraining, "")
	case len(r.clients)+r.admitted >= limit:
		return wire.NewError(wire.CodeTooManyConns, "")
	}
	r.admitted++
	return nil
}

// dismiss ends a handshake that failed.
func (r *registry) dismiss() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.admitted--
	r.checkLocked()
}

// add counts a connection in, and reports false when it came too late and has to be closed.
func (r *registry) add(c *client) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.admitted--
	r.clients[c] = struct{}{}
	return r.phase == open
}

func (r *registry) remove(c *client) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.clients, c)
	r.checkLocked()
}

func (r *registry) checkLocked() {
	if r.phase == draining && len(r.clients)+r.admitted == 0 {
		close(r.empty)
	}
}

func (r *registry) list() []*client {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]*client, 0, len(r.clients))
	for c := range r.clients {
		out = append(out, c)
	}
	return out
}
