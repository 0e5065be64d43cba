package ingest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"weir/internal/wsframe"
)

// covered is a client's frame with a mask of its own.
func covered(first byte, key [4]byte, payload []byte) []byte {
	var b []byte
	switch {
	case len(payload) < 126:
		b = []byte{first, 0x80 | byte(len(payload))}
	case len(payload) < 1<<16:
		b = binary.BigEndian.AppendUint16([]byte{first, 0x80 | 126}, uint16(len(payload)))
	default:
		b = binary.BigEndian.AppendUint64([]byte{first, 0x80 | 127}, uint64(len(payload)))
	}
	b = append(b, key[:]...)
	for i, x := range payload {
		b = append(b, x^key[i%4])
	}
	return b
}

// Whatever pieces messages come in, each is handed on as it was; control frames come in between.
func TestMessagesAreAssembledWhateverPiecesTheyComeIn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var a assembly
		var got taken
		var want [][]byte
		var stream []byte
		var pings []string
		for range rapid.IntRange(1, 6).Draw(t, "messages") {
			size := rapid.OneOf(rapid.IntRange(0, 300), rapid.IntRange(60_000, 70_000)).Draw(t, "size")
			message := bytes.Repeat([]byte("abcdefghijk"), size/11+1)[:size]
			kind := rapid.SampledFrom([]byte{wsframe.OpText, wsframe.OpBinary}).Draw(t, "kind")
			mark := rapid.SampledFrom([]byte{0, wsframe.Compressed}).Draw(t, "compressed")
			want = append(want, append([]byte{kind | mark}, message...))
			frames := rapid.IntRange(1, 4).Draw(t, "frames")
			for i := range frames {
				part := message[len(message)*i/frames : len(message)*(i+1)/frames]
				first := kind | mark
				if i > 0 {
					first = wsframe.OpContinuation
				}
				if i == frames-1 {
					first |= wsframe.Final
				}
				key := [4]byte(binary.LittleEndian.AppendUint32(nil, rapid.Uint32().Draw(t, "key")))
				stream = append(stream, covered(first, key, part)...)
				if rapid.IntRange(0, 3).Draw(t, "ping") == 0 {
					pings = append(pings, fmt.Sprint("ping ", i))
					stream = append(stream, covered(wsframe.Final|wsframe.OpPing, key, fmt.Append(nil, "ping ", i))...)
				}
			}
		}
		most := rapid.SampledFrom([]int{1, 7, 100, 5000, 1 << 20}).Draw(t, "piece")
		for len(stream) > 0 {
			into := a.wants()
			if len(into) == 0 {
				into = make([]byte, most)
			}
			n := copy(into[:min(len(into), most)], stream)
			stream = stream[n:]
			if !a.feed(into[:n], 1<<20, &got) {
				t.Fatal("the connection ends")
			}
		}
		if len(got.messages) != len(want) || !slices.Equal(got.pings, pings) {
			t.Fatalf("%d messages of %d, pings %q of %q", len(got.messages), len(want), got.pings, pings)
		}
		for i := range want {
			if !bytes.Equal(got.messages[i], want[i]) {
				t.Fatalf("message %d of %d bytes is not what was sent", i, len(want[i]))
			}
		}
		if a.kept != nil || a.room != nil || a.aside != nil || a.kind != 0 {
			t.Fatal("something is held between messages")
		}
	})
}

// taken keeps what is assembled: behind the kind of each message, with the mark of those that are compressed.
type taken struct {
	messages [][]byte
	pings    []string
}

func (k *taken) take(kind byte, compressed bool, message []byte) bool {
	if compressed {
		kind |= wsframe.Compressed
	}
	k.messages = append(k.messages, append([]byte{kind}, message...))
	return true
}

func (k *taken) control(_ byte, payload []byte) bool {
	k.pings = append(k.pings, string(payload))
	return true
}

func (*taken) breaks(breach) {}

func TestClientsMayEndWithCodesThatHaveAMeaning(t *testing.T) {
	for code, want := range map[uint16]uint16{1000: 1000, 1001: 1000, 1011: 1000, 3000: 3000, 4999: 4999,
		0: closeProtocol, 999: closeProtocol, 1004: closeProtocol, 1005: closeProtocol, 1006: closeProtocol, 1015: closeProtocol,
		1016: closeProtocol, 2999: closeProtocol, 5000: closeProtocol} {
		s := start(t, nullProducer{})
		client, br := s.rawDial(t, nil)
		_ = client.SetReadDeadline(time.Now().Add(patience))
		_, _ = client.Write(masked(opClose, binary.BigEndian.AppendUint16(nil, code)))
		opcode, payload, err := readFrame(br)
		if err != nil || opcode != opClose || binary.BigEndian.Uint16(payload) != want {
			t.Errorf("%d is answered with %x %x, %v; want %d", code, opcode, payload, err, want)
		}
		_ = client.Close()
	}
}
