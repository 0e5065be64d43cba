package window

import (
	"encoding/binary"
	"errors"
	"math"
)

// ErrState is returned by Unmarshal for bytes that the type did not write, or wrote under another
// configuration.
var ErrState = errors.New("window: malformed state")

func appendFloat(dst []byte, f float64) []byte {
	return binary.LittleEndian.AppendUint64(dst, math.Float64bits(f))
}

// reader takes numbers off the front of b; bad stays set once one is missing.
type reader struct {
	b   []byte
	bad bool
}

// done reports whether everything was there and nothing is left.
func (r *reader) done() bool { return !r.bad && len(r.b) == 0 }

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.skip(0)
		return 0
	}
	v := r.b[0]
	r.skip(1)
	return v
}

func (r *reader) uint32() uint32 {
	if len(r.b) < 4 {
		r.skip(0)
		return 0
	}
	v := binary.LittleEndian.Uint32(r.b)
	r.skip(4)
	return v
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	r.skip(n)
	return v
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.b)
	r.skip(n)
	return v
}

func (r *reader) float() float64 {
	if len(r.b) < 8 {
		r.skip(0)
		return 0
	}
	v := math.Float64frombits(binary.LittleEndian.Uint64(r.b))
	r.skip(8)
	return v
}

// finite reads a float64 that must be a finite number.
func (r *reader) finite() float64 {
	v := r.float()
	if math.IsNaN(v) || math.IsInf(v, 0) {
		r.skip(0)
		return 0
	}
	return v
}

// skip drops n bytes; n ≤ 0 says that no number was there.
func (r *reader) skip(n int) {
	if n <= 0 {
		r.bad, r.b = true, nil
		return
	}
	r.b = r.b[n:]
}
