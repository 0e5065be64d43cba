package push

import (
	"context"
	"encoding/binary"
	"time"
)

// sweep looks after the connections' clocks, for all of them in one goroutine: pings, silence, writes
// without progress, credentials that are missing or about to end, and closing that takes too long.
func (s *Server) sweep(ctx context.Context) {
	shortest := min(s.cfg.AuthTimeout, s.cfg.Heartbeat, s.cfg.IdleTimeout, s.cfg.WriteTimeout, s.cfg.DrainTimeout)
	tick := time.NewTicker(max(min(shortest/4, time.Second), time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			now := s.hub.now()
			for _, c := range s.conns.list() {
				c.check(now, &s.cfg)
			}
		}
	}
}

func (c *client) check(now time.Time, cfg *Config) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != serving {
		if now.After(c.cutoff) {
			_ = c.conn.Close()
		}
		return
	}
	if since := c.progress.Load(); since != 0 && now.UnixNano()-since > int64(cfg.WriteTimeout) {
		c.hub.m.stalls.Inc()
		c.closeLocked(endedNoProgress)
		return
	}
	if c.encoding != asEvents && now.UnixNano()-c.heard.Load() > int64(cfg.IdleTimeout) {
		c.closeLocked(endedHeartbeat)
		return
	}
	c.checkIdentityLocked(now)
	if now.Sub(c.pinged) >= cfg.Heartbeat {
		c.pinged = now
		c.pushLocked(&item{frame: pingFrame(now), counted: true})
	}
}

// pingFrame carries the time, so that the answer tells how far behind the client is.
func pingFrame(now time.Time) frame {
	return controlFrame(opPing, binary.BigEndian.AppendUint64(nil, uint64(now.UnixNano())))
}
