package wire

import (
	"encoding/binary"
	"math"
	"slices"

	"weir/telemetry"
)

// Fields of weir.v1.LiveRows.
const (
	liveIndex = 1 + iota
	liveVersion
	liveSpan
	liveN
	liveLate
	liveInvalid
	liveLastTime
	liveAge
	liveLast
	liveMin
	liveMax
	liveSum
	liveAvg
	liveLo
	liveHi
	liveState
	liveScore
	liveIngest
	liveEmit
	liveFields
)

// liveDeltas are what delta columns refer to: the entry before.
type liveDeltas struct{ version, last, ingest, emit int64 }

// liveColumns are the columns of rows that are about to be written: how many bytes each has, and then where its next entry
// goes.
type liveColumns struct {
	chosen ColumnSet
	at     [liveFields]int
	size   int // of the message
}

// measureRows finds how many bytes rows take with the chosen columns.
func measureRows(chosen ColumnSet, rows []Row) (c liveColumns) {
	c.chosen = chosen
	var late, invalid bool
	c.each(rows, func(field int, v uint64, double bool) {
		if double {
			c.at[field] += 8
		} else {
			c.at[field] += varintSize(v)
		}
		late = late || field == liveLate && v > 0
		invalid = invalid || field == liveInvalid && v > 0
	})
	if !late {
		c.at[liveLate] = 0
	}
	if !invalid {
		c.at[liveInvalid] = 0
	}
	if chosen.Has(colState) || chosen.Has(colWorst) {
		c.at[liveState] = len(rows)
	}
	for field, n := range c.at {
		if n > 0 {
			c.size += bytesSize(field, n)
		}
	}
	return c
}

// bytesSize is how many bytes a field of n bytes takes with its head.
func bytesSize(field, n int) int {
	return varintSize(uint64(field<<3|wireBytes)) + varintSize(uint64(n)) + n
}

// append appends the measured rows as a field.
func (c *liveColumns) append(dst []byte, field int, rows []Row) []byte {
	dst = appendBytesHead(dst, field, c.size)
	for f := range c.at {
		n := c.at[f]
		if n == 0 {
			c.at[f] = -1
			continue
		}
		dst = appendBytesHead(dst, f, n)
		c.at[f] = len(dst)
		dst = slices.Grow(dst, n)[:len(dst)+n]
	}
	c.each(rows, func(field int, v uint64, double bool) {
		at := c.at[field]
		switch {
		case at < 0:
		case double:
			binary.LittleEndian.PutUint64(dst[at:], v)
			c.at[field] += 8
		default:
			c.at[field] += binary.PutUvarint(dst[at:], v)
		}
	})
	if at := c.at[liveState]; at >= 0 {
		for i, r := range rows {
			dst[at+i] = c.states(r.Update)
		}
	}
	return dst
}

func (c *liveColumns) states(u *telemetry.Update) (b byte) {
	if c.chosen.Has(colState) {
		b = byte(u.State) & 15
	}
	if c.chosen.Has(colWorst) {
		b |= byte(u.Worst) << 4
	}
	return b
}

// each calls put for each entry of each row but the states.
func (c *liveColumns) each(rows []Row, put func(field int, v uint64, double bool)) {
	var before liveDeltas
	for _, r := range rows {
		u := r.Update
		put(liveIndex, uint64(r.I), false)
		put(liveVersion, zigzag(int64(u.Version)-before.version), false)
		put(liveSpan, uint64(u.Version-u.Since), false)
		put(liveN, u.N, false)
		before.version = int64(u.Version)
		c.counts(u, put)
		if u.N > 0 {
			c.readings(u, &before, put)
		}
		c.head(u, put)
		c.times(u, &before, put)
	}
}

func (c *liveColumns) counts(u *telemetry.Update, put func(field int, v uint64, double bool)) {
	if c.chosen.Has(colLate) {
		put(liveLate, u.Late, false)
	}
	if c.chosen.Has(colInvalid) {
		put(liveInvalid, u.Invalid, false)
	}
}

// readings puts what rows have that have readings.
func (c *liveColumns) readings(u *telemetry.Update, before *liveDeltas, put func(field int, v uint64, double bool)) {
	var last int64
	if c.chosen.Has(colLastTime) {
		last = u.LastTime
		put(liveLastTime, zigzag(last-before.last), false)
		before.last = last
	}
	if c.chosen.Has(colFirstTime) {
		put(liveAge, zigzag(last-u.FirstTime), false)
	}
	if c.chosen.Has(colLast) {
		put(liveLast, math.Float64bits(u.Last), true)
	}
	if u.N == 1 && c.chosen.Has(colLast) {
		return
	}
	if c.chosen.Has(colMin) {
		put(liveMin, math.Float64bits(u.Min), true)
	}
	if c.chosen.Has(colMax) {
		put(liveMax, math.Float64bits(u.Max), true)
	}
	if c.chosen.Has(colSum) {
		put(liveSum, math.Float64bits(u.Sum), true)
	}
}

// head puts what the detector's head says.
func (c *liveColumns) head(u *telemetry.Update, put func(field int, v uint64, double bool)) {
	if c.chosen.Has(colAvg) {
		put(liveAvg, math.Float64bits(u.Avg), true)
	}
	if c.chosen.Has(colLo) {
		put(liveLo, math.Float64bits(u.Lo), true)
	}
	if c.chosen.Has(colHi) {
		put(liveHi, math.Float64bits(u.Hi), true)
	}
	if c.chosen.Has(colScore) {
		put(liveScore, math.Float64bits(u.Score), true)
	}
}

func (c *liveColumns) times(u *telemetry.Update, before *liveDeltas, put func(field int, v uint64, double bool)) {
	if c.chosen.Has(colIngestTime) {
		put(liveIngest, zigzag(u.IngestTime-before.ingest), false)
		before.ingest = u.IngestTime
	}
	if c.chosen.Has(colEmitTime) {
		put(liveEmit, zigzag(u.EmitTime-before.emit), false)
		before.emit = u.EmitTime
	}
}
