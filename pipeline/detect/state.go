package detect

import (
	"encoding/binary"
	"errors"
	"math"
)

// A marshalled Deviation: layout byte, n, flags (bit 0: raised), quiet, then little-endian mean, variance,
// magnitude (float64) and loud (int64).
const (
	deviationLayout = 1 // raised with every change of layout, formula or constants
	deviationBytes  = 4 + 4*8
)

// ErrState is returned by Unmarshal for bytes that no detector of the type wrote.
var ErrState = errors.New("detect: malformed state")

// MarshalAppend implements Detector.
func (d *Deviation) MarshalAppend(dst []byte) []byte {
	var flags byte
	if d.hold.raised {
		flags = 1
	}
	dst = append(dst, deviationLayout, d.n, flags, d.hold.quiet)
	for _, f := range [...]float64{d.mean, d.variance, d.magnitude} {
		dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(f))
	}
	return binary.LittleEndian.AppendUint64(dst, uint64(d.hold.loud))
}

// Unmarshal implements Detector.
func (d *Deviation) Unmarshal(b []byte) error {
	if len(b) != deviationBytes || b[0] != deviationLayout {
		return ErrState
	}
	word := func(i int) uint64 { return binary.LittleEndian.Uint64(b[4+8*i:]) }
	out := Deviation{
		n:         b[1],
		mean:      math.Float64frombits(word(0)),
		variance:  math.Float64frombits(word(1)),
		magnitude: math.Float64frombits(word(2)),
		hold:      hold{raised: b[2] == 1, quiet: b[3], loud: int64(word(3))},
	}
	if b[2] > 1 || !out.possible() {
		return ErrState
	}
	*d = out
	return nil
}

// possible reports whether the numbers are within what Observe can lead to; NaN is not.
func (d *Deviation) possible() bool {
	return d.n <= 1/gain && d.hold.quiet <= holdReadings &&
		math.Abs(d.mean) <= 2*largest && // rounding may pass the limit itself
		d.variance >= 0 && d.variance <= 4*largest*largest &&
		d.magnitude >= 0 && d.magnitude <= 2*largest
}
