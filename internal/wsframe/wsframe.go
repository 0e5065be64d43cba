// Package wsframe reads the headers of WebSocket frames (RFC 6455 §5.2) out of a stream that comes in pieces. It
// judges nothing: what a header means to a connection is up to who follows it.
package wsframe

import "encoding/binary"

// Bits of a header's first byte, and opcodes.
const (
	Final    = 0x80
	Reserved = 0x70
	// Compressed is RSV1: the message is compressed, where permessage-deflate has been agreed (RFC 7692 §6).
	Compressed = 0x40

	OpContinuation = 0x0
	OpText         = 0x1
	OpBinary       = 0x2
	OpClose        = 0x8
	OpPing         = 0x9
	OpPong         = 0xA

	control = 0x8
	opcodes = 0xf
	mask    = 0x80
)

// MaxBytes is the length of the longest header.
const MaxBytes = 14

// Header is one header, of which Have bytes have come. The zero value is one that has not begun.
type Header struct {
	bytes [MaxBytes]byte
	have  uint8
}

// Add takes the header's next byte, and reports whether that completes it. A complete header takes no more:
// Reset begins the next one.
func (h *Header) Add(b byte) (complete bool) {
	h.bytes[h.have] = b
	h.have++
	return int(h.have) == h.Len()
}

// TakeBack undoes the last Add.
func (h *Header) TakeBack() { h.have-- }

// Reset begins the header of another frame.
func (h *Header) Reset() { h.have = 0 }

// Have is how many bytes have come.
func (h *Header) Have() int { return int(h.have) }

// Len is how long the header is, as far as the bytes that have come tell.
func (h *Header) Len() int {
	if h.have < 2 {
		return 2
	}
	n := 2
	switch h.bytes[1] &^ mask {
	case 126:
		n += 2
	case 127:
		n += 8
	}
	if h.Masked() {
		n += 4
	}
	return n
}

// Payload is the length that a complete header announces. Lengths with the top bit set are illegal, and not
// refused here.
func (h *Header) Payload() uint64 {
	switch n := h.bytes[1] &^ mask; n {
	case 126:
		return uint64(binary.BigEndian.Uint16(h.bytes[2:]))
	case 127:
		return binary.BigEndian.Uint64(h.bytes[2:])
	default:
		return uint64(n)
	}
}

// Masked reports whether the payload is masked, as all that clients send has to be.
func (h *Header) Masked() bool { return h.bytes[1]&mask != 0 }

// Mask is what the payload of a complete header is masked with, if it is.
func (h *Header) Mask() (key [4]byte) {
	copy(key[:], h.bytes[h.have-4:h.have])
	return key
}

// Opcode is the frame's opcode.
func (h *Header) Opcode() byte { return h.bytes[0] & opcodes }

// IsFinal reports whether the frame is its message's last.
func (h *Header) IsFinal() bool { return h.bytes[0]&Final != 0 }

// IsData reports whether the frame is part of a message, and not a control frame.
func (h *Header) IsData() bool { return h.bytes[0]&control == 0 }

// IsWholeMessage reports whether the frame is a message, and not a part of one or a control frame.
func (h *Header) IsWholeMessage() bool {
	return h.IsFinal() && h.IsData() && h.Opcode() != OpContinuation
}

// ReservedBits are the bits of Reserved that are set.
func (h *Header) ReservedBits() byte { return h.bytes[0] & Reserved }
