package kafka

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// ErrCorrupt is what decoding answers to bytes that are no record batch, or whose checksum is wrong.
var ErrCorrupt = errors.New("corrupt record batch")

const (
	attrCompression = 0x07
	attrLogAppend   = 0x08
	attrControl     = 0x20
	// maxInterned bounds the table of header names; headers beyond it are allocated.
	maxInterned = 64
)

// recordDecoder decodes fetched record batches into records that alias the input.
// The zero value is ready. Its results are valid until the next decode.
type recordDecoder struct {
	records []Record
	headers []Header
	names   map[string]string
}

// decode reads the batches in data and keeps the records at or after from. next is the offset to fetch
// from afterwards, which compaction may put beyond the last record; it is from if data holds no whole
// batch. A batch cut off at the end of data is left for the next fetch.
func (d *recordDecoder) decode(data []byte, from int64) (records []Record, next int64, err error) {
	d.records, d.headers = d.records[:0], d.headers[:0]
	next = from
	for len(data) >= batchHeaderSize {
		size := int64(int32(binary.BigEndian.Uint32(data[batchLength:]))) + batchLeaderEpoch
		if size < batchHeaderSize {
			return nil, from, fmt.Errorf("%w: length %d", ErrCorrupt, size)
		}
		if size > int64(len(data)) {
			break
		}
		end, err := d.batch(data[:size], from)
		if err != nil {
			return nil, from, err
		}
		next = max(next, end)
		data = data[size:]
	}
	return d.records, next, nil
}

// batch decodes one whole batch and returns the offset after it.
func (d *recordDecoder) batch(b []byte, from int64) (end int64, err error) {
	be := binary.BigEndian
	if b[batchMagic] != magic2 {
		return 0, fmt.Errorf("%w: message format %d", ErrCorrupt, b[batchMagic])
	}
	if crc32.Checksum(b[batchAttributes:], castagnoli) != be.Uint32(b[batchCRC:]) {
		return 0, fmt.Errorf("%w: checksum", ErrCorrupt)
	}
	base := int64(be.Uint64(b[batchBaseOffset:]))
	end = base + int64(int32(be.Uint32(b[batchLastOffsetDelta:]))) + 1
	attributes := be.Uint16(b[batchAttributes:])
	if attributes&attrControl != 0 || end <= from {
		return end, nil
	}
	payload := b[batchHeaderSize:]
	if codec := attributes & attrCompression; codec != 0 {
		if payload, err = inflate(payload, codec); err != nil {
			return 0, fmt.Errorf("%w: compression %d: %w", ErrCorrupt, codec, err)
		}
	}
	baseTime := int64(be.Uint64(b[batchBaseTimestamp:]))
	appendTime := int64(-1)
	if attributes&attrLogAppend != 0 {
		appendTime = int64(be.Uint64(b[batchMaxTimestamp:]))
	}
	for n := int32(be.Uint32(b[batchRecordCount:])); n > 0; n-- {
		size, k := binary.Varint(payload)
		if k <= 0 || size < 0 || size > int64(len(payload)-k) {
			return 0, fmt.Errorf("%w: record length", ErrCorrupt)
		}
		if !d.record(payload[k:k+int(size)], base, baseTime, appendTime, from) {
			return 0, fmt.Errorf("%w: record", ErrCorrupt)
		}
		payload = payload[k+int(size):]
	}
	return end, nil
}

// record decodes one record and keeps it if it is wanted; false means it makes no sense.
func (d *recordDecoder) record(b []byte, base, baseTime, appendTime, from int64) bool {
	c := cursor{b: b}
	c.skip(1)
	timeDelta, offsetDelta := c.varint(), c.varint()
	if offset := base + offsetDelta; offset < from && !c.bad {
		return true
	}
	d.records = append(d.records, Record{Offset: base + offsetDelta, Time: baseTime + timeDelta})
	r := &d.records[len(d.records)-1]
	if appendTime >= 0 {
		r.Time = appendTime
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
	if len(d.names) < maxInterned {
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
