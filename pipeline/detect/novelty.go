package detect

import "math/bits"

// side is the number of cells along an axis of a plane.
const side = 32

// axis maps the values of one feature to cells. It has a grid, which grows in leaps so that bits are moved
// rarely, and the span of the data seen, by which distances are measured.
type axis struct{ low, high, least, most float64 }

// margin is how far beyond a new extreme the grid is drawn, as a share of the data's span.
const margin = 0.25

func (a *axis) cell(v float64) int {
	if a.high <= a.low {
		return 0
	}
	return min(max(int((v-a.low)/(a.high-a.low)*side), 0), side-1)
}

func (a *axis) span() float64 { return a.most - a.least }

// stretch is the grid's length as a share of the data's: cells count for more on a grid that is mostly empty.
func (a *axis) stretch() float64 {
	if s := a.span(); s > 0 {
		return (a.high - a.low) / s
	}
	return 1
}

// The features of a reading, in the order of occupancy.axes.
const (
	byValue    = iota // the value
	bySlope           // fast average minus slow average
	byFast            // fast average
	byResidual        // distance from the profile
	byDrift           // average of the distances
	features
)

// The planes. The first pairs the slope with the value before this one.
const planes = 4

var planeAxes = [planes][2]uint8{{byValue, bySlope}, {byFast, byResidual}, {byValue, byResidual}, {byResidual, byDrift}}

// planeWeight is a plane's part in the score. The last sees the same as the second and third, only
// smoothed, and counts half.
var planeWeight = [planes]float64{1, 1, 1, 0.5}

// farthest is the largest distance that is told apart, in spans of the data.
const farthest = 10

// occupancy remembers which combinations of features a series has visited: one bit for each cell of a
// plane of two features.
type occupancy struct {
	axes  [features]axis
	plane [planes][side]uint32
}

// begin places every axis at the first reading's features.
func (o *occupancy) begin(f *[features]float64) {
	for i, v := range f {
		o.axes[i] = axis{v, v, v, v}
	}
}

// visit marks the reading's cells and returns how far from any visited cell it lay, as a share of the span
// of the series, summed over the planes by weight. last is the value before.
func (o *occupancy) visit(f *[features]float64, last float64) float64 {
	var over [features]float64
	for i, v := range f {
		if a := &o.axes[i]; v < a.least || v > a.most {
			over[i] = o.extend(i, v)
		}
	}
	sum := 0.0
	for i := range o.plane {
		ia, ib := planeAxes[i][0], planeAxes[i][1]
		va, beyond := f[ia], max(over[ia], over[ib])
		if i == 0 {
			va, beyond = last, over[ib]
		}
		a, b := &o.axes[ia], &o.axes[ib]
		row, column := a.cell(va), b.cell(f[ib])
		if o.plane[i][row]>>column&1 == 0 {
			if d := o.distance(i, row, column); d > 1 {
				beyond = max(beyond, float64(d-1)/side*max(a.stretch(), b.stretch()))
			}
			o.plane[i][row] |= 1 << column
		}
		sum += planeWeight[i] * min(beyond, farthest)
	}
	return sum
}

// extend takes v, which is beyond what axis i has seen, into it and returns by how much it was beyond the
// grid, in spans of the data.
func (o *occupancy) extend(i int, v float64) float64 {
	a := &o.axes[i]
	old := *a
	a.least, a.most = min(a.least, v), max(a.most, v)
	if v >= a.low && v <= a.high {
		return 0
	}
	length := old.span()
	var over float64
	if length > 0 {
		over = max(old.low-v, v-old.high) / length
	} else {
		over, length = farthest, a.span()
	}
	if v < old.low {
		a.low = v - margin*length
	} else {
		a.high = v + margin*length
	}
	o.move(i, &old)
	return over
}

// move puts the bits of the planes that axis i is part of to where the middle of their old cell is now.
func (o *occupancy) move(i int, old *axis) {
	var to [side]uint8
	width := (old.high - old.low) / side
	for c := range to {
		to[c] = uint8(o.axes[i].cell(old.low + (float64(c)+0.5)*width))
	}
	for k := range o.plane {
		before := o.plane[k]
		switch i {
		case int(planeAxes[k][0]):
			o.plane[k] = [side]uint32{}
			for row, bits := range before {
				o.plane[k][to[row]] |= bits
			}
		case int(planeAxes[k][1]):
			for row, left := range before {
				moved := uint32(0)
				for ; left != 0; left &= left - 1 {
					moved |= 1 << to[bits.TrailingZeros32(left)]
				}
				o.plane[k][row] = moved
			}
		}
	}
}

// distance is the number of steps, diagonal ones too, from a cell to the nearest marked one; side if there
// is none.
func (o *occupancy) distance(plane, row, column int) int {
	p := &o.plane[plane]
	near := uint32(1) << column
	seen := p[row] // all marks in the rows so far
	for d := 1; d < side; d++ {
		near |= near<<1 | near>>1
		if up := row - d; up >= 0 {
			seen |= p[up]
		}
		if down := row + d; down < side {
			seen |= p[down]
		}
		if seen&near != 0 {
			return d
		}
	}
	return side
}
