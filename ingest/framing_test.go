package ingest

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"

	"weir/internal/wsframe"
)

// clientFrame is one frame as a client sends it.
func clientFrame(opcode byte, final, mask bool, payload int) []byte {
	frame := masked(opcode, make([]byte, payload))
	if !final {
		frame[0] &^= finalFrame
	}
	if !mask {
		header := len(frame) - payload - 4
		frame = append(frame[:header], make([]byte, payload)...)
		frame[1] &^= 0x80
	}
	return frame
}

// A stream is followed the same however it is cut, and stops exactly before the headers that need room.
func TestFramingStopsBeforeTheHeadersThatNeedRoom(t *testing.T) {
	const limit = 1 << 20
	sizes := []int{0, 1, 125, 126, 127, freeBytes - 1, freeBytes, freeBytes + 1, 1<<16 - 1, 1 << 16, limit, limit + 1}
	rapid.Check(t, func(t *rapid.T) {
		var stream []byte
		type stop struct {
			at    int // of the header's last byte
			wants int64
		}
		var expected []stop
		sum, granted, open := 0, false, false
		for range rapid.IntRange(1, 6).Draw(t, "frames") {
			control := rapid.IntRange(0, 3).Draw(t, "control") == 0
			final, mask := rapid.Bool().Draw(t, "final"), rapid.Bool().Draw(t, "mask")
			size := rapid.SampledFrom(sizes).Draw(t, "size")
			opcode := byte(opText)
			if control {
				opcode, final, size = opPing, true, min(size, 125)
			}
			frame := clientFrame(opcode, final, mask, size)
			lastOfHeader := len(stream) + len(frame) - size - 1
			stream = append(stream, frame...)
			if control {
				continue
			}
			if !granted && size <= limit && sum+size > freeBytes {
				granted = true
				wants := int64(2 * limit)
				if !open && final {
					wants = int64(size)
				}
				expected = append(expected, stop{lastOfHeader, wants})
			}
			sum, open = sum+size, !final
			if final {
				sum, granted = 0, false
			}
		}
		var f framing
		var stops []stop
		at := 0
		for at < len(stream) {
			chunk := stream[at:min(len(stream), at+rapid.IntRange(1, 3*freeBytes).Draw(t, "chunk"))]
			for len(chunk) > 0 {
				n, wants := f.advance(chunk, limit)
				at, chunk = at+n, chunk[n:]
				if wants > 0 {
					stops = append(stops, stop{at, wants})
					f.grant()
				} else if len(chunk) > 0 {
					t.Fatalf("stopped at %d without wanting anything", at)
				}
			}
		}
		if len(stops) != len(expected) || f.inMessage() != open {
			t.Fatalf("stops %v, want %v; inside a message: %v", stops, expected, f.inMessage())
		}
		for i := range stops {
			if stops[i] != expected[i] {
				t.Fatalf("stops %v, want %v", stops, expected)
			}
		}
	})
}

func FuzzFraming(f *testing.F) {
	f.Add([]byte{0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4, 5})
	f.Add(bytes.Repeat(clientFrame(opText, false, true, 70), 3))
	f.Fuzz(func(t *testing.T, stream []byte) {
		var f framing
		for len(stream) > 0 {
			n, wants := f.advance(stream, 1<<20)
			if f.broken != lawful {
				return // the connection ends here
			}
			if wants < 0 || wants > 2<<20 || wants == 0 && n != len(stream) || f.header.Have() >= wsframe.MaxBytes {
				t.Fatalf("%d of %d bytes, wants %d, %d bytes of a header", n, len(stream), wants, f.header.Have())
			}
			stream = stream[n:]
			if wants > 0 {
				f.grant()
			}
		}
	})
}
