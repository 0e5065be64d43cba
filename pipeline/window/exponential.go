package window

import (
	"encoding/binary"
	"math"
)

// exponential is a moving average that forgets with a time constant:
//
//	y += (1 − exp(−Δt/τ))·(v − y)
//
// with Δt the source time since the reading before. So a reading weighs by the time that passed, whatever
// the rate, and a sensor that reports twice as often has the same average. The first reading is the first
// average; one that is not newer than the one before has no weight.
type exponential struct {
	y     float64
	last  int64 // source time (µs) of the newest reading
	begun bool
}

// add takes the finite reading v at t (µs), with the time constant tau (µs).
func (e *exponential) add(t int64, v float64, tau int64) float64 {
	switch {
	case !e.begun:
		*e = exponential{y: v, last: t, begun: true}
	case t > e.last:
		gain := -math.Expm1(-float64(uint64(t-e.last)) / float64(tau))
		e.y = gain*v + (1-gain)*e.y // cannot overflow, as the difference of two readings can
		e.last = t
	}
	return e.value()
}

// value is the average, or NaN when there is none.
func (e *exponential) value() float64 {
	if !e.begun {
		return math.NaN()
	}
	return e.y
}

func (e *exponential) marshalAppend(dst []byte) []byte {
	if !e.begun {
		return dst
	}
	return binary.AppendVarint(appendFloat(dst, e.y), e.last)
}

func (e *exponential) unmarshal(r *reader) {
	if len(r.b) == 0 {
		*e = exponential{}
		return
	}
	*e = exponential{y: r.finite(), last: r.varint(), begun: true}
}
