package push

import (
	"encoding/binary"
	"io"
	"net"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"weir/internal/wsframe"
	"weir/wire"
)

// ear is what a connection is listened to with. Between messages it holds nothing but itself.
type ear struct {
	raw      syscall.RawConn // of the socket; nil: it cannot be waited on without reading
	early    []byte          // what came with the handshake
	guard    guard
	assembly wsframe.Assembly
}

// readBufferSize is what a client is read in while it speaks; larger messages are read past the buffer.
const readBufferSize = 4 << 10

var readBuffers = sync.Pool{New: func() any { return new([readBufferSize]byte) }}

// attend waits until a client speaks, and becomes its reader. A goroutine that has handled a message has a stack of 8 KiB
// or more; so one with a shallow stack waits for a client that is silent. There is one or the other.
func (s *Server) attend(c *client) {
	if c.ear.raw != nil && len(c.ear.early) == 0 {
		_ = c.ear.raw.Read(peek) // what is the matter, reading tells
	}
	s.listen(c)
}

// listen reads until the client is silent or the connection ends.
func (s *Server) listen(c *client) {
	reason, silent := endedLost, false
	defer func() {
		if p := recover(); p != nil {
			s.log.Error("live connection failed", "panic", p, "stack", string(debug.Stack()))
			reason, silent = endedInternal, false
		}
		if silent {
			go s.attend(c)
			return
		}
		s.depart(c, reason)
	}()
	silent = s.hear(c)
}

// hear is true when the client is to be waited for, and false when nothing more is to be read.
func (s *Server) hear(c *client) (silent bool) {
	buf := readBuffers.Get().(*[readBufferSize]byte)
	defer readBuffers.Put(buf)
	to := listener{s, c}
	for !c.deaf {
		into := c.ear.assembly.Wants()
		if len(into) < len(buf) {
			into = buf[:]
		}
		n, err := c.readSome(into)
		if reason, ok := c.ear.guard.check(into[:n], c); !ok {
			c.expel(reason)
			break
		}
		if !c.ear.assembly.Feed(into[:n], s.cfg.MaxMessageBytes, to) {
			if c.deaf {
				break
			}
			return false
		}
		if err != nil {
			c.closeWith(closeFrame(wire.CloseNormal, wire.ReasonNormal), endedLost)
			return false
		}
		if n < len(into) && c.ear.raw != nil && len(c.ear.early) == 0 && !c.deaf {
			return true
		}
	}
	// What it still sends is read until it has had its close frame, which a reset connection could lose.
	discard(c.conn)
	c.closeWith(closeFrame(wire.CloseNormal, wire.ReasonNormal), endedLost)
	return false
}

// readSome reads what came with the handshake first.
func (c *client) readSome(p []byte) (int, error) {
	if early := c.ear.early; len(early) > 0 {
		n := copy(p, early)
		if c.ear.early = early[n:]; n == len(early) {
			c.ear.early = nil
		}
		return n, nil
	}
	return c.conn.Read(p)
}

// rawOf is the socket of a connection. One with TLS may have read more from it than it has handed on, so that nobody can
// wait for the socket.
func rawOf(conn net.Conn) syscall.RawConn {
	socket, ok := conn.(*net.TCPConn)
	if !ok || !mayWatch {
		return nil
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return nil
	}
	return raw
}

// discard reads to the end what nobody wants to hear, slowly: a flood must not keep a core busy here either.
func discard(r io.Reader) {
	const size, pause = 16 << 10, 5 * time.Millisecond
	buf := make([]byte, size)
	for {
		n, err := r.Read(buf)
		if err != nil {
			return
		}
		if n == size {
			time.Sleep(pause)
		}
	}
}

// listener is what a connection's frames come to.
type listener struct {
	s *Server
	c *client
}

// Take implements wsframe.Receiver.
func (l listener) Take(opcode byte, compressed bool, message []byte) bool {
	l.c.heardNow()
	if compressed {
		unpacked, err := l.s.inflater.Inflate(message, l.s.cfg.MaxMessageBytes)
		if err != nil {
			l.Break(wsframe.Illegal)
			return false
		}
		message = unpacked
	}
	if opcode == wsframe.OpBinary && l.c.encoding.plain() == asProto {
		message, _ = wire.DecodeClientProto(message) // what is none comes to no text, which is refused
	}
	l.s.handle(l.c, message)
	return !l.c.deaf
}

// Control implements wsframe.Receiver.
func (l listener) Control(opcode byte, payload []byte) bool {
	now := l.c.heardNow()
	switch opcode {
	case wsframe.OpPing:
		l.c.queuePong(payload)
	case wsframe.OpPong:
		l.pong(now, payload)
	default:
		l.bidden(payload)
		return false
	}
	return true
}

// pong takes the age of the ping it answers: how far behind the client is.
func (l listener) pong(now time.Time, payload []byte) {
	if len(payload) != 8 {
		return
	}
	at := int64(binary.BigEndian.Uint64(payload))
	if l.c.caughtUp(at) {
		l.c.frames.tokens++ // the server may probe more often than a client may send
	}
	age := l.c.hub.elapsed(now) - at
	if age >= 0 && age < int64(l.s.cfg.IdleTimeout) {
		l.c.rtt.Store(age)
		l.s.hub.m.pingTime.Update(time.Duration(age).Seconds())
	}
}

// bidden answers a close frame.
func (l listener) bidden(payload []byte) {
	code, wrong := wsframe.Goodbye(payload)
	switch {
	case wrong != 0:
		l.Break(wrong)
	case code == 0:
		l.c.closeWith(controlFrame(opClose, nil), endedByClient)
	case code < 3000:
		l.c.closeWith(closeFrame(wire.CloseNormal, ""), endedByClient)
	default:
		l.c.closeWith(closeFrame(code, ""), endedByClient)
	}
}

// Break implements wsframe.Receiver.
func (l listener) Break(f wsframe.Fault) {
	switch f {
	case wsframe.TooLarge:
		l.c.closeWith(closeFrame(wire.CloseTooLarge, wire.ReasonFrameTooLarge), endedTooLarge)
	case wsframe.NotText:
		l.c.closeWith(closeFrame(wire.CloseNotText, wire.ReasonProtocolError), endedProtocol)
	default:
		l.c.closeWith(closeFrame(wire.CloseMalformed, wire.ReasonProtocolError), endedProtocol)
	}
}
