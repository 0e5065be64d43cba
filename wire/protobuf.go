package wire

import (
	"encoding/binary"
	"math"
	"math/bits"
	"unsafe"
)

// Wire types of protobuf fields.
const (
	wireVarint  = 0
	wireFixed64 = 1
	wireBytes   = 2
	wireFixed32 = 5
)

func zigzag(v int64) uint64 { return uint64(v<<1) ^ uint64(v>>63) }

func unzigzag(v uint64) int64 { return int64(v>>1) ^ -int64(v&1) }

// varintSize is how many bytes v takes.
func varintSize(v uint64) int { return (bits.Len64(v|1) + 6) / 7 }

// appendVarintField appends a field with a number; protobuf leaves out zeros.
func appendVarintField(dst []byte, field int, v uint64) []byte {
	if v == 0 {
		return dst
	}
	dst = binary.AppendUvarint(dst, uint64(field<<3|wireVarint))
	return binary.AppendUvarint(dst, v)
}

// appendStringField appends a field with a string, even an empty one.
func appendStringField(dst []byte, field int, s string) []byte {
	return append(appendBytesHead(dst, field, len(s)), s...)
}

// appendBytesHead begins a field of n bytes.
func appendBytesHead(dst []byte, field, n int) []byte {
	dst = binary.AppendUvarint(dst, uint64(field<<3|wireBytes))
	return binary.AppendUvarint(dst, uint64(n))
}

// protoReader walks over the fields of a message.
type protoReader struct{ rest []byte }

// protoField is a field as it stands: number for varints, bytes for strings and columns.
type protoField struct {
	field, wire int
	number      uint64
	bytes       []byte
}

// next reads one field; ok is false if there is none that can be read. Of the fields of fixed width those of 4 bytes have
// no value here: no message has them.
func (r *protoReader) next() (f protoField, ok bool) {
	tag, n := binary.Uvarint(r.rest)
	if n <= 0 || tag>>3 == 0 || tag>>3 > math.MaxInt32 {
		return f, false
	}
	r.rest = r.rest[n:]
	f.field, f.wire = int(tag>>3), int(tag&7)
	var skip int
	switch f.wire {
	case wireVarint:
		f.number, skip = binary.Uvarint(r.rest)
		if skip <= 0 {
			return f, false
		}
	case wireBytes:
		length, n := binary.Uvarint(r.rest)
		if n <= 0 || length > uint64(len(r.rest)-n) {
			return f, false
		}
		skip = n + int(length)
		f.bytes = r.rest[n:skip:skip]
	case wireFixed64:
		if skip = 8; len(r.rest) >= skip {
			f.number = binary.LittleEndian.Uint64(r.rest)
		}
	case wireFixed32:
		skip = 4
	default:
		return f, false
	}
	if skip > len(r.rest) {
		return f, false
	}
	r.rest = r.rest[skip:]
	return f, true
}

// column is what is left of a packed column.
type column []byte

// uvarint takes the next number.
func (c *column) uvarint() (v uint64, ok bool) {
	b := *c
	if len(b) > 0 && b[0] < 0x80 {
		*c = b[1:]
		return uint64(b[0]), true
	}
	v, n := binary.Uvarint(b)
	if n <= 0 {
		return 0, false
	}
	*c = b[n:]
	return v, true
}

// float takes the next double.
func (c *column) float() (v float64, ok bool) {
	b := *c
	if len(b) < 8 {
		return 0, false
	}
	*c = b[8:]
	return math.Float64frombits(binary.LittleEndian.Uint64(b)), true
}

// alias is b as a string without a copy.
func alias(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// bytesOf is s as bytes without a copy; they must not be written to.
func bytesOf(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }
