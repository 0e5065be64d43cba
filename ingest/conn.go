package ingest

import (
	"context"
	"net"
	"net/netip"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lxzan/gws"

	"weir/auth"
	"weir/wire"
)

// receiptBytes bounds the rejections that wait on one connection.
const receiptBytes = 256 << 10

// conn is one device's WebSocket connection.
type conn struct {
	srv    *Server
	socket *gws.Conn
	net    *lingering
	in     *incoming
	ctx    context.Context // ends when the connection does; what Produce waits under
	cancel context.CancelFunc

	address netip.Prefix // under which the connection is counted; zero: it is not

	// The ReadLoop's.
	enc       *encoder
	frames    uint64 // frames that get a receipt, so far
	messages  uint64 // messages that have come so far
	typedRate rate
	speaker

	// Who speaks, nil as long as nobody has said; and why they are not to be heard any longer.
	who    atomic.Pointer[auth.Principal]
	ousted atomic.Pointer[wire.Error]

	mail     outbox
	mqtt     *mqttLink         // nil: Weir's own protocol is spoken
	attached map[string]func() // by device: how to get no more of its commands; the ReadLoop's

	// The writer's.
	pace pace
	buf  []byte

	// ring holds the receipts of frames head … tail-1, at index frame mod credit. The ReadLoop alone
	// moves tail, the writer alone head; a receipt belongs to the ReadLoop until its release, to the
	// writer from ready until head has passed it.
	ring       []*receipt
	head, tail atomic.Uint64
	owed       atomic.Int64  // about how many bytes of rejections are in the ring
	wake       chan struct{} // to the writer: something may be ready
	held       atomic.Bool   // the writer lets receipts gather
	room       chan struct{} // to the ReadLoop: head moved

	// Written by one side, read by the server's sweep.
	lastHeard atomic.Int64 // µs
	authBy    atomic.Int64 // until when credentials may take to come, µs; 0: they have
	expires   atomic.Int64 // when they end, µs; 0: never, or the client knows
	began     atomic.Int64 // when the message that is coming did, µs; 0: none is
	holds     atomic.Int64 // since when it has had room for that message, µs; 0: it has none
	came      atomic.Int64 // bytes since then
	busy      atomic.Bool  // a message is being taken or waits for room; nothing is read meanwhile
	pingDue   atomic.Bool
	verdict   atomic.Int32 // of the sweep: why the connection is given up
	draining  atomic.Bool
	ended     chan struct{} // the ReadLoop has returned
}

// Verdicts of the sweep. The zero value lets a connection live.
const (
	idleOut int32 = iota + 1
	tooSlow
	authLate
	signedOut
	sessionOver
)

func newConn(srv *Server, d dialect) *conn {
	c := &conn{
		srv:   srv,
		enc:   newEncoderFor(srv, d),
		pace:  newPace(&srv.cfg),
		ring:  make([]*receipt, srv.cfg.Credit),
		wake:  make(chan struct{}, 1),
		room:  make(chan struct{}, 1),
		ended: make(chan struct{}),

		typedRate: rate{perSecond: typedPerSecond, atOnce: typedAtOnce},
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.lastHeard.Store(nowMicros())
	return c
}

// serve runs the connection until it ends; p and err are what the gate said to the request. Not all of gws is under
// its own recovery.
func (c *conn) serve(p *auth.Principal, err error) {
	var writer sync.WaitGroup
	writer.Go(c.writeReceipts)
	func() {
		defer c.recovered()
		if c.admit(p, err) {
			c.socket.ReadLoop()
		}
	}()
	c.cancel()
	c.in.giveBack()
	c.mail.close()
	close(c.ended)
	writer.Wait()
	_ = c.net.Close() // gws did, unless it panicked
	if c.mqtt != nil {
		c.mqtt.ended()
	}
	c.srv.inflight.Add(-int64(c.tail.Load() - c.head.Load()))
}

// recovered ends the connection, not the process, when a message makes the code panic.
func (c *conn) recovered() {
	cause := recover()
	if cause == nil {
		return
	}
	c.srv.metrics.panics.Inc()
	c.srv.logger.Error("panic while reading from a device", "remote", c.socket.RemoteAddr(), "panic", cause, "stack", string(debug.Stack()))
	c.close(wire.CloseInternal, wire.ReasonInternal)
}

// close begins the end: gws sends the code, closes the socket, and the ReadLoop returns.
func (c *conn) close(code uint16, reason string) {
	if c.mqtt != nil {
		c.mqtt.session.Farewell(reason)
	}
	c.cancel()
	wait := c.srv.cfg.WriteTimeout
	if c.verdict.Load() == signedOut {
		wait = min(wait, signOutTime)
	}
	_ = c.net.SetWriteDeadline(time.Now().Add(wait))
	_ = c.socket.WriteClose(code, []byte(reason))
}

// breaks ends the connection of a client that does what it must not; OnClose counts it. The error is for gws,
// which has been spared the rest.
func (c *conn) breaks(b breach) error {
	code, reason := wire.CloseProtocolError, wire.ReasonProtocolError
	switch b {
	case badLength, reservedBits:
		code = closeProtocol
	case earlyLarge:
		code, reason = wire.CloseTooLarge, wire.ReasonFrameTooLarge
	}
	c.srv.logger.Debug("protocol broken", "remote", c.net.RemoteAddr(), "breach", b)
	c.close(code, reason)
	return net.ErrClosed
}

// message takes one data message. The socket is not read until it returns: that is the back-pressure.
func (c *conn) message(data []byte) {
	defer c.recovered()
	c.busy.Store(true)
	defer c.idle()
	defer c.in.giveBack()
	now := nowMicros()
	c.lastHeard.Store(now)
	c.messages++
	data, refusal := c.unpack(data)
	if c.mqtt != nil {
		c.mqtt.take(data, refusal)
		return
	}
	switch {
	case c.ctx.Err() != nil || c.verdict.Load() == signedOut:
		return // gws hands on what it has read before the end
	case isTyped(data) && refusal == nil:
		c.aside(func() { c.converse(data) })
		return
	case c.who.Load() == nil:
		c.expel(wire.NewError(wire.CodeUnauthenticated, ""))
		return
	case !c.await(now):
		return
	}
	r := c.next()
	c.frames++
	r.begin(c.frames, c.srv.cfg.Credit, nowMicros())
	c.tail.Add(1)
	c.srv.inflight.Add(1)
	c.srv.metrics.framesWS.Inc()
	if refusal == nil {
		c.enc.submit(c.ctx, data, r)
	} else {
		c.enc.refuse(c.ctx, data, r, refusal)
	}
	c.owed.Add(r.owed())
	r.release()
}

// idle tells that the socket is being read again. The idle time counts from here, whatever the wait was, and so
// does that of a message of which a part has come along with the last one.
func (c *conn) idle() {
	now := nowMicros()
	c.lastHeard.Store(now)
	if c.began.Load() != 0 {
		c.began.Store(now)
	}
	c.busy.Store(false)
	if c.draining.Load() {
		c.signal()
	}
}

// await waits until there is a place for one more frame. It is false when the connection is not to take any.
func (c *conn) await(since int64) bool {
	waited := false
	for !c.draining.Load() && c.ctx.Err() == nil {
		if c.tail.Load()-c.head.Load() < c.enc.places(len(c.ring)) && c.owed.Load() <= receiptBytes {
			if waited {
				c.srv.metrics.blockedCredit.Add(float64(nowMicros()-since) / 1e6)
			}
			return true
		}
		waited = true
		select {
		case <-c.room:
		case <-c.ctx.Done():
		}
	}
	return false
}

// next is the receipt at the ring's tail. Receipts are made as a connection first needs them.
func (c *conn) next() *receipt {
	i := c.tail.Load() % uint64(len(c.ring))
	if c.ring[i] == nil {
		c.ring[i] = newReceipt(c.completed)
	}
	return c.ring[i]
}

// completed is called by the producer's goroutines when a frame is acknowledged, so it does not block. A
// writer that lets receipts gather is left alone until there are enough.
func (c *conn) completed() {
	if c.held.Load() && c.tail.Load()-c.head.Load() < c.pace.full {
		return
	}
	c.signal()
}

// signal wakes the writer.
func (c *conn) signal() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// say sends a message from the ReadLoop, which waits for the socket to take it.
func (c *conn) say(message []byte) {
	_ = c.write(textFrame(nil, message))
}

// nudge wakes a ReadLoop that waits for a place in the ring.
func (c *conn) nudge() {
	select {
	case c.room <- struct{}{}:
	default:
	}
}

func nowMicros() int64 { return time.Now().UnixMicro() }
