package ingest

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"weir/auth"
	"weir/devices"
	"weir/wire"
)

const (
	// strangerBytes is the longest message of a client that has yet to say who it is.
	strangerBytes = 16 << 10
	// expiryNotice is how long before their end a device is told that its credentials expire.
	expiryNotice = time.Minute
	// signOutTime is how long a write may still take on a connection whose credentials have ended.
	signOutTime = 500 * time.Millisecond
)

// speaker is who speaks on a connection. But for what the gate and the sweep touch it is the reader's.
type speaker struct {
	stopWatch func()
	holder    string // under which its principal's connections are counted; empty: it is not counted
	stranger  bool   // counted among those who have yet to say who they are

	remote   netip.Addr
	presence *devices.Conn // of the devices spoken for; nil: nobody has signed in, or nobody wants to know
	orderly  bool          // the client has said that it goes
}

// expectAuth gives a stranger its time to send credentials.
func (c *conn) expectAuth() {
	c.in.framing.most = strangerBytes
	c.authBy.Store(time.Now().Add(c.srv.cfg.AuthTimeout).UnixMicro())
}

// admit deals with what the gate said to the request. It is false when the connection has been ended.
func (c *conn) admit(p *auth.Principal, err error) bool {
	if c.mqtt != nil {
		c.mqtt.handshake(p, err) // CONNECT has the last word
		return true
	}
	if errors.Is(err, auth.ErrNoCredentials) {
		return true
	}
	if err == nil {
		err = orNil(c.signIn(p))
	}
	if err == nil {
		return true
	}
	c.expel(auth.Refusal(err))
	return false
}

// orNil keeps a nil *wire.Error from becoming an error that is not nil.
func orNil(e *wire.Error) error {
	if e == nil {
		return nil
	}
	return e
}

// authenticate deals with the message auth: the first of a client that has yet to say who it is, later one that
// renews the credentials. It is nil, or ends the connection.
func (c *conn) authenticate(m *wire.Auth) *wire.Error {
	ctx, cancel := context.WithTimeout(c.ctx, c.srv.cfg.AuthTimeout)
	defer cancel()
	p, answer, err := auth.Present(auth.WithAddress(ctx, c.remote), c.srv.gate, m)
	if err != nil {
		return auth.Refusal(err)
	}
	if refusal := c.signIn(p); refusal != nil {
		return refusal
	}
	c.say(answer.Append(nil))
	return nil
}

// signIn lets p speak from here on. Who spoke before must have been the same.
func (c *conn) signIn(p *auth.Principal) *wire.Error {
	before := c.who.Load()
	if before != nil && (before.Subject != p.Subject || before.Tenant != p.Tenant) {
		return wire.NewError(wire.CodeForbidden, "")
	}
	if device := c.device; device != "" && !p.MaySpeakFor(device) {
		return wire.NewError(wire.CodeForbidden, "device")
	}
	if before == nil && p.Method != auth.MethodNone {
		holder := p.Tenant + "\x00" + p.Subject
		if !c.srv.principals.take(holder) {
			return wire.NewError(wire.CodeLimitPrincipal, "")
		}
		c.holder = holder
	}
	c.noStranger()
	c.who.Store(p)
	if c.enc != nil {
		c.enc.principal = p
	}
	c.expires.Store(microsOf(p.Expires))
	c.arrive(p)
	stop := c.srv.gate.Watch(p, func(e *wire.Error) { c.signOut(p, e) })
	c.stopWatching()
	c.stopWatch = stop
	if device := c.device; device != "" {
		c.attach(device)
	} else {
		c.attach(onlyDevice(p))
	}
	return nil
}

// noStranger ends what holds for a client that has yet to say who it is.
func (c *conn) noStranger() {
	c.uncountStranger()
	c.authBy.Store(0)
	c.in.framing.most = 0
}

func (c *conn) stopWatching() {
	if c.stopWatch != nil {
		c.stopWatch()
		c.stopWatch = nil
	}
}

// signOut ends the connection, from any goroutine and without blocking, because p's credentials have ended. Nothing
// more is taken, and receipts that are not written are lost to the device: what it sends again is a duplicate.
func (c *conn) signOut(p *auth.Principal, e *wire.Error) {
	if c.who.Load() != p {
		return // has been renewed
	}
	c.ousted.CompareAndSwap(nil, e)
	c.verdict.Store(signedOut)
	_ = c.net.SetWriteDeadline(time.Now().Add(signOutTime))
	c.signal()
}

// expel ends the connection of a client for who it is, or is not.
func (c *conn) expel(e *wire.Error) {
	byCode(c.srv.metrics.expelled, e.Code).Inc()
	code, reason := auth.CloseOf(e)
	c.close(code, reason)
}

// leave gives back the connection's places.
func (c *conn) leave() {
	c.stopWatching()
	c.detachAll()
	c.depart()
	c.uncountStranger()
	if c.holder != "" {
		c.srv.principals.giveBack(c.holder)
	}
	c.srv.addresses.giveBack(c.address)
	c.srv.connections.Add(-1)
}

// notices sends what the client is to know about its credentials, and reports whether its time to send any is over.
// It is the sweep's.
func (c *conn) notices(now int64) (late bool) {
	if by := c.authBy.Load(); by != 0 && now > by {
		return true
	}
	expires := c.expires.Load()
	if expires == 0 || now < expires-expiryNotice.Microseconds() || !c.expires.CompareAndSwap(expires, 0) {
		return false
	}
	c.post((&wire.TokenExpiring{ExpiresAt: time.UnixMicro(expires)}).Append(nil))
	return false
}

// microsOf is t in microseconds, 0 for the zero time.
func microsOf(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}
