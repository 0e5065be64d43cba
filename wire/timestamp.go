package wire

import "math"

// timestamp reads a source time in microseconds: an RFC 3339 string, or a number in unit. With UnitAuto the unit
// follows from its magnitude: below 1e11 seconds, below 1e14 milliseconds, below 1e17 microseconds, else
// nanoseconds. Digits below the microsecond are cut off.
func (s *scanner) timestamp(unit TimeUnit) (int64, verdict, bool) {
	switch s.peek() {
	case '"':
		raw, ok := s.str()
		if !ok {
			return 0, absent, false
		}
		t, ok := parseRFC3339(raw)
		return t, timeVerdict(t, ok), true
	case 'n':
		return 0, absent, s.literal("null")
	case 't', 'f', '{', '[':
		return 0, timeType, s.skip()
	}
	n, ok := s.number()
	if !ok {
		return 0, absent, false
	}
	t, ok := s.micros(n, unit)
	return t, timeVerdict(t, ok), true
}

// timeVerdict refuses times so far in the past that their microseconds are not exact in JavaScript. Those
// far in the future are refused against the clock.
func timeVerdict(t int64, ok bool) verdict {
	if !ok || t < -maxExactInt {
		return timeInvalid
	}
	return good
}

// micros converts a number in unit to microseconds.
func (s *scanner) micros(n number, unit TimeUnit) (int64, bool) {
	// The power of ten from the number's unit to microseconds.
	f, finite := s.float(n)
	var shift int
	switch abs := math.Abs(f); {
	case !finite:
		return 0, false
	case unit != UnitAuto:
		shift = unit.shift()
	case abs < 1e11:
		shift = 6
	case abs < 1e14:
		shift = 3
	case abs < 1e17:
		shift = 0
	default:
		shift = -3
	}
	t, ok := n.scale(shift)
	if n.cut {
		// More digits than a time can need; the value is rounded to a float64 first.
		f = math.Abs(f) * math.Pow10(shift)
		t, ok = int64(f), f < math.MaxInt64
	}
	if n.negative {
		t = -t
	}
	return t, ok
}

// scale is |n|·10^shift cut off at the decimal point; ok is false if it does not fit.
func (n number) scale(shift int) (t int64, ok bool) {
	m := n.mantissa
	e := int(n.exponent) + shift
	for ; e < 0 && m > 0; e++ {
		m /= 10
	}
	for ; e > 0 && m > 0; e-- {
		if m > math.MaxInt64/10 {
			return 0, false
		}
		m *= 10
	}
	return int64(m), m <= math.MaxInt64
}
