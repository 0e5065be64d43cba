package detect

import (
	"encoding/binary"
	"math"
)

// A marshalled Detector: the layout byte, flags and small counts, numbers as varints, floats as 8 bytes
// little-endian, then what is known of the profile (a bit for each cell, count and mean of those set) and
// the rows of the planes that have marks (a bit for each row, and of each row the bytes that are not zero).
const (
	detectorLayout = 2 // raised with every change of layout, formula or constants
	stateFloats    = 20
)

// floats are the fields that are written as they are.
func (d *Detector) floats() [stateFloats]*float64 {
	return [...]*float64{
		&d.pace, &d.raw, &d.origin, &d.last, &d.fast, &d.slow, &d.drift,
		&d.noveltyHabit, &d.alertsHabit, &d.excursions, &d.peak,
		&d.spread.mean, &d.spread.variance, &d.spread.magnitude,
		&d.age, &d.calm.step, &d.calm.longest, &d.level.mean, &d.level.variance, &d.trend.before,
	}
}

// MarshalAppend appends the state to dst.
func (d *Detector) MarshalAppend(dst []byte) []byte {
	c := &d.trend
	kind := bit(c.on, 0) | bit(c.decided, 1) | bit(c.down, 2)
	dst = append(dst, detectorLayout, d.flags, d.late, kind, c.readings, c.rises, c.falls, c.turns, d.spread.n)
	for _, t := range [...]int64{d.time, d.time - d.peaked, d.time - d.loud} {
		dst = binary.AppendVarint(dst, t)
	}
	for _, n := range [...]uint32{d.n, d.calm.moves, d.calm.length, d.calm.same, uint32(d.level.n)} {
		dst = binary.AppendUvarint(dst, uint64(n))
	}
	dst = binary.AppendVarint(dst, int64(d.level.away))
	for _, f := range d.floats() {
		dst = appendFloat(dst, *f)
	}
	for i := range d.seen.axes {
		a := &d.seen.axes[i]
		dst = appendFloat(appendFloat(appendFloat(appendFloat(dst, a.low), a.high), a.least), a.most)
	}
	return d.seen.appendMarks(d.profile.appendTo(dst))
}

func appendFloat(dst []byte, f float64) []byte {
	return binary.LittleEndian.AppendUint64(dst, math.Float64bits(f))
}

func (p *profile) appendTo(dst []byte) []byte {
	known := uint64(0)
	for i, n := range p.count {
		if n > 0 {
			known |= 1 << i
		}
	}
	dst = binary.AppendUvarint(dst, known)
	for i, n := range p.count {
		if n > 0 {
			dst = binary.LittleEndian.AppendUint32(append(dst, n), math.Float32bits(p.mean[i]))
		}
	}
	return dst
}

func (o *occupancy) appendMarks(dst []byte) []byte {
	for i := range o.plane {
		used := uint32(0)
		for row, marks := range o.plane[i] {
			if marks != 0 {
				used |= 1 << row
			}
		}
		dst = binary.LittleEndian.AppendUint32(dst, used)
		for _, marks := range o.plane[i] {
			if marks == 0 {
				continue
			}
			at := len(dst)
			dst = append(dst, 0)
			for k := range 4 {
				if b := byte(marks >> (8 * k)); b != 0 {
					dst[at] |= 1 << k
					dst = append(dst, b)
				}
			}
		}
	}
	return dst
}

// Unmarshal takes exactly the bytes of MarshalAppend back. On an error the detector is as before.
func (d *Detector) Unmarshal(b []byte) error {
	var out Detector
	in := cursor{rest: b}
	if in.byte() != detectorLayout {
		return ErrState
	}
	c := &out.trend
	out.flags, out.late = in.byte(), in.byte()
	kind := in.byte()
	c.on, c.decided, c.down = kind&1 != 0, kind&2 != 0, kind&4 != 0
	c.readings, c.rises, c.falls, c.turns = in.byte(), in.byte(), in.byte(), in.byte()
	out.spread.n = in.byte()
	out.time = in.varint()
	out.peaked, out.loud = out.time-in.varint(), out.time-in.varint()
	out.n, out.calm.moves = uint32(in.uvarint(math.MaxUint32)), uint32(in.uvarint(calmMoves))
	out.calm.length = uint32(in.uvarint(math.MaxUint32 - 1))
	out.calm.same = uint32(in.uvarint(uint64(out.calm.length)))
	out.level.n = uint16(in.uvarint(1 / levelGain))
	away := in.varint()
	out.level.away = int16(away)
	for _, f := range out.floats() {
		*f = in.float()
	}
	for i := range out.seen.axes {
		a := &out.seen.axes[i]
		a.low, a.high, a.least, a.most = in.float(), in.float(), in.float(), in.float()
		in.bad = in.bad || !(a.low <= a.least && a.least <= a.most && a.most <= a.high)
	}
	in.profile(&out.profile)
	in.marks(&out.seen)
	if in.bad || len(in.rest) > 0 || kind > 7 || away < -levelLasts || away > levelLasts || !out.possible() {
		return ErrState
	}
	*d = out
	return nil
}

// possible reports whether the numbers are within what Observe can lead to.
func (d *Detector) possible() bool {
	for _, f := range d.floats() {
		if math.Abs(*f) > math.Sqrt(math.MaxFloat64) && f != &d.spread.variance && f != &d.level.variance {
			return false
		}
	}
	return d.flags < flagsEnd && d.late < backwards && d.spread.n <= 1/gain &&
		d.pace >= 0 && d.spread.variance >= 0 && d.spread.magnitude >= 0 && d.level.variance >= 0 &&
		d.noveltyHabit >= 0 && d.alertsHabit >= 0 && d.excursions >= 0 && d.peak >= 0 &&
		d.calm.step >= 0 && d.calm.longest >= 0
}

// cursor reads what was marshalled. After the first thing that cannot be, it is bad and reads zeros.
type cursor struct {
	rest []byte
	bad  bool
}

// take returns the next n bytes, n ≤ 8; zeros if there are not as many.
func (c *cursor) take(n int) []byte {
	if len(c.rest) < n {
		c.bad, c.rest = true, nil
		return make([]byte, n)
	}
	b := c.rest[:n]
	c.rest = c.rest[n:]
	return b
}

func (c *cursor) byte() byte { return c.take(1)[0] }

// float reads a finite number.
func (c *cursor) float() float64 {
	f := math.Float64frombits(binary.LittleEndian.Uint64(c.take(8)))
	c.bad = c.bad || math.IsNaN(f) || math.IsInf(f, 0)
	return f
}

func (c *cursor) varint() int64 {
	v, n := binary.Varint(c.rest)
	c.skip(n, binary.AppendVarint(nil, v))
	return v
}

// uvarint reads a number of at most limit.
func (c *cursor) uvarint(limit uint64) uint64 {
	v, n := binary.Uvarint(c.rest)
	c.skip(n, binary.AppendUvarint(nil, v))
	c.bad = c.bad || v > limit
	return v
}

// skip passes a number of n bytes, which must be the shortest way to write it.
func (c *cursor) skip(n int, shortest []byte) {
	if n <= 0 || n != len(shortest) {
		c.bad, c.rest = true, nil
		return
	}
	c.rest = c.rest[n:]
}

func (c *cursor) profile(p *profile) {
	known := c.uvarint(1<<profileSize - 1)
	for i := range p.count {
		if known>>i&1 == 0 {
			continue
		}
		n := c.byte()
		mean := math.Float32frombits(binary.LittleEndian.Uint32(c.take(4)))
		p.count[i], p.mean[i] = n, mean
		c.bad = c.bad || n == 0 || n > profileFull || !(math.Abs(float64(mean)) <= largestProfile*1.001)
	}
}

func (c *cursor) marks(o *occupancy) {
	for i := range o.plane {
		used := binary.LittleEndian.Uint32(c.take(4))
		for row := range o.plane[i] {
			if used>>row&1 == 0 {
				continue
			}
			which := c.byte()
			c.bad = c.bad || which == 0 || which > 15
			for k := range 4 {
				if which>>k&1 != 0 {
					b := c.byte()
					c.bad = c.bad || b == 0
					o.plane[i][row] |= uint32(b) << (8 * k)
				}
			}
		}
	}
}
