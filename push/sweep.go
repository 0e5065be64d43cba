package push

import (
	"context"
	"time"
)

// sweep looks after the connections' clocks, for all of them in one goroutine: pings, silence, writes
// without progress, credentials that are missing or about to end, and closing that takes too long.
func (s *Server) sweep(ctx context.Context) {
	cfg := &s.cfg
	shortest := min(cfg.AuthTimeout, cfg.Heartbeat, cfg.AwayAfter, cfg.IdleTimeout, cfg.WriteTimeout, cfg.DrainTimeout)
	tick := time.NewTicker(max(min(shortest/4, time.Second), time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			s.survey(s.hub.now())
		}
	}
}

func (s *Server) survey(now time.Time) {
	clients := s.conns.list()
	s.relieve(clients)
	for _, c := range clients {
		if c.check(now, &s.cfg) && s.presence != nil {
			s.presence(c.session, c.away.Load())
		}
	}
}

// check does what is due, and reports whether the client is away from now on or back.
func (c *client) check(now time.Time, cfg *Config) (moved bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != serving {
		if now.After(c.cutoff) {
			_ = c.conn.Close()
		}
		return false
	}
	at := c.hub.elapsed(now)
	if since := c.progress.Load(); since != 0 && at-since > int64(cfg.WriteTimeout) {
		c.hub.m.stalls.Inc()
		c.closeLocked(endedNoProgress)
		return false
	}
	if c.encoding != asEvents && at-c.heard.Load() > int64(cfg.IdleTimeout) {
		c.closeLocked(endedHeartbeat)
		return false
	}
	if c.waitingLocked() > int64(cfg.MaxWaitingBytes) {
		c.closeLocked(endedOverflow)
		return false
	}
	if c.probe != 0 && !c.checkProbeLocked(at, cfg) {
		return false
	}
	c.checkIdentityLocked(now)
	if now.Sub(c.pinged) >= cfg.Heartbeat {
		c.pinged = now
		c.pushLocked(&item{frame: pingFrame(at), counted: true})
		c.askLocked(now)
	}
	return c.who != nil && c.stray(at-c.silentSinceLocked() > int64(cfg.AwayAfter))
}
