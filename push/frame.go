package push

import "encoding/binary"

// opcode is a WebSocket frame's kind.
type opcode byte

const (
	opText   opcode = 1
	opBinary opcode = 2
	opClose  opcode = 8
	opPing   opcode = 9
	opPong   opcode = 10
)

// frame is bytes ready for a socket: one or more whole WebSocket messages, in two parts so that one of
// them can be shared. A server's frames are not masked, so the same bytes serve every connection. The
// parts are never written to once the frame is made.
type frame struct {
	head, body []byte
	rows       int
	// made are the same in other encodings, if the frame is for several connections; nil: it is for one.
	made *variants
	// squeezed: the connection agreed on compression, and gets that instead.
	squeezed *squeezed
}

func (f *frame) size() int { return len(f.head) + len(f.body) }

// headerRoom is the length of the longest header of an unmasked frame. Payloads are encoded behind that
// much free room, so that the header can be put right before them without a copy.
const headerRoom = 10

// newPayload returns a buffer to append a payload of about size bytes to.
func newPayload(size int) []byte { return make([]byte, headerRoom, headerRoom+size) }

// message makes a whole WebSocket message of what was appended to a buffer from newPayload. more bytes
// of the payload follow elsewhere.
func message(op opcode, buf []byte, more int) []byte {
	n := len(buf) - headerRoom + more
	var start int
	switch {
	case n < 126:
		start = headerRoom - 2
		buf[start+1] = byte(n)
	case n < 1<<16:
		start = headerRoom - 4
		buf[start+1] = 126
		binary.BigEndian.PutUint16(buf[start+2:], uint16(n))
	default:
		start = headerRoom - 10
		buf[start+1] = 127
		binary.BigEndian.PutUint64(buf[start+2:], uint64(n))
	}
	buf[start] = 0x80 | byte(op)
	return buf[start:]
}

// unwrap takes the first message of b, which holds whole messages, apart.
func unwrap(b []byte) (op opcode, payload, after []byte) {
	start, n := 2, uint64(b[1])
	switch n {
	case 126:
		start, n = 4, uint64(binary.BigEndian.Uint16(b[2:]))
	case 127:
		start, n = 10, binary.BigEndian.Uint64(b[2:])
	}
	end := start + int(n)
	return opcode(b[0] & 0xf), b[start:end], b[end:]
}

// textFrame wraps a JSON payload.
func textFrame(payload []byte) frame {
	return frame{body: message(opText, append(newPayload(len(payload)), payload...), 0)}
}

// closeFrame says goodbye with a code and a reason of at most 123 bytes.
func closeFrame(code uint16, reason string) frame {
	b := binary.BigEndian.AppendUint16(newPayload(2+len(reason)), code)
	return frame{body: message(opClose, append(b, reason...), 0)}
}

func controlFrame(op opcode, payload []byte) frame {
	return frame{body: message(op, append(newPayload(len(payload)), payload...), 0)}
}
