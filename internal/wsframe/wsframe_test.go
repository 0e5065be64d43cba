package wsframe

import (
	"encoding/binary"
	"testing"

	"pgregory.net/rapid"
)

func TestAHeaderIsReadByteByByte(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		first := byte(rapid.IntRange(0, 255).Draw(t, "first"))
		masked := rapid.Bool().Draw(t, "masked")
		size := rapid.OneOf(rapid.Uint64Range(0, 125), rapid.Uint64Range(126, 1<<16-1), rapid.Uint64Min(1<<16)).Draw(t, "size")
		var b []byte
		switch {
		case size < 126:
			b = []byte{first, byte(size)}
		case size < 1<<16:
			b = binary.BigEndian.AppendUint16([]byte{first, 126}, uint16(size))
		default:
			b = binary.BigEndian.AppendUint64([]byte{first, 127}, size)
		}
		if masked {
			b[1] |= 0x80
			b = append(b, 1, 2, 3, 4)
		}
		var h Header
		for i := range b {
			if complete := h.Add(b[i]); complete != (i == len(b)-1) {
				t.Fatalf("byte %d of %d: complete %v", i+1, len(b), complete)
			}
		}
		h.TakeBack()
		if !h.Add(b[len(b)-1]) {
			t.Fatal("not complete after its last byte was taken back and came again")
		}
		if h.Payload() != size || h.Masked() != masked || h.Len() != len(b) || h.Have() != len(b) {
			t.Fatalf("payload %d, masked %v, %d bytes", h.Payload(), h.Masked(), h.Len())
		}
		data := first&0x08 == 0
		if h.Opcode() != first&0x0f || h.IsFinal() != (first&0x80 != 0) || h.IsData() != data || h.ReservedBits() != first&0x70 {
			t.Fatalf("first byte %x", first)
		}
		if h.IsWholeMessage() != (data && first&0x80 != 0 && first&0x0f != 0) {
			t.Fatalf("first byte %x: whole message %v", first, h.IsWholeMessage())
		}
		if h.Reset(); h.Have() != 0 || h.Len() != 2 {
			t.Fatal("not begun anew")
		}
	})
}
