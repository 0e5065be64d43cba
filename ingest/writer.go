package ingest

import (
	"encoding/binary"
	"errors"
	"os"
	"time"

	"weir/wire"
)

// maxWriteBytes bounds what one socket write gathers, so that the ring's places are freed in portions.
const maxWriteBytes = 64 << 10

// writeReceipts is the connection's writer: it sends receipts in the order of their frames, all that are
// ready together in one write (a write costs the same for one as for fifty).
func (c *conn) writeReceipts() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case <-c.wake:
		case <-c.ended:
			return
		}
		if !c.holdBack(timer) || !c.writeReady() || c.over() {
			return
		}
	}
}

// holdBack waits until it is time to write what is ready. It is false when the connection has ended.
func (c *conn) holdBack(timer *time.Timer) bool {
	for {
		if c.draining.Load() || c.verdict.Load() != 0 || c.pingDue.Load() || c.mail.waiting() {
			return true
		}
		wait := c.pace.hold(nowMicros(), c.head.Load(), c.tail.Load())
		if wait == 0 {
			return true
		}
		c.held.Store(true)
		timer.Reset(wait)
		select {
		case <-timer.C:
		case <-c.wake:
		case <-c.ended:
			return false
		}
		c.held.Store(false)
	}
}

// writeReady writes until nothing more is ready. It is false when the connection cannot be written to.
func (c *conn) writeReady() bool {
	for {
		var n uint64
		c.buf, n = c.gather(c.buf[:0])
		if len(c.buf) == 0 && n == 0 {
			break
		}
		c.srv.metrics.receiptWrites.Inc()
		if len(c.buf) > 0 && !c.write(c.buf) {
			return false
		}
		c.advance(n)
	}
	if cap(c.buf) > maxWriteBytes/4 {
		c.buf = nil
	}
	return true
}

// gather encodes the receipts that are ready at the head of the ring, and how many they are.
func (c *conn) gather(buf []byte) ([]byte, uint64) {
	if c.pingDue.Swap(false) {
		buf = append(buf, finalFrame|opPing, 0)
	}
	if c.mqtt != nil {
		return c.mqtt.gather(buf)
	}
	buf = c.mail.take(buf)
	head, n := c.head.Load(), uint64(0)
	for pending := c.tail.Load() - head; n < pending && len(buf) < maxWriteBytes; n++ {
		r := c.ring[(head+n)%uint64(len(c.ring))]
		if !r.ready.Load() {
			break
		}
		start := len(buf)
		buf = append(buf, noHeader[:]...)
		buf = frameText(r.Append(buf), start)
	}
	return buf, n
}

// write is the writer's, and the ReadLoop's: a net.Conn keeps each Write whole.
func (c *conn) write(buf []byte) bool {
	_ = c.net.SetWriteDeadline(time.Now().Add(c.srv.cfg.WriteTimeout))
	if c.verdict.Load() == signedOut {
		_ = c.net.SetWriteDeadline(time.Now().Add(signOutTime))
	}
	_, err := c.net.Write(buf)
	if err == nil {
		return true
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		c.srv.metrics.closedSlow.Inc()
	}
	// Nothing more can be said on this connection; the ReadLoop ends with the socket.
	c.cancel()
	c.net.abort()
	return false
}

// advance frees the places of n receipts that have been sent.
func (c *conn) advance(n uint64) {
	now := nowMicros()
	head := c.head.Load()
	for i := range n {
		r := c.ring[(head+i)%uint64(len(c.ring))]
		c.srv.settle(r, now)
		c.owed.Add(-r.owed())
		r.shrink()
	}
	c.pace.wrote(now, n, c.tail.Load())
	c.head.Add(n)
	c.srv.inflight.Add(-int64(n))
	c.nudge()
}

// over ends the connection when the sweep has given it up, or when the server drains and owes it nothing more.
func (c *conn) over() bool {
	verdict := c.verdict.Load()
	switch {
	case verdict == idleOut:
		c.srv.metrics.closedIdle.Inc()
		c.close(wire.CloseHeartbeat, wire.ReasonHeartbeat)
		return true
	case verdict == tooSlow:
		c.srv.metrics.closedUpload.Inc()
		c.close(wire.CloseNoProgress, wire.ReasonNoProgress)
		return true
	case verdict == authLate:
		c.expel(wire.NewError(wire.CodeAuthTimeout, ""))
		return true
	case verdict == signedOut:
		c.expel(c.ousted.Load())
		return true
	case verdict == sessionOver:
		c.mqtt.over()
		return true
	// A message that busy does not show will see draining and not be taken.
	case c.draining.Load() && !c.busy.Load() && c.head.Load() == c.tail.Load():
		c.close(wire.CloseDraining, wire.ReasonDraining)
		return true
	}
	return false
}

// Frames of a server are not masked, so gathering them needs no more than their headers (RFC 6455 §5.2).
// They go to the socket beside gws, which writes pongs and closes: a net.Conn keeps each Write whole.
const (
	finalFrame = 0x80
	opText     = 0x1
	opBinary   = 0x2
	opClose    = 0x8
	opPing     = 0x9
	maxHeader  = 10
)

var noHeader [maxHeader]byte

// textFrame appends a text frame.
func textFrame(dst, payload []byte) []byte {
	start := len(dst)
	dst = append(dst, noHeader[:]...)
	return frameText(append(dst, payload...), start)
}

// frameText puts the header of a text frame before the payload that begins maxHeader after start, and
// closes the gap.
func frameText(buf []byte, start int) []byte { return frame(opText, buf, start) }

func frameBinary(buf []byte, start int) []byte { return frame(opBinary, buf, start) }

func frame(opcode byte, buf []byte, start int) []byte {
	payload := buf[start+maxHeader:]
	header := [maxHeader]byte{finalFrame | opcode}
	n := 2
	switch {
	case len(payload) < 126:
		header[1] = byte(len(payload))
	case len(payload) < 1<<16:
		header[1] = 126
		binary.BigEndian.PutUint16(header[2:], uint16(len(payload)))
		n = 4
	default:
		header[1] = 127
		binary.BigEndian.PutUint64(header[2:], uint64(len(payload)))
		n = 10
	}
	copy(buf[start:], header[:n])
	return append(buf[:start+n], payload...)
}
