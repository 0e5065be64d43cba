package window

// Group is what a group of series has in the open windows of one tumbling or hopping Window: the merged partials of its
// members. The zero value is empty and ready. It is not safe for concurrent use.
//
// It keeps the panes of one window and its grace, so close what is over before the partials of a later time are
// merged, above all after a pause of all members.
type Group struct{ state State }

// Merge adds a partial of w, which is not used any further. It reports whether the partial was taken: one whose
// windows are closed is not and counts as missed, with all its readings. When there is no room for another
// pane, the one furthest ahead gives way, so that a member whose clock runs ahead cannot close the windows of
// the others.
func (g *Group) Merge(w *Window, p *Partial) bool {
	s := &g.state
	if p.N == 0 || !w.holds(p) || w.sketched != (p.sketch != nil) {
		return false
	}
	if s.begun && p.Start < s.next-w.every {
		s.missed += p.N
		if p.Start < s.next-w.size {
			return false
		}
	}
	i, found := s.find(w, p.Start)
	if found {
		s.panes[i-1].Merge(p)
		return true
	}
	if n := len(s.panes); n >= w.maxPanes {
		if i == n {
			s.missed += p.N
			return false
		}
		s.missed += s.panes[n-1].N
		s.panes = s.panes[:n-1]
	}
	s.insert(w, i, p.Start).Merge(p)
	return true
}

// CloseUntil closes the windows that end at or before until (µs of source time; w.Grace() is the caller's to
// take off), appends their results to out and returns it. Partials of these windows are missed from now on.
func (g *Group) CloseUntil(w *Window, until int64, out []Result) []Result {
	return g.state.close(w, clamp(until), false, out)
}

// Due is the source time (µs) at which the next window with readings ends, or MaxInt64.
func (g *Group) Due(w *Window) int64 { return g.state.Due(w) }

// Missed counts the readings that came after a window they belong to had closed, or found no room.
func (g *Group) Missed() uint64 { return g.state.missed }

// MarshalAppend appends the state to dst, as State's does.
func (g *Group) MarshalAppend(dst []byte, w *Window) []byte {
	state := g.state
	state.missed = 0 // partials that come again after a restart may be counted again
	return state.MarshalAppend(dst, w)
}

// Unmarshal replaces g by the state in b, as State's does.
func (g *Group) Unmarshal(b []byte, w *Window) error { return g.state.Unmarshal(b, w) }

// Collector gathers the readings of those members of a group that one process sees, to be sent on as partials.
// The zero value is empty and ready. It is not safe for concurrent use.
type Collector struct{ state State }

// Add takes the reading v of any member at source time t (µs) for a tumbling or hopping window. It reports false when
// there is no room: Drain, then add it again. A reading that is not finite, or whose time is impossible, is
// left out.
func (c *Collector) Add(w *Window, t int64, v float64) bool {
	if v-v != 0 || t <= -timeLimit || t >= timeLimit {
		return true
	}
	s := &c.state
	i, found := s.find(w, t)
	if found {
		s.panes[i-1].add(t, v)
		return true
	}
	if len(s.panes) == w.maxPanes {
		return false
	}
	s.insert(w, i, w.paneStart(t)).add(t, v)
	return true
}

// Len is the number of partials that Drain would yield.
func (c *Collector) Len() int { return len(c.state.panes) }

// Drain yields what was added since it was called last, a partial a pane in order of time, and forgets it. A
// partial is valid until yield returns.
func (c *Collector) Drain(yield func(*Partial)) {
	for i := range c.state.panes {
		yield(&c.state.panes[i])
	}
	c.state.panes = c.state.panes[:0]
}

// MarshalAppend appends the state to dst, as State's does.
func (c *Collector) MarshalAppend(dst []byte, w *Window) []byte { return c.state.MarshalAppend(dst, w) }

// Unmarshal replaces c by the state in b, as State's does.
func (c *Collector) Unmarshal(b []byte, w *Window) error { return c.state.Unmarshal(b, w) }
