package window

import (
	"encoding/binary"
	"math"
)

// maxReadings bounds what a Partial counts, far above any rate; readings beyond it are left out.
const maxReadings = 1 << 39

// timeLimit bounds source times (µs) to 36,000 years on either side of 1970, so that sums of times cannot
// overflow. Readings beyond it count as missed.
const timeLimit = 1 << 60

// Partial is the mergeable summary of the readings in a pane: of one series, or of all members of a group.
// Merge is commutative, and associative: exactly in counts, extremes, edges and quantiles, up to rounding in
// Sum, Mean and M2. The zero value is empty. A copy shares what the quantiles are made of with its original.
type Partial struct {
	Start int64 // of the pane, source time (µs); of a session its first reading
	N     uint64
	Sum   float64
	Mean  float64
	M2    float64 // sum of squared distances to the mean (Welford; merged as Chan, Golub and LeVeque say)
	Min   float64
	Max   float64
	// FirstTime and LastTime (µs) span the readings; First and Last are the values there. Of readings of the
	// same series at the same time the first one that came is First and the last one is Last; of those of
	// different series, the smallest and the largest.
	FirstTime, LastTime int64
	First, Last         float64

	sketch *sketch // nil when no function is a quantile
}

// add takes the finite reading v at t (µs).
func (p *Partial) add(t int64, v float64) {
	if p.N == 0 {
		p.Sum, p.Mean, p.M2, p.Min, p.Max = v, v, 0, v, v
		p.First, p.Last, p.FirstTime, p.LastTime, p.N = v, v, t, t, 1
	} else if p.N < maxReadings {
		p.N++
		p.Sum += v
		d := v - p.Mean
		p.Mean += d / float64(p.N)
		p.M2 += d * (v - p.Mean)
		p.Min, p.Max = min(p.Min, v), max(p.Max, v)
		if t < p.FirstTime {
			p.First, p.FirstTime = v, t
		}
		if t >= p.LastTime {
			p.Last, p.LastTime = v, t
		}
	} else {
		return
	}
	if p.sketch != nil {
		p.sketch.add(v)
	}
}

// Merge adds the readings of o, which was made for the same window. The start stays.
func (p *Partial) Merge(o *Partial) {
	if o.N == 0 || p.N+o.N > maxReadings {
		return
	}
	if p.N == 0 {
		start := p.Start
		p.assign(o)
		p.Start = start
		return
	}
	a, b := float64(p.N), float64(o.N)
	d := o.Mean - p.Mean
	p.M2 += o.M2 + d*d*(a*b/(a+b))
	p.Mean += d * (b / (a + b))
	p.Sum += o.Sum
	p.N += o.N
	p.Min, p.Max = min(p.Min, o.Min), max(p.Max, o.Max)
	if o.FirstTime < p.FirstTime || o.FirstTime == p.FirstTime && o.First < p.First {
		p.First, p.FirstTime = o.First, o.FirstTime
	}
	if o.LastTime > p.LastTime || o.LastTime == p.LastTime && o.Last > p.Last {
		p.Last, p.LastTime = o.Last, o.LastTime
	}
	if p.sketch != nil && o.sketch != nil {
		p.sketch.merge(o.sketch)
	}
}

// assign makes p a copy of o that shares nothing with it.
func (p *Partial) assign(o *Partial) {
	s := p.sketch
	*p = *o
	if p.sketch = nil; o.sketch == nil {
		return
	}
	if s == nil {
		s = new(sketch)
	}
	s.bins, s.level = append(s.bins[:0], o.sketch.bins...), o.sketch.level
	p.sketch = s
}

// clear empties p and keeps memory for a pane of w.
func (p *Partial) clear(w *Window, start int64) {
	s := p.sketch
	*p = Partial{Start: start}
	if !w.sketched {
		return
	}
	if s == nil {
		s = new(sketch)
	}
	s.bins, s.level = s.bins[:0], 0
	p.sketch = s
}

// stddev is the standard deviation of the readings themselves (divided by N, not by N − 1).
func (p *Partial) stddev() float64 { return math.Sqrt(p.M2 / float64(p.N)) }

// partialLayout is the first byte of a marshalled Partial.
const partialLayout = 1

// MarshalAppend appends p, a Partial of w, to dst. It has no length of its own.
//
//	layout byte, window's hash uint32 LE, start varint, body
func (p *Partial) MarshalAppend(dst []byte, w *Window) []byte {
	dst = append(dst, partialLayout)
	dst = binary.LittleEndian.AppendUint32(dst, w.hash)
	dst = binary.AppendVarint(dst, p.Start)
	return p.appendBody(dst)
}

// Unmarshal replaces p by the one in b. One that was made for a window with another hash is ErrState, as is a
// malformed one, and leaves p unchanged.
func (p *Partial) Unmarshal(b []byte, w *Window) error {
	r := reader{b: b}
	if r.byte() != partialLayout || r.uint32() != w.hash {
		return ErrState
	}
	var out Partial
	out.Start = r.varint()
	out.readBody(&r, w)
	if !r.done() {
		return ErrState
	}
	*p = out
	return nil
}

// appendBody appends all but the start. Most panes of slow series hold one reading, from which the rest
// follows.
//
//	n uvarint, first reading's time since start uvarint, value float64 LE
//	n > 1: last reading's time since the first uvarint, last, min, max, sum, mean, M2 float64 LE, sketch if any
func (p *Partial) appendBody(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, p.N)
	dst = binary.AppendUvarint(dst, uint64(p.FirstTime-p.Start))
	dst = appendFloat(dst, p.First)
	if p.N == 1 {
		return dst
	}
	dst = binary.AppendUvarint(dst, uint64(p.LastTime-p.FirstTime))
	for _, f := range [...]float64{p.Last, p.Min, p.Max, p.Sum, p.Mean, p.M2} {
		dst = appendFloat(dst, f)
	}
	if p.sketch != nil {
		dst = p.sketch.marshalAppend(dst)
	}
	return dst
}

// readBody reads what appendBody wrote for a pane of w that begins at p.Start.
func (p *Partial) readBody(r *reader, w *Window) {
	n, first, v := r.uvarint(), r.uvarint(), r.finite()
	if r.bad || n == 0 || n > maxReadings || first > timeLimit || p.Start <= -2*timeLimit || p.Start >= timeLimit {
		r.skip(0)
		return
	}
	p.clear(w, p.Start)
	p.add(p.Start+int64(first), v)
	if n > 1 {
		p.readMore(r, n)
	}
	if !w.holds(p) {
		r.skip(0)
	}
}

func (p *Partial) readMore(r *reader, n uint64) {
	span := r.uvarint()
	p.N, p.LastTime = n, p.FirstTime+int64(min(span, 2*timeLimit))
	p.Last, p.Min, p.Max = r.finite(), r.finite(), r.finite()
	p.Sum, p.Mean, p.M2 = r.float(), r.float(), r.float()
	if p.sketch != nil {
		p.sketch.unmarshal(r)
		if p.sketch.count() != n {
			r.skip(0)
		}
	}
	if min(p.First, p.Last) < p.Min || max(p.First, p.Last) > p.Max || p.M2 < 0 {
		r.skip(0)
	}
}
