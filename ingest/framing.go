package ingest

import (
	"math"

	"weir/internal/wsframe"
)

// maxFragments is in how many frames a message may come.
const maxFragments = 1024

// framing follows a client's stream of WebSocket frames (RFC 6455 §5.2): where headers end, and how long the
// messages are that they announce. wsframe.Assembly judges whether the frames are legal; what
// framing makes of other illegal ones does not matter, as they end the connection.
type framing struct {
	deflate bool   // messages may be compressed
	data    bool   // the present frame is part of a message, not a control frame
	final   bool   // the present frame is its message's last
	granted bool   // there is room for the message, however long it gets
	broken  breach // what the header that advance stopped at does
	header  wsframe.Header

	// most is the longest message of a client that has yet to say who it is; 0: whatever there is room for.
	most int

	left      uint64 // of the present frame's payload
	message   uint64 // bytes that the frames of the present message have announced so far
	fragments int32  // how many frames of the present message have begun; 0 between messages
	controls  int32  // control frames that have begun and not been counted
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
		if f.header.Add(p[n]) {
			if f.broken = f.judge(); f.broken != lawful {
				f.header.TakeBack()
				return n, 0
			}
			if wants = f.wants(limit); wants > 0 {
				f.header.TakeBack()
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

// wants is how much room the message needs whose frame's header is complete. One that comes in several frames
// may reach the limit, and assembly holds the frame that is coming beside those that came; one that is compressed may
// reach it once more when it is not. What is beyond the limit is refused without a buffer.
func (f *framing) wants(limit int) int64 {
	bytes, free := f.header.Payload(), uint64(freeBytes)
	if f.most > 0 {
		free = uint64(f.most)
	}
	switch {
	case f.granted || !f.header.IsData() || bytes > uint64(limit) || f.message+bytes <= free:
		return 0
	case f.fragments == 0 && f.header.IsFinal() && !f.squeezes():
		return int64(bytes)
	default:
		return 2 * int64(limit)
	}
}

// breach is what a client does that ends its connection.
type breach uint8

const (
	lawful breach = iota
	badLength
	reservedBits
	manyFragments
	manyControls
	manyMessages
	earlyLarge
	badFrame
	tooLarge
	notText
	notBinary
	notUnpacked
	badPacket
)

func (b breach) String() string {
	return [...]string{"none", "length beyond 2^63", "reserved bits", "too many fragments", "too many control frames",
		"too many messages", "large message before credentials", "illegal frame", "too large a message",
		"close reason not UTF-8", "MQTT in a text message", "damaged compression", "illegal MQTT"}[b]
}

// squeezes reports whether the header that is complete begins a message and marks it as compressed (RFC 7692), as it may.
func (f *framing) squeezes() bool {
	h := &f.header
	return f.deflate && f.fragments == 0 && h.IsData() && h.Opcode() != wsframe.OpContinuation && h.ReservedBits() == wsframe.Compressed
}

// judge is what the header that is complete breaks. A length has no top bit.
func (f *framing) judge() breach {
	switch {
	case f.header.Payload() > math.MaxInt64:
		return badLength
	case f.header.ReservedBits() != 0 && !f.squeezes():
		return reservedBits
	case f.header.IsData() && f.fragments == maxFragments:
		return manyFragments
	}
	return lawful
}

// begin starts the frame whose header is complete.
func (f *framing) begin() {
	f.header.Reset()
	f.left = f.header.Payload()
	if f.data = f.header.IsData(); f.data {
		f.message += f.left
		f.fragments++
		f.final = f.header.IsFinal()
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
