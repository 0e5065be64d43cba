package kafka

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

const (
	attrCompression = 0x07
	attrLogAppend   = 0x08
	attrTransaction = 0x10
	attrControl     = 0x20
	// maxInterned bounds the table of header names; what is longer, or more, is allocated for each header.
	maxInterned     = 64
	maxInternedSize = 64
	// maxKeptRecords is for how many records, or headers, memory is kept between fetches.
	maxKeptRecords = 64 << 10
)

// recordDecoder decodes fetched record batches into records that alias the input.
// The zero value is ready. Its results are valid until the next decode.
type recordDecoder struct {
	records []Record
	headers []Header
	names   map[string]string
	aborted []abortedTransaction // records of which the next decode leaves out
	heavy   bool                 // records refer to more than the connection's buffer, or to a large one
}

// release gives back the memory of the last decode unless it is about what the next will need.
func (d *recordDecoder) release() {
	if d.heavy || max(cap(d.records), cap(d.headers)) > maxKeptRecords {
		d.records, d.headers, d.heavy = nil, nil, false
	}
}

// decode reads the batches in data and keeps the records at or after from. next is the offset to fetch
// from afterwards, which compaction may put beyond the last record. A batch that is cut off or corrupt is
// left for the next fetch if anything precedes it. If nothing does it is corrupt, as brokers send the first
// batch of an answer whole however large it is: *CorruptError.
func (d *recordDecoder) decode(data []byte, from int64) (records []Record, next int64, err error) {
	d.records, d.headers = d.records[:0], d.headers[:0]
	d.heavy = d.heavy || len(data) > maxKept
	next = from
	for len(data) > 0 {
		kept := len(d.records)
		size, end, err := d.batch(data, from)
		if err != nil {
			if next > from {
				return d.records[:kept], next, nil
			}
			return nil, from, &CorruptError{First: from, Next: max(end, from+1), Cause: err}
		}
		next = max(next, end)
		data = data[size:]
	}
	return d.records, next, nil
}

// batch decodes the batch that data begins with, and returns its size and the offset after it: that also
// with an error, unless the header makes no sense either.
func (d *recordDecoder) batch(data []byte, from int64) (size int, end int64, err error) {
	if len(data) < batchHeaderSize {
		return 0, 0, errCutOff
	}
	be := binary.BigEndian
	length := int64(int32(be.Uint32(data[batchLength:]))) + batchLeaderEpoch
	switch {
	case length < batchHeaderSize:
		return 0, 0, fmt.Errorf("length %d", length)
	case length > int64(len(data)):
		return 0, 0, errCutOff
	case data[batchMagic] != magic2:
		return 0, 0, fmt.Errorf("message format %d", data[batchMagic])
	}
	b := data[:length]
	delta, count := int32(be.Uint32(b[batchLastOffsetDelta:])), int32(be.Uint32(b[batchRecordCount:]))
	o := origin{
		offset: int64(be.Uint64(b[batchBaseOffset:])), time: int64(be.Uint64(b[batchBaseTimestamp:])),
		appended: -1, from: from,
	}
	end = o.offset + int64(delta) + 1
	if crc32.Checksum(b[batchAttributes:], castagnoli) != be.Uint32(b[batchCRC:]) {
		if int64(count) != int64(delta)+1 {
			end = 0 // the header is what is damaged, or else compaction has taken records out
		}
		return 0, end, errChecksum
	}
	attributes := be.Uint16(b[batchAttributes:])
	if attributes&attrControl != 0 {
		d.endTransaction(b, o.offset)
		return len(b), end, nil
	}
	if end <= from || attributes&attrTransaction != 0 && d.isAborted(b, o.offset) {
		return len(b), end, nil
	}
	payload := b[batchHeaderSize:]
	if codec := attributes & attrCompression; codec != 0 {
		d.heavy = true
		if payload, err = inflate(payload, codec); err != nil {
			return 0, end, fmt.Errorf("compression %d: %w", codec, err)
		}
	}
	if attributes&attrLogAppend != 0 {
		o.appended = int64(be.Uint64(b[batchMaxTimestamp:]))
	}
	return len(b), end, d.payload(payload, count, &o)
}

// isAborted reports whether a batch is in a transaction that was aborted.
func (d *recordDecoder) isAborted(batch []byte, offset int64) bool {
	for i := range d.aborted {
		if a := &d.aborted[i]; !a.ended && a.first <= offset && a.producer == producerOf(batch) {
			return true
		}
	}
	return false
}

// endTransaction takes note of a control batch, which ends what its producer had begun.
func (d *recordDecoder) endTransaction(batch []byte, offset int64) {
	for i := range d.aborted {
		if a := &d.aborted[i]; a.first <= offset && a.producer == producerOf(batch) {
			a.ended = true
		}
	}
}

func producerOf(batch []byte) int64 { return int64(binary.BigEndian.Uint64(batch[batchProducerID:])) }

var (
	errCutOff   = errors.New("cut off")
	errChecksum = errors.New("checksum")
	errRecord   = errors.New("record")
)

// origin is what the records of a batch are relative to.
type origin struct {
	offset, time int64
	appended     int64 // time that stands in for each record's own, -1 if none does
	from         int64 // records before it are not wanted
}

// payload decodes n records.
func (d *recordDecoder) payload(b []byte, n int32, o *origin) error {
	for ; n > 0; n-- {
		size, k := binary.Varint(b)
		if k <= 0 || size < 0 || size > int64(len(b)-k) {
			return errRecord
		}
		if !d.record(b[k:k+int(size)], o) {
			return errRecord
		}
		b = b[k+int(size):]
	}
	return nil
}

// record decodes one record and keeps it if it is wanted; false means it makes no sense.
func (d *recordDecoder) record(b []byte, o *origin) bool {
	c := cursor{b: b}
	c.skip(1)
	timeDelta, offsetDelta := c.varint(), c.varint()
	if offset := o.offset + offsetDelta; offset < o.from && !c.bad {
		return true
	}
	d.records = append(d.records, Record{Offset: o.offset + offsetDelta, Time: o.time + timeDelta})
	r := &d.records[len(d.records)-1]
	if o.appended >= 0 {
		r.Time = o.appended
	}
	r.Key, r.Value = c.bytes(), c.bytes()
	n := c.varint()
	if n < 0 || n > int64(len(c.b)) {
		return false
	}
	if n > 0 {
		first := len(d.headers)
		for ; n > 0; n-- {
			name := c.bytes()
			d.headers = append(d.headers, Header{Key: d.name(name), Value: c.bytes()})
		}
		r.Headers = d.headers[first:len(d.headers):len(d.headers)]
	}
	return !c.bad
}

// name returns b as a string; the few names that headers have are allocated once.
func (d *recordDecoder) name(b []byte) string {
	if s, ok := d.names[string(b)]; ok {
		return s
	}
	s := string(b)
	if d.names == nil {
		d.names = make(map[string]string)
	}
	if len(d.names) < maxInterned && len(s) <= maxInternedSize {
		d.names[s] = s
	}
	return s
}

// cursor reads a record's fields; after an error it yields zero values and stays bad.
type cursor struct {
	b   []byte
	bad bool
}

func (c *cursor) skip(n int) {
	if n > len(c.b) {
		c.bad, c.b = true, nil
		return
	}
	c.b = c.b[n:]
}

func (c *cursor) varint() int64 {
	v, n := binary.Varint(c.b)
	if n <= 0 {
		c.bad, c.b = true, nil
		return 0
	}
	c.b = c.b[n:]
	return v
}

func (c *cursor) bytes() []byte {
	n := c.varint()
	if n < 0 {
		return nil
	}
	if n > int64(len(c.b)) {
		c.bad, c.b = true, nil
		return nil
	}
	out := c.b[:n:n]
	c.b = c.b[n:]
	return out
}
