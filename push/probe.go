package push

import "time"

const (
	// probeGrace is how long a client may take to answer a probe before its kernel's word counts.
	probeGrace = time.Second
	// settledBytes is how much may be on its way to a client whose kernel is believed.
	settledBytes = 4 << 10
)

// A client that is behind is served as fast as it drains, and not as fast as the kernels and what is between them take
// things: what these have cannot be merged any more. A ping follows the rows that it has gathered, and until the answer says
// that it has read them its subscriptions gather. So what goes out then is the newest there is. Alerts, answers and
// snapshots do not wait.

// dueToRunLocked reports whether the client is waited for by nobody: its writer has not begun yet, because this machine is
// busy. How far the client has read need not be asked then, and to ask would make the machine busier.
func (c *client) dueToRunLocked() bool {
	return c.writing && c.probe == 0 && c.progress.Load() == 0
}

// probeLocked is the ping that follows gathered rows.
func (c *client) probeLocked() frame {
	c.probe = c.hub.elapsed(c.hub.now())
	return pingFrame(c.probe)
}

// caughtUp takes the answer to a ping of a time, and reports whether a probe was waiting for it.
func (c *client) caughtUp(at int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.probe == 0 || at < c.probe || at > c.hub.elapsed(c.hub.now()) {
		return false
	}
	c.probe = 0
	c.kickLocked()
	return true
}

// checkProbeLocked looks after a client that does not answer a probe: if its kernel has everything it counts as read, and if
// that takes too long the connection ends; then it is false.
func (c *client) checkProbeLocked(at int64, cfg *Config) bool {
	waited := time.Duration(at - c.probe)
	switch {
	case c.writing || waited < min(probeGrace, cfg.WriteTimeout):
	case unacknowledged(c.conn) <= settledBytes:
		c.probe = 0
		c.kickLocked()
	case waited > cfg.WriteTimeout:
		c.hub.m.stalls.Inc()
		c.closeLocked(endedNoProgress)
		return false
	}
	return true
}
