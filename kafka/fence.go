package kafka

import "encoding/binary"

const (
	// FenceHeader names the header that carries the number of its writer's fence: 8 bytes, big endian.
	FenceHeader = "fence"
	// FenceKey is the key of fence records.
	FenceKey = "\x00fence"
	// OwnOffset as a fence number stands for the offset of the record itself.
	OwnOffset int64 = -1
)

// FenceHeaders returns the headers for records written under the fence of the given number.
func FenceHeaders(number int64) []Header {
	return []Header{{Key: FenceHeader, Value: binary.BigEndian.AppendUint64(nil, uint64(number))}}
}

// FenceRecord returns the record a new owner writes first into each partition it will write to. After it,
// a broker refuses the former owner there. With OwnOffset it defines the number: its own offset.
func FenceRecord(number int64) Record {
	return Record{Key: []byte(FenceKey), Value: []byte{}, Headers: FenceHeaders(number)}
}

// FenceNumber returns the number that r carries, and whether it carries one. OwnOffset is resolved.
func FenceNumber(r *Record) (int64, bool) {
	v, ok := r.Header(FenceHeader)
	if !ok || len(v) != 8 {
		return 0, false
	}
	number := int64(binary.BigEndian.Uint64(v))
	if number == OwnOffset {
		number = r.Offset
	}
	return number, true
}

// FenceFilter drops what a fenced owner wrote after its successor had begun. Brokers refuse such writes;
// the filter is the second line. One per topic-partition, records in order of offset. The zero value is ready.
type FenceFilter struct {
	// Min is for a reader that begins in the middle: records of an older fence are dropped from the start.
	Min int64

	highest int64
	seen    bool
}

// Accept reports whether a reader should see r: false for fence records, and for records whose fence is
// older than one seen before. Records without a fence pass.
func (f *FenceFilter) Accept(r *Record) bool {
	number, ok := FenceNumber(r)
	if !ok {
		return true
	}
	if number < f.Min || f.seen && number < f.highest {
		return false
	}
	f.highest, f.seen = number, true
	return string(r.Key) != FenceKey
}
