package wire

import (
	"encoding/binary"
	"math"

	"weir/telemetry"
)

// Fields of weir.v1.ReadingBatch.
const (
	readingsDevice = 1 + iota
	readingsSession
	readingsSeq
	readingsIngest
	readingsMetrics
	readingsMetric
	readingsTime
	readingsValue
)

// AppendReadingBatch appends b as the value of a record of weir.readings.
func AppendReadingBatch(dst []byte, b *telemetry.Batch) []byte {
	if b.Device != "" {
		dst = appendStringField(dst, readingsDevice, b.Device)
	}
	if b.Session != "" {
		dst = appendStringField(dst, readingsSession, b.Session)
	}
	dst = appendVarintField(dst, readingsSeq, b.Seq)
	dst = appendVarintField(dst, readingsIngest, uint64(b.Ingest))
	if len(b.Readings) == 0 {
		return dst
	}
	dst = appendMetrics(dst, b.Readings)

	start, before := len(dst), int64(0)
	for i := range b.Readings {
		dst = binary.AppendUvarint(dst, zigzag(b.Readings[i].Time-before))
		before = b.Readings[i].Time
	}
	dst = closeColumn(dst, readingsTime, start)

	dst = appendBytesHead(dst, readingsValue, 8*len(b.Readings))
	for i := range b.Readings {
		dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(b.Readings[i].Value))
	}
	return dst
}

// closeColumn puts the head of a field before the bytes that follow start.
func closeColumn(dst []byte, field, start int) []byte {
	var buf [2 * binary.MaxVarintLen64]byte
	head := appendBytesHead(buf[:0], field, len(dst)-start)
	dst = append(dst, head...)
	copy(dst[start+len(head):], dst[start:])
	copy(dst[start:], head)
	return dst
}

// appendMetrics appends the dictionary of metrics and, if there are several, the column that refers to it.
func appendMetrics(dst []byte, readings []telemetry.Reading) []byte {
	var d dictionary
	start := len(dst)
	for i := range readings {
		dst = binary.AppendUvarint(dst, uint64(d.index(readings[i].Metric)))
	}
	if d.size == 1 {
		dst = dst[:start]
	} else {
		dst = closeColumn(dst, readingsMetric, start)
	}
	for i := range d.size {
		dst = appendStringField(dst, readingsMetrics, d.name(i))
	}
	return dst
}
