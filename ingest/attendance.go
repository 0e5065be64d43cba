package ingest

import (
	"errors"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// readBufferSize is what a connection is read in while its client speaks; larger messages are read past the buffer.
	readBufferSize = 4 << 10
	// A client that speaks again within livelyTime keeps its goroutines, until it has been silent for so long.
	livelyTime = time.Second
	// One that speaks again within ladenTime keeps its encoder and ring.
	ladenTime = 15 * time.Second
)

var readBuffers = sync.Pool{New: func() any { return new([readBufferSize]byte) }}

// attendance is how a connection waits for its client. A goroutine that has decoded a frame has a stack of 8 KiB or
// more; so one that has but a shallow stack waits for a client that is silent, and becomes the reader when it speaks.
// There is one or the other.
type attendance struct {
	raw    syscall.RawConn // of the socket; nil: it cannot be waited on without reading
	spoke  int64           // when the client spoke after a silence, µs; the reader's
	lively atomic.Bool     // the reader waits for more
	reader atomic.Uint32   // one of the states below
	laden  atomic.Bool     // there may be an encoder, or a ring
	rarely bool            // the client has spoken after ladenTime; the reader's
}

// States of a reader. What it owns may be taken from it while it rests, by who makes it readerRobbed meanwhile.
const (
	readerReads uint32 = iota
	readerRests
	readerRobbed
)

// attend runs a part of the reader's work, which is true when the client is to be waited for.
func (c *conn) attend(part func() bool) {
	waits := false
	func() {
		defer c.recovered()
		waits = part()
	}()
	if !waits {
		c.finish()
		return
	}
	if c.lively.Swap(false) && c.work.Load() == writerSleeps {
		c.signal()
	}
	c.reader.Store(readerRests)
	c.unload(false)
	go c.watch()
}

// watch waits until the client speaks, and becomes the reader.
func (c *conn) watch() {
	for {
		err := c.readable()
		if !errors.Is(err, os.ErrDeadlineExceeded) || c.closing.Load() {
			break
		}
		c.net.resume()
	}
	for !c.reader.CompareAndSwap(readerRests, readerReads) {
		runtime.Gosched() // robbed for a moment
	}
	now := nowMicros()
	silence := now - c.spoke
	c.spoke = now
	c.lively.Store(silence < livelyTime.Microseconds())
	c.rarely = silence > ladenTime.Microseconds()
	c.attend(c.listen)
}

// listen reads until the client is silent, and is false when the connection is to end.
func (c *conn) listen() bool {
	buf := readBuffers.Get().(*[readBufferSize]byte)
	defer readBuffers.Put(buf)
	for !c.closing.Load() {
		into := c.assembly.Wants()
		if len(into) < len(buf) {
			into = buf[:]
		}
		n, err := c.in.Read(into)
		if n > 0 && !c.assembly.Feed(into[:n], c.srv.cfg.MaxFrameBytes, c) {
			return false
		}
		switch {
		case err == nil:
		case !errors.Is(err, os.ErrDeadlineExceeded) || c.closing.Load():
			c.echo(closeFrame(closeNormal, "")) // to who has only ended its side
			return false
		default:
			c.net.resume()
			if c.raw != nil {
				return true
			}
		}
		if c.drained(n < len(into)) {
			return true
		}
	}
	return false
}

// drained reports whether the reader need not wait for more, once a read has not filled its buffer.
func (c *conn) drained(short bool) bool {
	_, plain := c.net.Conn.(*net.TCPConn) // TLS may have more that has been read from the socket
	return short && plain && c.raw != nil && !c.lively.Load() && len(c.in.ahead) == 0
}

// lighten gives back what a client does not need that has been silent for some time, in µs. It is the sweep's.
func (c *conn) lighten(silence int64) {
	switch {
	case c.reader.Load() == readerReads:
		if c.raw != nil && silence > livelyTime.Microseconds() {
			c.net.interrupt()
		}
	case silence > ladenTime.Microseconds() && c.laden.Load():
		c.unload(true)
	}
}

// unload gives back the encoder and the ring of a reader that rests, if they are not in use: no receipt is due, and
// the encoder knows of no shortage of credit. A client that has spoken rarely will not need them soon; of others it is
// to be known.
func (c *conn) unload(silent bool) {
	if c.mqtt != nil || !c.laden.Load() || !c.reader.CompareAndSwap(readerRests, readerRobbed) {
		return
	}
	if (silent || c.rarely) && c.head.Load() == c.tail.Load() && (c.enc == nil || c.enc.unconcerned()) {
		c.ring, c.enc = nil, nil
		c.laden.Store(false)
	}
	c.reader.Store(readerRests)
}

// rawOf is the socket below a connection.
func rawOf(conn net.Conn) syscall.RawConn {
	if above, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = above.NetConn()
	}
	if socket, ok := conn.(syscall.Conn); ok && mayWatch {
		if raw, err := socket.SyscallConn(); err == nil {
			return raw
		}
	}
	return nil
}
