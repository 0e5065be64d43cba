package kafka

import (
	"encoding/binary"
	"hash/crc32"
)

// Layout of a record batch (magic 2), https://kafka.apache.org/documentation/#recordbatch.
const (
	batchBaseOffset      = 0
	batchLength          = 8
	batchLeaderEpoch     = 12
	batchMagic           = 16
	batchCRC             = 17
	batchAttributes      = 21
	batchLastOffsetDelta = 23
	batchBaseTimestamp   = 27
	batchMaxTimestamp    = 35
	batchProducerID      = 43
	batchProducerEpoch   = 51
	batchBaseSequence    = 53
	batchRecordCount     = 57
	batchHeaderSize      = 61

	magic2 = 2
	// batchPrefix is the size prefix that RawRecordSet wants in front of the batch.
	batchPrefix = 4
	// recordOverhead bounds the bytes a record takes beside its key, value and headers.
	recordOverhead = 5 + 1 + 10 + 5 + 5 + 5 + 5
	headerOverhead = 5 + 5
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// sequence is what a broker recognises a batch by: who wrote it, and its place in that writer's stream
// to the partition.
type sequence struct {
	producer int64
	epoch    int16
	base     int32
}

// next is the sequence that follows a batch of n records; it wraps from MaxInt32 to 0.
func (s sequence) next(n int32) sequence {
	s.base = int32((uint32(s.base) + uint32(n)) & 0x7fffffff)
	return s
}

// recordBatch is a record batch under construction. The zero value is ready.
// Records are encoded as they are added; seal fills in the header.
type recordBatch struct {
	buf      []byte // prefix, header, records
	count    int32
	baseTime int64
	maxTime  int64
	sealed   sequence
	isSealed bool
}

func (b *recordBatch) reset() {
	*b = recordBatch{buf: b.buf[:0]}
}

// size is the number of bytes of the batch as the broker counts them.
func (b *recordBatch) size() int {
	return max(len(b.buf)-batchPrefix, batchHeaderSize)
}

// recordsBound is an upper bound of the bytes that recs take in a batch.
func recordsBound(recs []Record) int {
	n := 0
	for i := range recs {
		r := &recs[i]
		n += recordOverhead + len(r.Key) + len(r.Value)
		for j := range r.Headers {
			n += headerOverhead + len(r.Headers[j].Key) + len(r.Headers[j].Value)
		}
	}
	return n
}

// add encodes r at the end of the batch; now stands in for a missing time.
func (b *recordBatch) add(r *Record, now int64) {
	if len(b.buf) == 0 {
		b.buf = append(b.buf, make([]byte, batchPrefix+batchHeaderSize)...)
	}
	t := r.Time
	if t == 0 {
		t = now
	}
	if b.count == 0 {
		b.baseTime, b.maxTime = t, t
	}
	b.maxTime = max(b.maxTime, t)
	b.buf = appendRecord(b.buf, r, t-b.baseTime, int64(b.count))
	b.count++
}

// seal fills in prefix, header and checksum, and returns the bytes for RawRecordSet. Sealing again with
// the same sequence writes nothing, so a sealed batch may be read by an earlier attempt meanwhile.
func (b *recordBatch) seal(s sequence) []byte {
	if b.isSealed && b.sealed == s {
		return b.buf
	}
	h := b.buf[batchPrefix:]
	be := binary.BigEndian
	be.PutUint32(b.buf, uint32(len(h)))
	be.PutUint64(h[batchBaseOffset:], 0)
	be.PutUint32(h[batchLength:], uint32(len(h)-batchLeaderEpoch))
	be.PutUint32(h[batchLeaderEpoch:], 0xffffffff)
	h[batchMagic] = magic2
	be.PutUint16(h[batchAttributes:], 0)
	be.PutUint32(h[batchLastOffsetDelta:], uint32(b.count-1))
	be.PutUint64(h[batchBaseTimestamp:], uint64(b.baseTime))
	be.PutUint64(h[batchMaxTimestamp:], uint64(b.maxTime))
	be.PutUint64(h[batchProducerID:], uint64(s.producer))
	be.PutUint16(h[batchProducerEpoch:], uint16(s.epoch))
	be.PutUint32(h[batchBaseSequence:], uint32(s.base))
	be.PutUint32(h[batchRecordCount:], uint32(b.count))
	be.PutUint32(h[batchCRC:], crc32.Checksum(h[batchAttributes:], castagnoli))
	b.sealed, b.isSealed = s, true
	return b.buf
}

func appendRecord(dst []byte, r *Record, timeDelta, offsetDelta int64) []byte {
	n := 1 + varintSize(timeDelta) + varintSize(offsetDelta) + bytesSize(r.Key) + bytesSize(r.Value) +
		varintSize(int64(len(r.Headers)))
	for i := range r.Headers {
		h := &r.Headers[i]
		n += varintSize(int64(len(h.Key))) + len(h.Key) + bytesSize(h.Value)
	}
	dst = binary.AppendVarint(dst, int64(n))
	dst = append(dst, 0) // attributes
	dst = binary.AppendVarint(dst, timeDelta)
	dst = binary.AppendVarint(dst, offsetDelta)
	dst = appendBytes(dst, r.Key)
	dst = appendBytes(dst, r.Value)
	dst = binary.AppendVarint(dst, int64(len(r.Headers)))
	for i := range r.Headers {
		h := &r.Headers[i]
		dst = binary.AppendVarint(dst, int64(len(h.Key)))
		dst = append(dst, h.Key...)
		dst = appendBytes(dst, h.Value)
	}
	return dst
}

// appendBytes writes nil as length -1.
func appendBytes(dst, b []byte) []byte {
	if b == nil {
		return append(dst, 1) // zigzag of -1
	}
	dst = binary.AppendVarint(dst, int64(len(b)))
	return append(dst, b...)
}

func bytesSize(b []byte) int {
	if b == nil {
		return 1
	}
	return varintSize(int64(len(b))) + len(b)
}

func varintSize(v int64) int {
	u := uint64(v)<<1 ^ uint64(v>>63)
	n := 1
	for u >= 0x80 {
		u >>= 7
		n++
	}
	return n
}
