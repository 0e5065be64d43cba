package push

import (
	"encoding/binary"
	"io"
	"math"
	"time"
)

// guard is between a connection and gws. It follows the frames (RFC 6455 §5.2) without touching them, and
// ends the connection before gws sees what it cannot cope with: a length with the top bit set, which it takes
// for a negative number, and control frames and fragments in such numbers that they keep a core busy. Whole
// messages are counted where they are handled.
type guard struct {
	in     io.Reader
	client *client

	header [14]byte
	have   int    // bytes of the header so far
	left   uint64 // of the present frame's payload
}

// Read ends when the client is not to be heard any more. What it still sends is read until it has had its
// close frame, which a reset connection could lose.
func (g *guard) Read(p []byte) (int, error) {
	if !g.client.deaf {
		n, err := g.in.Read(p)
		reason, ok := g.check(p[:n])
		if ok {
			return n, err
		}
		g.client.expel(reason)
	}
	discard(g.in)
	return 0, io.EOF
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

// check follows p, and reports why the connection has to end if it has to.
func (g *guard) check(p []byte) (reason closeReason, ok bool) {
	for len(p) > 0 {
		if g.left > 0 {
			skipped := min(g.left, uint64(len(p)))
			g.left -= skipped
			p = p[skipped:]
			continue
		}
		g.header[g.have] = p[0]
		p = p[1:]
		if g.have++; g.have < g.headerBytes() {
			continue
		}
		g.have, g.left = 0, g.payloadBytes()
		if g.left > math.MaxInt64 {
			return endedTooLarge, false
		}
		if !g.wholeMessage() && !g.client.frames.take(g.client.hub.now()) {
			return endedProtocol, false
		}
	}
	return 0, true
}

// wholeMessage reports whether the frame is a message, and not a part of one or a control frame.
func (g *guard) wholeMessage() bool {
	const final, control, opcodes = 0x80, 0x08, 0x0f
	first := g.header[0]
	return first&final != 0 && first&control == 0 && first&opcodes != 0
}

func (g *guard) headerBytes() int {
	if g.have < 2 {
		return 2
	}
	n := 2
	switch g.header[1] & 0x7f {
	case 126:
		n += 2
	case 127:
		n += 8
	}
	if g.header[1]&0x80 != 0 {
		n += 4
	}
	return n
}

func (g *guard) payloadBytes() uint64 {
	switch n := g.header[1] & 0x7f; n {
	case 126:
		return uint64(binary.BigEndian.Uint16(g.header[2:]))
	case 127:
		return binary.BigEndian.Uint64(g.header[2:])
	default:
		return uint64(n)
	}
}
