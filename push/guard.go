package push

import (
	"io"
	"math"
	"time"

	"weir/internal/wsframe"
)

// guard is between a connection and gws. It follows the frames (RFC 6455 §5.2) without touching them, and
// ends the connection before gws sees what it cannot cope with: a length with the top bit set, which it takes
// for a negative number, and control frames and fragments in such numbers that they keep a core busy. Whole
// messages are counted where they are handled.
type guard struct {
	in     io.Reader
	client *client

	header wsframe.Header
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
		complete := g.header.Add(p[0])
		p = p[1:]
		if !complete {
			continue
		}
		g.header.Reset()
		g.left = g.header.Payload()
		if g.left > math.MaxInt64 {
			return endedTooLarge, false
		}
		if !g.header.IsWholeMessage() && !g.client.frames.take(g.client.hub.now()) {
			return endedProtocol, false
		}
	}
	return 0, true
}
