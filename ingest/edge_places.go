package ingest

import (
	"sync"

	"weir/wire"
)

// places bounds how many connections each holder has. Holders without any take no memory.
type places[H comparable] struct {
	most int

	mu    sync.Mutex
	taken map[H]int
}

func newPlaces[H comparable](most int) *places[H] {
	return &places[H]{most: most, taken: make(map[H]int)}
}

// take is false when the holder has all it may have. The zero value of a holder stands for one that is not bounded.
func (p *places[H]) take(holder H) bool {
	var unbounded H
	if holder == unbounded {
		return true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.taken[holder] >= p.most {
		return false
	}
	p.taken[holder]++
	return true
}

func (p *places[H]) giveBack(holder H) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := p.taken[holder]; n > 1 {
		p.taken[holder] = n - 1
	} else {
		delete(p.taken, holder)
	}
}

// holders is how many have any.
func (p *places[H]) holders() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.taken)
}

// strangersShare is what part of those who have yet to say who they are may come from one address.
const strangersShare = 4

// countStranger counts a connection among those who have yet to say who they are, of all and of its address, or says why
// there is no place for one more.
func (c *conn) countStranger() *wire.Error {
	s := c.srv
	if !s.strangersAt.take(c.address) {
		s.metrics.refusedAddress.Inc()
		return &wire.Error{Code: wire.CodeLimitAddress, Message: "too many connections without credentials from this address; send them with the request"}
	}
	if !limit(&s.strangers, s.cfg.MaxUnauthenticated) {
		s.strangersAt.giveBack(c.address)
		s.metrics.refusedStranger.Inc()
		return &wire.Error{Code: wire.CodeTooManyConns, Message: "too many connections without credentials; send them with the request"}
	}
	c.stranger = true
	return nil
}

// uncountStranger ends that.
func (c *conn) uncountStranger() {
	if c.stranger {
		c.stranger = false
		c.srv.strangers.Add(-1)
		c.srv.strangersAt.giveBack(c.address)
	}
}
