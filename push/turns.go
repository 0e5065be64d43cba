package push

import (
	"slices"
	"time"
)

// A connection joins one view at a time: the next when the snapshot of the one before is in the hands of
// the kernel. So a client that does not read, however often it subscribes, has one snapshot in memory.

// turnLocked reports whether the subscription may wait for its snapshot now. Otherwise it gets in line
// behind the connection's other subscriptions.
func (h *hub) turnLocked(s *subscription) bool {
	c := s.client
	if c.joining == nil || c.joining == s && !c.isSending() {
		c.joining = s
		return true
	}
	c.joins = append(c.joins, s)
	return false
}

// giveUpTurnLocked is for a subscription that ends: the next in line takes its turn, unless its snapshot
// is being written at this moment; then sentSnapshot does that.
func (h *hub) giveUpTurnLocked(s *subscription) {
	c := s.client
	c.joins = slices.DeleteFunc(c.joins, func(e *subscription) bool { return e == s })
	if c.joining == s && !c.isSending() {
		h.nextTurnLocked(c, h.now())
	}
}

// sentSnapshot is called by the writer when a snapshot has been written.
func (h *hub) sentSnapshot(c *client) {
	now := h.now()
	h.mu.Lock()
	defer h.mu.Unlock()
	c.mu.Lock()
	c.sending = false
	c.mu.Unlock()
	h.nextTurnLocked(c, now)
}

func (h *hub) nextTurnLocked(c *client, now time.Time) {
	c.joining = nil
	if h.closed || c.left || len(c.joins) == 0 {
		return
	}
	s := c.joins[0]
	c.joins = slices.Delete(c.joins, 0, 1)
	s.view.join(s, now)
}

func (c *client) isSending() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sending
}
