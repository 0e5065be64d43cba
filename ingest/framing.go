package ingest

import (
	"encoding/binary"
	"math"
)

// maxFragments is in how many frames a message may come.
const maxFragments = 1024

// framing follows a client's stream of WebSocket frames (RFC 6455 §5.2) without touching it: where headers
// end, and how long the messages are that they announce. gws judges whether the frames are legal, but for what it
// cannot stand; what framing makes of other illegal ones does not matter, as they end the connection.
type framing struct {
	header [14]byte
	have   int    // bytes of the header so far
	left   uint64 // of the present frame's payload

	data      bool   // the present frame is part of a message, not a control frame
	message   uint64 // bytes that the frames of the present message have announced so far
	fragments int    // how many frames of the present message have begun; 0 between messages
	final     bool   // the present frame is its message's last
	granted   bool   // there is room for the message, however long it gets

	controls int    // control frames begun so far
	broken   breach // what the header that advance stopped at does
}

// advance follows p up to its end, or until a header announces that the message is to have more than freeBytes
// and that has not been granted: then wants is how many, and n leads to the last byte of the header, so that
// nobody who is handed p[:n] knows of the message yet. It stops likewise, for good, at what is broken.
func (f *framing) advance(p []byte, limit int) (n int, wants int64) {
	for n < len(p) {
		if f.left > 0 {
			skipped := min(f.left, uint64(len(p)-n))
			n += int(skipped)
			f.pass(skipped)
			continue
		}
		f.header[f.have] = p[n]
		if f.have++; f.have == f.headerBytes() {
			if f.broken = f.judge(); f.broken != lawful {
				f.have--
				return n, 0
			}
			if wants = f.wants(limit); wants > 0 {
				f.have--
				return n, wants
			}
			f.begin()
		}
		n++
	}
	return n, 0
}

// grant lets the message that advance stopped at go on.
func (f *framing) grant() { f.granted = true }

// inMessage reports whether a message has begun and is not complete.
func (f *framing) inMessage() bool { return f.fragments > 0 }

func (f *framing) headerBytes() int {
	if f.have < 2 {
		return 2
	}
	n := 2
	switch f.header[1] & 0x7f {
	case 126:
		n += 2
	case 127:
		n += 8
	}
	if f.header[1]&0x80 != 0 {
		n += 4
	}
	return n
}

func (f *framing) payloadBytes() uint64 {
	switch n := f.header[1] & 0x7f; n {
	case 126:
		return uint64(binary.BigEndian.Uint16(f.header[2:]))
	case 127:
		return binary.BigEndian.Uint64(f.header[2:])
	default:
		return uint64(n)
	}
}

func (f *framing) isData() bool  { return f.header[0]&0x8 == 0 }
func (f *framing) isFinal() bool { return f.header[0]&finalFrame != 0 }

// wants is how much room the message needs whose frame's header is complete. One that comes in several frames
// may reach the limit, and gws holds the frame that is coming beside those that came. What is beyond the limit
// is refused without a buffer.
func (f *framing) wants(limit int) int64 {
	bytes := f.payloadBytes()
	switch {
	case f.granted || !f.isData() || bytes > uint64(limit) || f.message+bytes <= freeBytes:
		return 0
	case f.fragments == 0 && f.isFinal():
		return int64(bytes)
	default:
		return 2 * int64(limit)
	}
}

// breach is what a client does that is not to reach gws.
type breach uint8

const (
	lawful breach = iota
	badLength
	manyFragments
	manyControls
)

func (b breach) String() string {
	return [...]string{"none", "length beyond 2^63", "too many fragments", "too many control frames"}[b]
}

// judge is what the header that is complete breaks. gws panics on a length with the top bit set.
func (f *framing) judge() breach {
	switch {
	case f.payloadBytes() > math.MaxInt64:
		return badLength
	case f.isData() && f.fragments == maxFragments:
		return manyFragments
	}
	return lawful
}

// begin starts the frame whose header is complete.
func (f *framing) begin() {
	f.have, f.left = 0, f.payloadBytes()
	if f.data = f.isData(); f.data {
		f.message += f.left
		f.fragments++
		f.final = f.isFinal()
	} else {
		f.controls++
	}
	if f.left == 0 {
		f.pass(0)
	}
}

// pass counts n bytes of payload as come.
func (f *framing) pass(n uint64) {
	if f.left -= n; f.left == 0 && f.data && f.final {
		f.message, f.fragments, f.granted = 0, 0, false
	}
}
