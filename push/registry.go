package push

import (
	"net/netip"
	"sync"
	"sync/atomic"

	"weir/wire"
)

// registry is the set of connections, and the count of those whose handshake is under way and of requests that wait, which
// count as connections; of all of them also by address and by principal.
type registry struct {
	limits connLimits // fixed

	overloaded atomic.Bool // no room for more; written by the sweeper

	mu        sync.Mutex
	phase     phase
	admitted  int
	clients   map[*client]struct{}
	strangers int                  // those of which it is not known who they are
	from      map[netip.Prefix]int // of those, how many each address has
	addresses map[netip.Prefix]int
	accounts  map[accountKey]*account
	visits    int           // requests that wait
	empty     chan struct{} // closed when the last is gone, once somebody waits for it
}

// connLimits are the parts of Config that the registry applies.
type connLimits struct{ total, strangers, strangersFrom, address, principal int }

type phase uint8

const (
	starting phase = iota
	open
	draining
)

// place is what a connection takes up.
type place struct {
	address  netip.Prefix // under which it is counted; zero: it is not
	stranger bool
}

// share is what part of all connections strangers may hold, and what part of that those of one address.
const share = 4

func newRegistry(cfg Config) registry {
	strangers := max(cfg.MaxConnections/share, 1)
	return registry{
		limits: connLimits{
			total: cfg.MaxConnections, strangers: strangers, strangersFrom: max(strangers/share, 1),
			address: cfg.MaxConnectionsPerAddress, principal: cfg.MaxConnectionsPerPrincipal,
		},
		clients:   make(map[*client]struct{}),
		addresses: make(map[netip.Prefix]int), from: make(map[netip.Prefix]int), accounts: make(map[accountKey]*account),
	}
}

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
func (r *registry) admit(c *client, from netip.Prefix) *wire.Error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.fullLocked(from); err != nil {
		return err
	}
	r.admitted++
	if from.IsValid() {
		r.addresses[from]++
	}
	c.place.address = from
	return nil
}

// fullLocked is why nobody more is let in from an address, if nobody is.
func (r *registry) fullLocked(from netip.Prefix) *wire.Error {
	switch {
	case r.phase == starting:
		return wire.NewError(wire.CodeNotReady, "")
	case r.phase == draining:
		return wire.NewError(wire.CodeDraining, "")
	case r.overloaded.Load():
		return wire.NewError(wire.CodeOverloaded, "")
	case from.IsValid() && r.addresses[from] >= r.limits.address:
		return wire.NewError(wire.CodeLimitAddress, "")
	case len(r.clients)+r.admitted+r.visits >= r.limits.total:
		return wire.NewError(wire.CodeTooManyConns, "")
	}
	return nil
}

// wait counts an admitted connection among those of which it is not known who they are, unless there are too many:
// they must not keep others out, and one address must not keep out all of them. The machine itself, as a proxy there
// that nobody declared, may have as many as there are.
func (r *registry) wait(c *client) *wire.Error {
	r.mu.Lock()
	defer r.mu.Unlock()
	at := c.place.address
	switch {
	case at.IsValid() && r.from[at] >= r.limits.strangersFrom:
		return wire.NewError(wire.CodeLimitAddress, "")
	case r.strangers >= r.limits.strangers:
		return wire.NewError(wire.CodeTooManyConns, "")
	}
	r.strangers++
	c.place.stranger = true
	if at.IsValid() {
		r.from[at]++
	}
	return nil
}

// knownLocked ends that.
func (r *registry) knownLocked(c *client) {
	if !c.place.stranger {
		return
	}
	c.place.stranger = false
	r.strangers--
	if c.place.address.IsValid() {
		leave(r.from, c.place.address)
	}
}

// identify counts a connection among those of its account, and reports false when that has too many.
func (r *registry) identify(c *client, key accountKey) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	a, ok := r.enterLocked(key)
	if !ok {
		return false
	}
	if a != nil {
		a.connections++
		c.account = a
	}
	r.knownLocked(c)
	return true
}

// dismiss ends a handshake that failed.
func (r *registry) dismiss(c *client) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.admitted--
	r.vacateLocked(c)
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
	r.vacateLocked(c)
}

// vacateLocked gives a connection's place back.
func (r *registry) vacateLocked(c *client) {
	r.knownLocked(c)
	if c.place.address.IsValid() {
		leave(r.addresses, c.place.address)
	}
	if c.account != nil {
		c.account.connections--
		r.quitLocked(c.account)
	}
	c.place = place{}
	r.checkLocked()
}

// leave counts down, and forgets what has come to nothing.
func leave[K comparable](counts map[K]int, k K) {
	if counts[k]--; counts[k] == 0 {
		delete(counts, k)
	}
}

func (r *registry) checkLocked() {
	if r.phase == draining && len(r.clients)+r.admitted == 0 {
		close(r.empty)
	}
}

func (r *registry) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.clients)
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
