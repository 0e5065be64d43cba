package ingest

import (
	"encoding/binary"
	"testing"
	"time"

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

// taken keeps what is assembled: behind the kind of each message, with the mark of those that are compressed.
type taken struct {
	messages [][]byte
	pings    []string
}

func (k *taken) Take(kind byte, compressed bool, message []byte) bool {
	if compressed {
		kind |= wsframe.Compressed
	}
	k.messages = append(k.messages, append([]byte{kind}, message...))
	return true
}

func (k *taken) Control(_ byte, payload []byte) bool {
	k.pings = append(k.pings, string(payload))
	return true
}

func (*taken) Break(wsframe.Fault) {}

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
