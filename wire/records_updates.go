package wire

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"weir/telemetry"
)

// Fields of weir.v1.UpdateBatch.
const (
	updatesEmit = 1 + iota
	updatesSeries
	updatesVersion
	updatesSpan
	updatesN
	updatesLate
	updatesInvalid
	updatesFirst
	updatesDuration
	updatesLast
	updatesMin
	updatesMax
	updatesSum
	updatesAvg
	updatesLo
	updatesHi
	updatesState
	updatesScore
	updatesIngest
	updatesFields
)

// updateColumns are the columns of a batch: how many bytes each has, and then where its next entry goes.
type updateColumns [updatesFields]int

// deltas are what delta columns refer to: the row before.
type deltas struct{ version, first, ingest int64 }

// AppendUpdateBatch appends us, emitted at emit (microseconds), as the value of a record of weir.updates.
// The time of emission is the record's: EmitTime of the updates is not stored. Of an update with N < 2 neither
// are Min, Max and Sum, which equal Last.
func AppendUpdateBatch(dst []byte, emit int64, us []telemetry.Update) []byte {
	dst = appendVarintField(dst, updatesEmit, uint64(emit))
	for i := range us {
		dst = appendStringField(dst, updatesSeries, us[i].Series)
	}
	columns := measure(us)
	for field := updatesVersion; field < updatesFields; field++ {
		size := columns[field]
		if size == 0 {
			continue
		}
		dst = appendBytesHead(dst, field, size)
		columns[field] = len(dst)
		dst = slices.Grow(dst, size)[:len(dst)+size]
	}
	var before deltas
	for i := range us {
		columns.put(dst, &us[i], &before)
	}
	return dst
}

// measure finds how many bytes the columns of us have.
func measure(us []telemetry.Update) (c updateColumns) {
	var before deltas
	var late, invalid bool
	for i := range us {
		u := &us[i]
		c[updatesVersion] += varintSize(zigzag(int64(u.Version) - before.version))
		c[updatesSpan] += varintSize(uint64(u.Version - u.Since))
		c[updatesN] += varintSize(u.N)
		c[updatesLate] += varintSize(u.Late)
		c[updatesInvalid] += varintSize(u.Invalid)
		c[updatesFirst] += varintSize(zigzag(u.FirstTime - before.first))
		c[updatesDuration] += varintSize(uint64(u.LastTime - u.FirstTime))
		c[updatesIngest] += varintSize(zigzag(u.IngestTime - before.ingest))
		if u.N > 1 {
			c[updatesMin] += 8
		}
		late, invalid = late || u.Late > 0, invalid || u.Invalid > 0
		before = deltas{int64(u.Version), u.FirstTime, u.IngestTime}
	}
	if !late {
		c[updatesLate] = 0
	}
	if !invalid {
		c[updatesInvalid] = 0
	}
	c[updatesMax], c[updatesSum] = c[updatesMin], c[updatesMin]
	c[updatesState] = len(us)
	for _, field := range []int{updatesLast, updatesAvg, updatesLo, updatesHi, updatesScore} {
		c[field] = 8 * len(us)
	}
	return c
}

// put writes one row into the columns in dst.
func (c *updateColumns) put(dst []byte, u *telemetry.Update, before *deltas) {
	c.uvarint(dst, updatesVersion, zigzag(int64(u.Version)-before.version))
	c.uvarint(dst, updatesSpan, uint64(u.Version-u.Since))
	c.uvarint(dst, updatesN, u.N)
	if c[updatesLate] > 0 {
		c.uvarint(dst, updatesLate, u.Late)
	}
	if c[updatesInvalid] > 0 {
		c.uvarint(dst, updatesInvalid, u.Invalid)
	}
	c.uvarint(dst, updatesFirst, zigzag(u.FirstTime-before.first))
	c.uvarint(dst, updatesDuration, uint64(u.LastTime-u.FirstTime))
	c.float(dst, updatesLast, u.Last)
	if u.N > 1 {
		c.float(dst, updatesMin, u.Min)
		c.float(dst, updatesMax, u.Max)
		c.float(dst, updatesSum, u.Sum)
	}
	c.float(dst, updatesAvg, u.Avg)
	c.float(dst, updatesLo, u.Lo)
	c.float(dst, updatesHi, u.Hi)
	dst[c[updatesState]] = byte(u.State) | byte(u.Worst)<<4
	c[updatesState]++
	c.float(dst, updatesScore, u.Score)
	c.uvarint(dst, updatesIngest, zigzag(u.IngestTime-before.ingest))
	*before = deltas{int64(u.Version), u.FirstTime, u.IngestTime}
}

func (c *updateColumns) uvarint(dst []byte, field int, v uint64) {
	c[field] += binary.PutUvarint(dst[c[field]:], v)
}

func (c *updateColumns) float(dst []byte, field int, v float64) {
	binary.LittleEndian.PutUint64(dst[c[field]:], math.Float64bits(v))
	c[field] += 8
}

func updatesError(what string) error {
	return fmt.Errorf("decode updates: %w: %s", ErrRecord, what)
}
