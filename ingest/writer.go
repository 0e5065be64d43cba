package ingest

import (
	"encoding/binary"
	"errors"
	"os"
	"sync/atomic"
	"time"

	"weir/wire"
)

// maxWriteBytes bounds what one socket write gathers, so that the ring's places are freed in portions.
const maxWriteBytes = 64 << 10

// writer is the side of a connection that writes: a goroutine that runs while there is something to be written, and,
// on a connection that frames keep coming from, in between.
type writer struct {
	work atomic.Uint32 // one of the states below
	held atomic.Bool   // it lets receipts gather

	// Its own, whichever goroutine it is.
	pace  pace
	buf   []byte
	timer *time.Timer
	wake  chan struct{} // has one token for each time that somebody takes it out of writerSleeps
}

// States of a writer. A signal takes it from writerIdle or writerSleeps to writerRuns, from there to writerAsked: then
// it looks again before it rests. No look is lost: what is to be seen is there before the signal.
const (
	writerIdle   uint32 = iota // there is no goroutine
	writerRuns                 // it looks for what is to be written
	writerAsked                // it has been signalled since it began to look
	writerSleeps               // it waits for a signal
	writerDone                 // it has given up
	writerEnded                // the reader has ended; who writes still ends the connection
)

// signal has the writer look.
func (c *conn) signal() {
	for {
		switch state := c.work.Load(); state {
		case writerIdle:
			if c.work.CompareAndSwap(state, writerRuns) {
				go c.writeReceipts()
				return
			}
		case writerRuns:
			if c.work.CompareAndSwap(state, writerAsked) {
				return
			}
		case writerSleeps:
			if c.work.CompareAndSwap(state, writerRuns) {
				c.wake <- struct{}{}
				return
			}
		default:
			return
		}
	}
}

// endWriter is the end of the reader. It is true when there is no writer; otherwise that ends the connection.
func (c *conn) endWriter() bool {
	switch c.work.Swap(writerEnded) {
	case writerIdle, writerDone:
		return true
	case writerSleeps:
		c.wake <- struct{}{}
	}
	return false
}

// writeReceipts is the connection's writer: it sends receipts in the order of their frames, all that are
// ready together in one write (a write costs the same for one as for fifty).
func (c *conn) writeReceipts() {
	for c.holdBack() && c.writeReady() && !c.over() {
		if !c.rest() {
			return
		}
	}
	for {
		state := c.work.Load()
		if state == writerEnded {
			c.gone()
			return
		}
		if c.work.CompareAndSwap(state, writerDone) {
			return
		}
	}
}

// rest waits for a signal. It is false when there is no need for a goroutine to do that.
func (c *conn) rest() bool {
	for {
		if c.work.CompareAndSwap(writerAsked, writerRuns) || c.work.Load() == writerEnded {
			return true
		}
		if c.lively.Load() {
			c.sleep(0)
			return true
		}
		c.buf, c.timer = nil, nil
		c.unload(false)
		if c.work.CompareAndSwap(writerRuns, writerIdle) {
			return false
		}
	}
}

// sleep waits for a signal, or until some time has passed if that is not 0.
func (c *conn) sleep(most time.Duration) {
	if c.wake == nil {
		c.wake = make(chan struct{}, 1)
	}
	if !c.work.CompareAndSwap(writerRuns, writerSleeps) {
		return
	}
	if most == 0 {
		if c.lively.Load() || !c.work.CompareAndSwap(writerSleeps, writerRuns) {
			<-c.wake
		}
		return
	}
	if c.timer == nil {
		c.timer = time.NewTimer(most)
	} else {
		c.timer.Reset(most)
	}
	select {
	case <-c.wake:
		c.timer.Stop()
	case <-c.timer.C:
		if !c.work.CompareAndSwap(writerSleeps, writerRuns) {
			<-c.wake
		}
	}
}

// holdBack waits until it is time to write what is ready. It is false when the connection has ended.
func (c *conn) holdBack() bool {
	for c.work.Load() != writerEnded {
		c.work.CompareAndSwap(writerAsked, writerRuns)
		if c.draining.Load() || c.verdict.Load() != 0 || c.pingDue.Load() || c.mail.waiting() {
			return true
		}
		wait := c.pace.hold(nowMicros(), c.head.Load(), c.tail.Load())
		if wait == 0 {
			return true
		}
		c.held.Store(true)
		c.sleep(wait)
		c.held.Store(false)
	}
	return false
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

// write is the writer's, and the reader's: a net.Conn keeps each Write whole.
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
	// Nothing more can be said on this connection; the reader ends with the socket.
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
// Reader and writer both write: a net.Conn keeps each Write whole.
const (
	finalFrame = 0x80
	opText     = 0x1
	opBinary   = 0x2
	opClose    = 0x8
	opPing     = 0x9
	opPong     = 0xA
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

// closeFrame is one that tells a code and a reason.
func closeFrame(code uint16, reason string) []byte {
	buf := append(noHeader[:], byte(code>>8), byte(code))
	return frame(opClose, append(buf, reason...), 0)
}

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
