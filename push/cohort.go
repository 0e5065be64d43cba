package push

import "sync"

// cohort is the subscriptions of a view that fell behind at the same frame. They miss the same, so that it is gathered once
// and encoded once, however many they are: being behind together costs as little as keeping up. Each goes when its socket is
// free, with what has been gathered up to then. hub.mu or client.mu may be held while taking mu, not the other way round.
type cohort struct {
	hub  *hub
	from int // the entries of the dictionary that its members have been told of

	mu sync.Mutex
	// members are its subscriptions, and who may still let some join it. It ends with the last.
	members int
	set     *laggard
	at      uint64  // the number of the view's frame that was merged last
	merged  int     // how many rows of that became part of others
	rest    *cohort // what those gather on who have gone with the set as it is; nil: nothing of theirs is left
}

// cohort makes one with a set and a member.
func (h *hub) cohort(set *laggard) *cohort {
	return &cohort{hub: h, from: set.from, members: 1, set: set}
}

// gather returns the cohort of those who fall behind with this frame, for one member more.
func (f *flush) gather(h *hub, from int) *cohort {
	begin := func() *cohort {
		set := h.laggard()
		set.from, set.since = from, f.pushed
		return h.cohort(set)
	}
	if f.missed == nil {
		f.missed = begin() // the flush is a member until all have been told
	}
	if f.missed.from != from {
		return begin()
	}
	f.missed.join()
	return f.missed
}

func (c *cohort) join() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.members++
}

func (c *cohort) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.leaveLocked()
}

func (c *cohort) leaveLocked() {
	if c.members--; c.members > 0 {
		return
	}
	c.forgetRestLocked()
	c.hub.release(c.set)
	c.set = nil
}

func (c *cohort) forgetRestLocked() {
	if c.rest != nil {
		c.rest.leave()
		c.rest = nil
	}
}

// take merges a frame, the first time that it is asked for any member, and returns how many of its rows became part of others.
func (c *cohort) take(f *flush) (merged int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.at == f.number {
		return c.merged, nil
	}
	c.forgetRestLocked()
	if c.set.holders.Load() > 1 { // it is being encoded, and goes out as it is
		held := c.set
		c.set = held.clone(c.hub.laggard())
		c.hub.m.laggingRows.Add(int64(c.set.len()))
		c.hub.release(held)
	}
	c.set.unmake(c.hub.m)
	before := c.set.len()
	c.merged, err = c.set.take(f)
	c.hub.m.laggingRows.Add(int64(c.set.len() - before))
	c.at = f.number
	return c.merged, err
}

// picked is what a member goes with. Who has it releases the set.
type picked struct {
	set    *laggard
	told   told
	at     uint64
	merged int
	rest   *cohort // which it is a member of now; nil: it is up with its view
}

// pick lets a member go.
func (c *cohort) pick() picked {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := picked{set: c.set, told: c.set.told(), at: c.at, merged: c.merged}
	c.set.holders.Add(1)
	if c.rest == nil {
		if rest := c.set.rest(c.hub.laggard); rest != nil {
			c.rest = c.hub.cohort(rest)
			c.rest.at = c.at
		}
	}
	if p.rest = c.rest; p.rest != nil {
		p.rest.join()
	}
	c.leaveLocked()
	return p
}

// waiting is how many rows wait, and since when.
func (c *cohort) waiting() (rows int, since int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.set.len(), c.set.since
}

// share is how many bytes are kept for each member.
func (c *cohort) share() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return (int64(c.set.len())*int64(laggardRowBytes) + c.set.bytes.Load()) / int64(c.members)
}
