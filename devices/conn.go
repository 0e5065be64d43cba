package devices

import (
	"context"
	"strings"
	"sync"
)

// Conn is a connection that speaks for devices. Its methods may be called concurrently.
type Conn struct {
	r    *Registry
	peer Peer

	mu     sync.Mutex
	closed bool
	// one is the first device, more are the others: most connections speak for one.
	one  attachment
	more map[string]*attachment
	last *attachment // found last
}

// attachment is a device that the connection speaks for, and what it wants done when it is cut off.
type attachment struct {
	device string
	will   *Will
	// counted: the device's presence has this connection, for which there may have been no room.
	counted bool
}

// Connect begins the presence of the devices of a connection. Close ends it.
func (r *Registry) Connect(p Peer) *Conn {
	r.m.conns.Add(1)
	return &Conn{r: r, peer: p}
}

// Attach says that the connection speaks for a device, whose name is copied. It is cheap for a device that it has
// spoken for before, and false when it speaks for too many.
func (c *Conn) Attach(device string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.attachLocked(device) != nil
}

func (c *Conn) attachLocked(device string) *attachment {
	if c.last != nil && c.last.device == device {
		return c.last
	}
	if c.closed {
		return nil
	}
	a := c.more[device]
	switch {
	case a != nil:
	case c.one.device == device:
		a = &c.one
	case c.one.device == "":
		c.one.device = strings.Clone(device)
		a = &c.one
	case len(c.more)+1 >= c.r.cfg.MaxPerConnection:
		c.r.m.unattached.Inc()
		return nil
	default:
		if c.more == nil {
			c.more = make(map[string]*attachment)
		}
		a = &attachment{device: strings.Clone(device)}
		c.more[a.device] = a
	}
	if !a.counted {
		if a.counted = c.r.attach(a.device, &c.peer); !a.counted {
			return a // for the next time
		}
	}
	c.last = a
	return a
}

// SetWill says what is to be done should the connection be cut off; nil: nothing.
func (c *Conn) SetWill(device string, w *Will) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	a := c.attachLocked(device)
	if a == nil {
		return false
	}
	a.will = w
	return true
}

// Close ends the connection. orderly: the device, or this server, meant it to end, so that no will is carried out.
func (c *Conn) Close(orderly bool) {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return
	}
	c.closed, c.last = true, nil
	one, more := c.one, c.more
	c.more = nil
	c.mu.Unlock()
	c.r.m.conns.Add(-1)
	if one.device != "" {
		c.r.detach(&one, orderly)
	}
	for _, a := range more {
		c.r.detach(a, orderly)
	}
}

// attach reports whether there was room for the device.
func (r *Registry) attach(device string, p *Peer) bool {
	now := r.instant()
	s := r.shards.of(device)
	s.mu.Lock()
	e := r.shards.takeLocked(s, device)
	if e == nil {
		s.mu.Unlock()
		r.m.untracked.Inc()
		return false
	}
	changed := e.presence.attach(p, now)
	s.mu.Unlock()
	if changed {
		r.announce(device)
	}
	return true
}

func (r *Registry) detach(a *attachment, orderly bool) {
	if !a.counted {
		return // the connections that are counted are others
	}
	will := a.will
	if orderly {
		will = nil
	}
	now := r.instant()
	s := r.shards.of(a.device)
	s.mu.Lock()
	e := s.entries[a.device]
	if e == nil || e.presence.conns == 0 {
		s.mu.Unlock()
		return
	}
	e.presence.detach(now, r.cfg.ReconnectGrace, will)
	last := e.presence.conns == 0
	s.mu.Unlock()
	if last {
		r.leave(a.device)
	}
}

type connKey struct{}

// WithConn puts a connection into a context, where Hello finds it.
func WithConn(ctx context.Context, c *Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

func connOf(ctx context.Context) *Conn {
	c, _ := ctx.Value(connKey{}).(*Conn)
	return c
}
