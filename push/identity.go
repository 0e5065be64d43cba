package push

import (
	"context"
	"slices"
	"time"

	"weir/auth"
	"weir/telemetry"
	"weir/wire"
)

// expiryNotice is how long before its credentials end a client hears of that.
const expiryNotice = time.Minute

// wanted are the subscriptions and rooms of a connection's URL, which wait until it is known who asks.
type wanted struct {
	patterns []telemetry.Pattern
	hz       float64
	joins    []wire.RoomRequest
}

// introduce takes the first message of a client that has not said who it is, which has to say so.
func (s *Server) introduce(c *client, data []byte) {
	msg, err := wire.DecodeClientMessage(data)
	if err != nil || msg.Type != wire.TypeAuth {
		c.expel(endedUnauthenticated)
		return
	}
	p, answer, err := s.verify(c, &msg.Auth)
	if err != nil {
		c.expel(endedFor(auth.Refusal(err)))
		return
	}
	if s.identify(c, p) {
		c.send(authenticatedFrame(p, answer))
		s.greet(c)
	}
}

func (s *Server) verify(c *client, m *wire.Auth) (*auth.Principal, *wire.Authenticated, error) {
	ctx, cancel := context.WithTimeout(context.Background(), s.cfg.AuthTimeout)
	defer cancel()
	return auth.Present(auth.WithAddress(ctx, c.from), s.gate, m)
}

// identify notes who speaks. It reports false when the connection ends instead: it has, or the principal has too
// many. Before serve it may be called by whoever made the client, from then on by the reading goroutine.
func (s *Server) identify(c *client, p *auth.Principal) bool {
	if !s.conns.identify(c, accountOf(p, c.from)) {
		c.expel(endedLimitPrincipal)
		return false
	}
	return s.become(c, p)
}

// renew replaces a connection's credentials. Those of somebody else end the connection; invalid ones change nothing.
func (s *Server) renew(c *client, m *wire.Auth) error {
	p, answer, err := s.verify(c, m)
	if err != nil {
		return auth.Refusal(err)
	}
	if p.Tenant != c.who.Tenant || p.Subject != c.who.Subject {
		c.expel(endedForbidden)
		return nil
	}
	if s.become(c, p) {
		s.hub.confine(c, p)
		c.send(authenticatedFrame(p, answer))
		s.attach(c)
	}
	return nil
}

// become sets who speaks, unless the connection has ended, and watches those credentials instead of earlier ones.
// The gate is called without any lock: it may hold its own when it reports that credentials have ended.
func (s *Server) become(c *client, p *auth.Principal) bool {
	c.mu.Lock()
	alive := c.state == serving
	if alive {
		c.who, c.warned = p, false
	}
	c.mu.Unlock()
	if !alive {
		return false
	}
	c.stopWatch()
	c.unwatch = s.gate.Watch(p, func(e *wire.Error) { c.disown(p, e) })
	return true
}

func (c *client) stopWatch() {
	if c.unwatch != nil {
		c.unwatch()
	}
}

// disown ends the connection because its credentials have ended, unless it has newer ones by now.
func (c *client) disown(p *auth.Principal, e *wire.Error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.who == p {
		c.closeLocked(endedFor(e))
	}
}

// checkIdentityLocked does what is due: it ends a client that does not say who it is, and warns one whose
// credentials are about to end.
func (c *client) checkIdentityLocked(now time.Time) {
	switch {
	case c.who == nil:
		if now.After(c.authBy) {
			c.closeLocked(endedAuthTimeout)
		}
	case !c.warned && !c.who.Expires.IsZero() && c.who.Expires.Sub(now) <= expiryNotice:
		c.warned = true
		f := textFrame((&wire.TokenExpiring{ExpiresAt: c.who.Expires}).Append(nil))
		c.pushLocked(&item{frame: f, counted: true})
	}
}

// confine ends the subscriptions of a connection that p may not read.
func (h *hub) confine(c *client, p *auth.Principal) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range slices.Clone(c.subs) {
		if unreadable(p, s.patterns) >= 0 {
			h.leaveLocked(s)
			c.send(errorFrame(wire.NewError(wire.CodeForbidden, ""), s.id))
		}
	}
}

func authenticatedFrame(p *auth.Principal, answer *wire.Authenticated) frame {
	answer.Read = readable(p)
	return textFrame(answer.Append(nil))
}

// unreadable is the index of the first pattern that p may not read, -1 without one.
func unreadable(p *auth.Principal, patterns []telemetry.Pattern) int {
	return slices.IndexFunc(patterns, func(pattern telemetry.Pattern) bool { return !p.MayRead(pattern) })
}
