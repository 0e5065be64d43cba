package wsframe

import (
	"encoding/binary"
	"math/bits"
	"sync"
	"unicode/utf8"
)

// maxControl is the longest payload of a control frame (RFC 6455 §5.5).
const maxControl = 125

// Fault is what ends a connection.
type Fault uint8

const (
	// Illegal are frames that are not WebSocket's.
	Illegal Fault = iota + 1
	// TooLarge are messages beyond the limit.
	TooLarge
	// NotText is a reason in a close frame that is not UTF-8.
	NotText
)

// Receiver is who gets what is assembled, and is told of the frame that breaks the rules. It is false when the connection
// is to end. What it is handed is valid until it returns.
type Receiver interface {
	Take(kind byte, compressed bool, message []byte) bool
	Control(opcode byte, payload []byte) bool
	Break(Fault)
}

// Assembly puts a client's messages together, and judges whether its frames are legal (RFC 6455 §5). A message that has come
// as a whole is handed on where it lies. Between messages it holds nothing.
type Assembly struct {
	// Deflate: messages may be compressed (RFC 7692).
	Deflate bool

	header Header
	begun  bool    // the header is complete, and its frame is not
	kind   byte    // opcode of the message that has begun; 0: none has
	packed bool    // that message is compressed
	key    [8]byte // what the next bytes of the payload are masked with: the mask twice, turned to them
	left   uint64  // of the frame's payload
	kept   []byte  // what has come of that message, if it is not where it can be handed on
	room   *[]byte // kept's, if it came from a pool
	aside  *[]byte // what has come of a control frame that comes in pieces; nil: nothing
}

// Feed takes bytes that have come, which it changes, of messages of no more than limit bytes. It is false when the
// connection is to end.
func (a *Assembly) Feed(p []byte, limit int, to Receiver) bool {
	for len(p) > 0 {
		if !a.begun {
			complete := a.header.Add(p[0])
			if p = p[1:]; !complete {
				continue
			}
			if f := a.begin(limit); f != 0 {
				to.Break(f)
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
func (a *Assembly) begin(limit int) Fault {
	h := &a.header
	a.left = h.Payload()
	opcode := h.Opcode()
	switch {
	case !h.Masked(), h.ReservedBits() != 0 && !a.compresses():
		return Illegal
	case opcode >= OpClose:
		if !h.IsFinal() || a.left > maxControl || opcode > OpPong {
			return Illegal
		}
	case opcode > OpBinary, (opcode == OpContinuation) != (a.kind != 0):
		return Illegal
	case a.left > uint64(limit) || uint64(len(a.kept))+a.left > uint64(limit):
		return TooLarge
	case opcode != OpContinuation:
		a.kind, a.packed = opcode, h.ReservedBits()&Compressed != 0
	}
	a.begun = true
	mask := h.Mask()
	copy(a.key[:], mask[:])
	copy(a.key[4:], mask[:])
	return 0
}

// compresses reports whether the header begins a message and marks it as compressed, as it may.
func (a *Assembly) compresses() bool {
	h := &a.header
	return a.Deflate && h.ReservedBits() == Compressed && h.IsData() && h.Opcode() != OpContinuation
}

// unmask uncovers the next bytes of the frame's payload.
func (a *Assembly) unmask(p []byte) {
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
func (a *Assembly) keep(chunk []byte, limit int) {
	if len(chunk) == 0 {
		return
	}
	if a.header.Opcode() >= OpClose {
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

// Wants is the place for the rest of a frame that has begun, if there is one.
func (a *Assembly) Wants() []byte {
	have := len(a.kept)
	if !a.begun || have == 0 || a.header.Opcode() >= OpClose || uint64(cap(a.kept)-have) < a.left {
		return nil
	}
	return a.kept[have : have+int(a.left)]
}

// end deals with a frame that is complete, chunk being its last bytes.
func (a *Assembly) end(chunk []byte, limit int, to Receiver) bool {
	a.begun = false
	opcode, final := a.header.Opcode(), a.header.IsFinal()
	if opcode >= OpClose {
		if a.aside != nil {
			chunk = append(*a.aside, chunk...)
			a.aside = nil
		}
		a.header.Reset()
		return to.Control(opcode, chunk)
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
	return to.Take(kind, a.packed, chunk)
}

// forget gives back what a message was kept in.
func (a *Assembly) forget() {
	if a.room != nil {
		giveRoom(a.room)
	}
	a.kept, a.room = nil, nil
}

// Goodbye reads the payload of a client's close frame (RFC 6455 §5.5.1): the code that it ends the connection with, 0
// without one, or what is wrong with it.
func Goodbye(payload []byte) (code uint16, wrong Fault) {
	if len(payload) == 0 {
		return 0, 0
	}
	if len(payload) > 1 {
		code = binary.BigEndian.Uint16(payload)
	}
	switch {
	case !mayClose(code):
		return 0, Illegal
	case !utf8.Valid(payload[2:]):
		return 0, NotText
	}
	return code, 0
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
