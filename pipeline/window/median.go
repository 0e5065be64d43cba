package window

import (
	"bytes"
	"encoding/binary"
	"math"
	"slices"
)

// MaxMedianSamples bounds how many readings a median looks at, and so its memory: 18 bytes a reading.
const MaxMedianSamples = 101

// median is the median of the newest readings: at most so many, and none a window or more older than the
// newest. A reading that is out of order is taken as if it had come in time, if it would still be inside.
//
//	samples  [ t v | t v | t v | t v ]   in any order, addressed by slot
//	byTime   [ 2 0 3 1 ]                 slots, oldest first
//	byValue  [ 0 3 2 1 ]                 slots, smallest first
type median struct {
	samples         []reading
	byTime, byValue []uint8
}

// reading is a value at a source time (µs).
type reading struct {
	t int64
	v float64
}

// add takes the finite reading v at t (µs). It keeps at most limit readings, and those younger than window
// (µs; 0: of any age) at the newest reading.
func (m *median) add(t int64, v float64, limit int, window int64) float64 {
	newest := t
	if n := len(m.byTime); n > 0 {
		newest = max(newest, m.samples[m.byTime[n-1]].t)
	}
	for window > 0 && len(m.byTime) > 0 && uint64(newest-m.samples[m.byTime[0]].t) >= uint64(window) {
		m.dropOldest()
	}
	if window > 0 && uint64(newest-t) >= uint64(window) {
		return m.value()
	}
	for len(m.byTime) >= limit {
		if t < m.samples[m.byTime[0]].t {
			return m.value()
		}
		m.dropOldest()
	}
	m.insert(reading{t: t, v: v + 0}) // + 0 makes zero of −0, which sorts the same
	return m.value()
}

func (m *median) insert(s reading) {
	slot := uint8(len(m.samples))
	m.samples = append(m.samples, s)
	at := len(m.byTime)
	for at > 0 && m.samples[m.byTime[at-1]].t > s.t {
		at--
	}
	m.byTime = slices.Insert(m.byTime, at, slot)
	lo, hi := 0, len(m.byValue)
	for lo < hi {
		if mid := (lo + hi) / 2; m.samples[m.byValue[mid]].v <= s.v {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	m.byValue = slices.Insert(m.byValue, lo, slot)
}

// dropOldest removes the oldest reading and moves the one in the last slot into its place.
func (m *median) dropOldest() {
	slot, last := m.byTime[0], uint8(len(m.samples)-1)
	m.byTime = m.byTime[:copy(m.byTime, m.byTime[1:])]
	at := bytes.IndexByte(m.byValue, slot)
	m.byValue = slices.Delete(m.byValue, at, at+1)
	if slot != last {
		m.byTime[bytes.IndexByte(m.byTime, last)] = slot
		m.byValue[bytes.IndexByte(m.byValue, last)] = slot
		m.samples[slot] = m.samples[last]
	}
	m.samples = m.samples[:last]
}

// value is the median, the mean of the middle two of an even number, or NaN when there is no reading.
func (m *median) value() float64 {
	n := len(m.byValue)
	if n == 0 {
		return math.NaN()
	}
	hi := m.samples[m.byValue[n/2]].v
	if n%2 == 1 {
		return hi
	}
	return m.samples[m.byValue[n/2-1]].v/2 + hi/2
}

func (m *median) marshalAppend(dst []byte) []byte {
	before := int64(0)
	for _, slot := range m.byTime {
		s := m.samples[slot]
		dst = appendFloat(binary.AppendVarint(dst, s.t-before), s.v)
		before = s.t
	}
	return dst
}

// unmarshal reads what is left of r, which must be readings in order of time.
func (m *median) unmarshal(r *reader) {
	*m = median{}
	at := int64(0)
	for len(r.b) > 0 {
		t := at + r.varint()
		s := reading{t: t, v: r.finite()}
		if r.bad || len(m.samples) == MaxMedianSamples || len(m.samples) > 0 && t < at {
			r.skip(0)
			return
		}
		m.insert(s)
		at = t
	}
}
