package wsframe

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
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
		a := Assembly{Deflate: true}
		var got taken
		var want [][]byte
		var stream []byte
		var pings []string
		for range rapid.IntRange(1, 6).Draw(t, "messages") {
			size := rapid.OneOf(rapid.IntRange(0, 300), rapid.IntRange(60_000, 70_000)).Draw(t, "size")
			message := bytes.Repeat([]byte("abcdefghijk"), size/11+1)[:size]
			kind := rapid.SampledFrom([]byte{OpText, OpBinary}).Draw(t, "kind")
			mark := rapid.SampledFrom([]byte{0, Compressed}).Draw(t, "compressed")
			want = append(want, append([]byte{kind | mark}, message...))
			frames := rapid.IntRange(1, 4).Draw(t, "frames")
			for i := range frames {
				part := message[len(message)*i/frames : len(message)*(i+1)/frames]
				first := kind | mark
				if i > 0 {
					first = OpContinuation
				}
				if i == frames-1 {
					first |= Final
				}
				key := [4]byte(binary.LittleEndian.AppendUint32(nil, rapid.Uint32().Draw(t, "key")))
				stream = append(stream, covered(first, key, part)...)
				if rapid.IntRange(0, 3).Draw(t, "ping") == 0 {
					pings = append(pings, fmt.Sprint("ping ", i))
					stream = append(stream, covered(Final|OpPing, key, fmt.Append(nil, "ping ", i))...)
				}
			}
		}
		most := rapid.SampledFrom([]int{1, 7, 100, 5000, 1 << 20}).Draw(t, "piece")
		for len(stream) > 0 {
			into := a.Wants()
			if len(into) == 0 {
				into = make([]byte, most)
			}
			n := copy(into[:min(len(into), most)], stream)
			stream = stream[n:]
			if !a.Feed(into[:n], 1<<20, &got) {
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

func (k *taken) Take(kind byte, compressed bool, message []byte) bool {
	if compressed {
		kind |= Compressed
	}
	k.messages = append(k.messages, append([]byte{kind}, message...))
	return true
}

func (k *taken) Control(_ byte, payload []byte) bool {
	k.pings = append(k.pings, string(payload))
	return true
}

func (*taken) Break(Fault) {}

func TestAGoodbyeIsACodeThatMayBeGivenAndAReasonInUTF8(t *testing.T) {
	for payload, want := range map[string]struct {
		code  uint16
		wrong Fault
	}{
		"":                        {0, 0},
		"\x03\xe8":                {1000, 0},
		"\x0f\xa0à bientôt":       {4000, 0},
		"\x03":                    {0, Illegal},
		"\x03\xedno such":         {0, Illegal},
		"\x03\xe8bye\xff":         {0, NotText},
		"\x03\xe8half of \xc3":    {0, NotText},
		"\x03\xe8\xed\xa0\x80":    {0, NotText}, // a surrogate
		"\x03\xed and not \xff":   {0, Illegal},
		"\x0b\xb8of an extension": {3000, 0},
	} {
		if code, wrong := Goodbye([]byte(payload)); code != want.code || wrong != want.wrong {
			t.Errorf("%q: code %d, fault %d, want %d, %d", payload, code, wrong, want.code, want.wrong)
		}
	}
}
