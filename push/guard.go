package push

import (
	"math"

	"weir/internal/wsframe"
)

// guard follows a client's frames (RFC 6455 §5.2) before they are put together, and ends the connection at what is not
// to be taken: a length with the top bit set, and control frames and fragments in such numbers that they keep a core busy.
// Whole messages are counted where they are handled.
type guard struct {
	header wsframe.Header
	left   uint64 // of the present frame's payload
}

// check follows p, and reports why the connection has to end if it has to.
func (g *guard) check(p []byte, c *client) (reason closeReason, ok bool) {
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
		if !g.header.IsWholeMessage() && !c.frames.take(c.hub.now()) {
			return endedProtocol, false
		}
	}
	return 0, true
}
