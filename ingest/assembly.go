package ingest

import (
	"encoding/binary"
	"math/bits"
	"sync"

	"weir/internal/wsframe"
)

// maxControl is the longest payload of a control frame (RFC 6455 §5.5).
const maxControl = 125

// assembly puts a client's messages together from what incoming lets pass, and judges whether its frames are legal
// (RFC 6455 §5), but for what framing has looked at: which reserved bits are. A message that has come as a whole is handed on where it lies. Between messages it holds nothing.
type assembly struct {
	header wsframe.Header
	begun  bool    // the header is complete, and its frame is not
	kind   byte    // opcode of the message that has begun; 0: none has
	packed bool    // that message is compressed
	key    [8]byte // what the next bytes of the payload are masked with: the mask twice, turned to them
	left   uint64  // of the frame's payload
	kept   []byte  // what has come of that message, if it is not where it can be handed on
	room   *[]byte // kept's, if it came from a pool
	aside  *[]byte // what has come of a control frame that comes in pieces; nil: nothing
}

// taker is who gets what is assembled, and is told of the frame that breaks the rules. It is false when the connection is
// to end.
type taker interface {
	take(kind byte, compressed bool, message []byte) bool
	control(opcode byte, payload []byte) bool
	breaks(b breach)
}

// feed takes bytes that have come, which it changes, of messages of no more than limit bytes. It is false when the
// connection is to end.
func (a *assembly) feed(p []byte, limit int, to taker) bool {
	for len(p) > 0 {
		if !a.begun {
			complete := a.header.Add(p[0])
			if p = p[1:]; !complete {
				continue
			}
			if b := a.begin(limit); b != lawful {
				to.breaks(b)
				return false
			}
		}
		n := min(uint64(len(p)), a.left)
		chunk := p[:n]
		p = p[n:]
		a.unmask(chunk)
		if a.left -= n; a.left > 0 {
			a.keep(chunk, limit)
		} else if !a.end(chunk, limit, to) {
			return false
		}
	}
	return true
}

// begin starts the frame whose header is complete.
func (a *assembly) begin(limit int) breach {
	h := &a.header
	a.left = h.Payload()
	opcode := h.Opcode()
	switch {
	case !h.Masked():
		return badFrame
	case opcode >= wsframe.OpClose:
		if !h.IsFinal() || a.left > maxControl || opcode > wsframe.OpPong {
			return badFrame
		}
	case opcode > wsframe.OpBinary, (opcode == wsframe.OpContinuation) != (a.kind != 0):
		return badFrame
	case a.left > uint64(limit) || uint64(len(a.kept))+a.left > uint64(limit):
		return tooLarge
	case opcode != wsframe.OpContinuation:
		a.kind, a.packed = opcode, h.ReservedBits()&wsframe.Compressed != 0
	}
	a.begun = true
	mask := h.Mask()
	copy(a.key[:], mask[:])
	copy(a.key[4:], mask[:])
	return lawful
}

// unmask uncovers the next bytes of the frame's payload.
func (a *assembly) unmask(p []byte) {
	key := binary.LittleEndian.Uint64(a.key[:])
	for len(p) >= 8 {
		binary.LittleEndian.PutUint64(p, binary.LittleEndian.Uint64(p)^key)
		p = p[8:]
	}
	for i := range p {
		p[i] ^= a.key[i]
	}
	if turn := len(p) % 4; turn != 0 {
		binary.LittleEndian.PutUint64(a.key[:], bits.RotateLeft64(key, -8*turn))
	}
}

// keep adds to what has come of a message, or of a control frame. There is room for all of the frame from its first
// bytes on.
func (a *assembly) keep(chunk []byte, limit int) {
	if len(chunk) == 0 {
		return
	}
	if a.header.Opcode() >= wsframe.OpClose {
		if a.aside == nil {
			a.aside = new([]byte)
		}
		*a.aside = append(*a.aside, chunk...)
		return
	}
	have := len(a.kept)
	needed := have + len(chunk) + int(a.left)
	switch {
	case needed <= cap(a.kept):
	case have == 0 && a.header.IsFinal():
		a.room = messageRoom(needed)
		a.kept = (*a.room)[:0]
	default:
		a.kept = append(make([]byte, 0, max(needed, min(2*have, limit))), a.kept...)
	}
	if tail := a.kept[have:cap(a.kept)]; &tail[0] == &chunk[0] {
		a.kept = a.kept[:have+len(chunk)] // was read into its place
		return
	}
	a.kept = append(a.kept, chunk...)
}

// wants is the place for the rest of a frame that has begun, if there is one.
func (a *assembly) wants() []byte {
	have := len(a.kept)
	if !a.begun || have == 0 || a.header.Opcode() >= wsframe.OpClose || uint64(cap(a.kept)-have) < a.left {
		return nil
	}
	return a.kept[have : have+int(a.left)]
}

// end deals with a frame that is complete, chunk being its last bytes.
func (a *assembly) end(chunk []byte, limit int, to taker) bool {
	a.begun = false
	opcode, final := a.header.Opcode(), a.header.IsFinal()
	if opcode >= wsframe.OpClose {
		if a.aside != nil {
			chunk = append(*a.aside, chunk...)
			a.aside = nil
		}
		a.header.Reset()
		return to.control(opcode, chunk)
	}
	if len(a.kept) > 0 || !final {
		a.keep(chunk, limit)
		chunk = a.kept
	}
	a.header.Reset()
	if !final {
		return true
	}
	kind := a.kind
	a.kind = 0
	defer a.forget()
	return to.take(kind, a.packed, chunk)
}

// forget gives back what a message was kept in.
func (a *assembly) forget() {
	if a.room != nil {
		giveRoom(a.room)
	}
	a.kept, a.room = nil, nil
}

// take implements taker.
func (c *conn) take(kind byte, compressed bool, message []byte) bool {
	if c.mqtt != nil && kind != wsframe.OpBinary {
		c.breaks(notBinary)
	} else {
		c.message(compressed, message)
	}
	return !c.closing.Load()
}

// control implements taker.
func (c *conn) control(opcode byte, payload []byte) bool {
	switch opcode {
	case wsframe.OpPing:
		buf := append(noHeader[:], payload...)
		return c.write(frame(opPong, buf, 0))
	case wsframe.OpPong:
		return true
	}
	c.bidden(payload)
	return false
}

// bidden answers a close frame, and notes whether the client meant to go.
func (c *conn) bidden(payload []byte) {
	if len(payload) == 0 {
		c.echo([]byte{finalFrame | opClose, 0})
		return
	}
	code := uint16(0)
	if len(payload) > 1 {
		code = binary.BigEndian.Uint16(payload)
	}
	if !mayClose(code) {
		c.breaks(badFrame)
		return
	}
	c.orderly = code == closeNormal || code == closeGoingAway
	if code < 3000 {
		code = closeNormal
	}
	c.echo(closeFrame(code, ""))
}

func (c *conn) echo(frame []byte) {
	if c.closing.CompareAndSwap(false, true) {
		c.farewell(frame)
	}
}

// mayClose reports whether a client may end the connection with a code (RFC 6455 §7.4).
func mayClose(code uint16) bool {
	switch code {
	case 1004, 1005, 1006, 1014, 1015:
		return false
	}
	return code >= 1000 && code < 1016 || code >= 3000 && code < 5000
}

// Messages that do not come as a whole are put together in room that is used again: by powers of two, from smallRoom to
// largeRoom.
const (
	smallRoom = 9
	largeRoom = 20
)

var rooms [largeRoom - smallRoom + 1]sync.Pool

// messageRoom has a capacity of n bytes at least.
func messageRoom(n int) *[]byte {
	class := max(smallRoom, bits.Len(uint(n-1)))
	if class > largeRoom {
		b := make([]byte, 0, n)
		return &b
	}
	if b, ok := rooms[class-smallRoom].Get().(*[]byte); ok {
		return b
	}
	b := make([]byte, 0, 1<<class)
	return &b
}

func giveRoom(b *[]byte) {
	if class := bits.Len(uint(cap(*b) - 1)); class >= smallRoom && class <= largeRoom && cap(*b) == 1<<class {
		rooms[class-smallRoom].Put(b)
	}
}
