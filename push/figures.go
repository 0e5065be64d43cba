package push

import (
	"cmp"
	"math"
	"slices"

	"weir/wire"
)

// figures count what a subscription was told of. Guarded by client.mu.
type figures struct {
	frames, rows, readings int64
	merged                 int64 // rows that became part of others
	stalls                 int64 // how often it fell behind
}

// told is what a frame of updates says, in figures.
type told struct {
	rows     int
	readings uint64
	since    int64 // when the first of it was pushed, in microseconds
}

// tellingLocked counts a frame of updates that goes to the socket.
func (c *client) tellingLocked(s *subscription, t told) {
	c.credit.sent++
	s.figures.frames++
	s.figures.rows += int64(t.rows)
	s.figures.readings += int64(t.readings)
	c.hub.m.readings.AddInt64(int64(t.readings))
}

// mergedLocked counts rows that became part of others.
func (s *subscription) mergedLocked(rows int) {
	s.figures.merged += int64(rows)
	s.client.hub.m.conflatedLaggard.Add(rows)
}

// figures are those of a connection as of now.
func (h *hub) figures(c *client) wire.Stats {
	now := h.now().UnixMicro()
	out := wire.Stats{RTTMS: math.NaN()}
	if rtt := c.rtt.Load(); rtt > 0 {
		out.RTTMS = float64(rtt) / 1e6
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.subs {
		out.Subscriptions = append(out.Subscriptions, s.figuresLocked(now))
	}
	slices.SortFunc(out.Subscriptions, func(a, b wire.SubscriptionStats) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

func (s *subscription) figuresLocked(now int64) wire.SubscriptionStats {
	f := &s.figures
	out := wire.SubscriptionStats{ID: s.id, Frames: f.frames, Rows: f.rows, Readings: f.readings, Merged: f.merged, Stalls: f.stalls}
	if s.view != nil {
		out.View = int(s.view.number)
		if s.view.selection != nil {
			out.Held = int64(s.view.selection.held)
		}
	}
	since := now
	if s.behind != nil {
		rows, begun := s.behind.waiting()
		out.Depth += int64(rows)
		since = begun
	}
	if s.next != nil {
		out.Depth += int64(s.waits.rows)
		since = s.waits.since
	}
	out.LagMS = float64(max(0, now-since)) / 1e3
	return out
}
