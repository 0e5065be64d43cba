package rule

import (
	"encoding/binary"
	"math"

	"weir/telemetry"
)

// maxText is more than any text in a state is long.
const maxText = 2048

// reader takes values off the front of b; bad stays set once one is missing or impossible, and all that follow are
// zero.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) refuse(impossible bool) {
	if impossible {
		r.bad, r.b = true, nil
	}
}

// take is the first n bytes, or as many zeros.
func (r *reader) take(n int) []byte {
	if n < 0 || n > len(r.b) {
		r.refuse(true)
		return nil
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	// A longer way to write the same number is not ours.
	if n <= 0 || n > 1 && r.b[n-1] == 0 {
		r.refuse(true)
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) varint() int64 {
	u := r.uvarint()
	return int64(u>>1) ^ -int64(u&1)
}

// atMost is a uvarint that must not exceed n.
func (r *reader) atMost(n uint64) uint64 {
	v := r.uvarint()
	if v > n {
		r.refuse(true)
		return 0
	}
	return v
}

func (r *reader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) word() uint64 {
	if b := r.take(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

func (r *reader) float() float64 { return math.Float64frombits(r.word()) }

func (r *reader) text() string { return string(r.take(int(r.atMost(maxText)))) }

func (r *reader) note() telemetry.Note {
	return telemetry.Note{By: r.text(), Time: r.varint(), Text: r.text()}
}
