package ingest

import (
	"context"
	"net/netip"
	"runtime/debug"
	"sync/atomic"
	"time"

	"weir/auth"
	"weir/internal/wsframe"
	"weir/wire"
)

// receiptBytes bounds the rejections that wait on one connection.
const receiptBytes = 256 << 10

// conn is one device's WebSocket connection.
//
// Thousands of them are silent at any time, so what is only needed while frames come is made when they do, and given
// back: encoder, ring, buffers, and the goroutines with their stacks.
type conn struct {
	srv    *Server
	net    *lingering
	in     incoming
	ctx    context.Context // ends when the connection does; what Produce waits under
	cancel context.CancelFunc
	dialect
	address netip.Prefix // under which the connection is counted; zero: it is not

	// The reader's.
	enc       *encoder // nil: none is needed at present
	assembly  wsframe.Assembly
	typedRate rate
	speaker
	attendance

	// Who speaks, nil as long as nobody has said; and why they are not to be heard any longer.
	who    atomic.Pointer[auth.Principal]
	ousted atomic.Pointer[wire.Error]

	mail     outbox
	mqtt     *mqttLink    // nil: Weir's own protocol is spoken
	attached []attachment // of whose commands it gets; the reader's

	writer

	// ring holds the receipts of frames head … tail-1, at index frame mod credit; it is nil when nothing has come
	// for long. The reader alone moves tail, the writer alone head; a receipt belongs to the reader until its
	// release, to the writer from ready until head has passed it.
	ring       []*receipt
	head, tail atomic.Uint64
	owed       atomic.Int64  // about how many bytes of rejections are in the ring
	room       chan struct{} // to the reader: head moved; made when it first waits

	// Written by one side, read by the server's sweep.
	lastHeard atomic.Int64 // µs
	authBy    atomic.Int64 // until when credentials may take to come, µs; 0: they have
	expires   atomic.Int64 // when they end, µs; 0: never, or the client knows
	began     atomic.Int64 // when the message that is coming did, µs; 0: none is
	holds     atomic.Int64 // since when it has had room for that message, µs; 0: it has none
	came      atomic.Int64 // bytes since then
	busy      atomic.Bool  // a message is being taken or waits for room; nothing is read meanwhile
	pingDue   atomic.Bool
	waits     atomic.Bool  // the reader waits for a place in the ring
	closing   atomic.Bool  // the close frame is being sent, or has been
	verdict   atomic.Int32 // why the connection is given up
	draining  atomic.Bool
}

// Verdicts. The zero value lets a connection live; signedOut overrides the others.
const (
	idleOut int32 = iota + 1
	tooSlow
	authLate
	signedOut
	sessionOver
)

func newConn(srv *Server, d dialect) *conn {
	c := &conn{
		srv:     srv,
		dialect: d,
		writer:  writer{pace: newPace(&srv.cfg)},

		typedRate: rate{perSecond: typedPerSecond, atOnce: typedAtOnce},
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.lastHeard.Store(nowMicros())
	return c
}

// serve begins the connection, and returns when its client falls silent for the first time; other goroutines go on.
// p and err are what the gate said to the request.
func (c *conn) serve(p *auth.Principal, err error) {
	c.attend(func() bool { return c.admit(p, err) && (len(c.in.ahead) == 0 || c.listen()) })
}

// finish is called when nothing more is read.
func (c *conn) finish() {
	c.cancel()
	c.in.giveBack()
	c.mail.close()
	if c.endWriter() {
		c.gone()
	}
}

// gone is called when nothing is read nor written any more.
func (c *conn) gone() {
	_ = c.net.Close()
	if c.mqtt != nil {
		c.mqtt.ended()
	}
	c.srv.inflight.Add(-int64(c.tail.Load() - c.head.Load()))
	c.srv.remove(c)
	c.leave()
	c.srv.work.Done()
}

// recovered ends the connection, not the process, when a message makes the code panic.
func (c *conn) recovered() {
	cause := recover()
	if cause == nil {
		return
	}
	c.srv.metrics.panics.Inc()
	c.srv.logger.Error("panic while reading from a device", "remote", c.net.RemoteAddr(), "panic", cause, "stack", string(debug.Stack()))
	c.close(wire.CloseInternal, wire.ReasonInternal)
}

// close begins the end: the client is told why, the socket is closed, and the reader comes to its end. It is not woken
// before the reason is sent, or it would end the connection with another.
func (c *conn) close(code uint16, reason string) {
	if c.mqtt != nil {
		c.mqtt.session.Farewell(reason)
	}
	if c.closing.CompareAndSwap(false, true) {
		c.countClose(code)
		c.farewell(closeFrame(code, reason))
	}
}

// giveUp has the writer end the connection, unless there is another reason to already. It does not block.
func (c *conn) giveUp(verdict int32) {
	c.verdict.CompareAndSwap(0, verdict)
	c.signal()
}

// farewell sends a close frame, ends what waits for the connection and closes the socket.
func (c *conn) farewell(frame []byte) {
	wait := c.srv.cfg.WriteTimeout
	if c.verdict.Load() == signedOut {
		wait = min(wait, signOutTime)
	}
	_ = c.net.SetWriteDeadline(time.Now().Add(wait))
	_, _ = c.net.Write(frame)
	c.cancel()
	_ = c.net.Close()
}

// countClose counts what is refused without a receipt.
func (c *conn) countClose(code uint16) {
	switch code {
	case wire.CloseTooLarge:
		byCode(c.srv.metrics.rejectedFrames, wire.CodeFrameTooLarge).Inc()
	case closeProtocol, wire.CloseNotText, wire.CloseProtocolError:
		c.srv.metrics.closedProtocol.Inc()
	}
}

// breaks ends the connection of a client that does what it must not.
func (c *conn) breaks(b breach) {
	code, reason := wire.CloseProtocolError, wire.ReasonProtocolError
	switch b {
	case badLength, reservedBits, badFrame:
		code = closeProtocol
	case notText:
		code = wire.CloseNotText
	case earlyLarge, tooLarge:
		code, reason = wire.CloseTooLarge, wire.ReasonFrameTooLarge
	}
	c.srv.logger.Debug("protocol broken", "remote", c.net.RemoteAddr(), "breach", b)
	c.close(code, reason)
}

// message takes one data message, which may have come compressed. The socket is not read until it returns: that is the back-pressure.
func (c *conn) message(compressed bool, data []byte) {
	defer c.recovered()
	c.busy.Store(true)
	defer c.idle()
	defer c.in.giveBack()
	var refusal *wire.Error
	if compressed {
		data, refusal = c.unpack(data)
	}
	if c.mqtt != nil {
		c.mqtt.take(data, refusal)
		return
	}
	switch {
	case c.ctx.Err() != nil || c.verdict.Load() == signedOut:
		return // read before the end
	case isTyped(data) && refusal == nil:
		c.aside(func() { c.converse(data) })
		return
	case c.who.Load() == nil:
		c.expel(wire.NewError(wire.CodeUnauthenticated, ""))
		return
	}
	r := c.begin()
	if r == nil {
		return
	}
	c.srv.metrics.framesWS.Inc()
	if refusal == nil {
		c.encoder().submit(c.ctx, data, r)
	} else {
		c.encoder().refuse(c.ctx, data, r, refusal)
	}
	c.end(r)
}

// begin waits for a place in the ring, and takes it for the next frame. It is nil when the connection is not to take
// any more. end is to follow.
func (c *conn) begin() *receipt {
	if !c.await() {
		return nil
	}
	r := c.next()
	r.begin(c.tail.Load()+1, c.srv.cfg.Credit, nowMicros())
	c.tail.Add(1)
	c.srv.inflight.Add(1)
	return r
}

func (c *conn) end(r *receipt) {
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
func (c *conn) await() bool {
	since := int64(0) // when it began to wait
	for !c.draining.Load() && c.ctx.Err() == nil {
		if c.hasRoom() {
			if since != 0 {
				c.srv.metrics.blockedCredit.Add(float64(nowMicros()-since) / 1e6)
			}
			return true
		}
		if since == 0 {
			since = nowMicros()
		}
		if c.room == nil {
			c.room = make(chan struct{}, 1)
		}
		c.waits.Store(true)
		if c.hasRoom() || c.draining.Load() {
			continue // before the writer knew
		}
		select {
		case <-c.room:
		case <-c.ctx.Done():
		}
	}
	return false
}

func (c *conn) hasRoom() bool {
	return c.tail.Load()-c.head.Load() < c.encoder().places(c.srv.cfg.Credit) && c.owed.Load() <= receiptBytes
}

// encoder is the connection's, which is made when it is needed.
func (c *conn) encoder() *encoder {
	if c.enc == nil {
		c.enc = newEncoder(c.srv, c.dialect)
		c.enc.principal, c.enc.presence = c.who.Load(), c.presence
		c.laden.Store(true)
	}
	return c.enc
}

// next is the receipt at the ring's tail. Receipts are made as a connection first needs them.
func (c *conn) next() *receipt {
	if c.ring == nil {
		c.ring = make([]*receipt, c.srv.cfg.Credit)
		c.laden.Store(true)
	}
	i := c.tail.Load() % uint64(len(c.ring))
	if c.ring[i] == nil {
		c.ring[i] = newReceipt(c.completed)
	}
	return c.ring[i]
}

// completed is called by the producer's goroutines when a frame is acknowledged, so it does not block. A
// writer that lets receipts gather is left alone until there are enough.
func (c *conn) completed() {
	if c.held.Load() && c.tail.Load()-c.head.Load() < uint64(c.pace.full) {
		return
	}
	c.signal()
}

// say sends a message from the reader, which waits for the socket to take it.
func (c *conn) say(message []byte) {
	_ = c.write(textFrame(nil, message))
}

// nudge wakes a reader that waits for a place in the ring.
func (c *conn) nudge() {
	if c.waits.CompareAndSwap(true, false) {
		select {
		case c.room <- struct{}{}:
		default:
		}
	}
}

func nowMicros() int64 { return time.Now().UnixMicro() }
