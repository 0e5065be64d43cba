package wire

import (
	"math"
	"strconv"
)

// number is a JSON number as written: ±mantissa × 10^exponent.
type number struct {
	text     []byte
	mantissa uint64
	exponent int
	negative bool
	// whole: written without fraction and exponent.
	whole bool
	// cut: the mantissa has more digits than fit and is wrong.
	cut bool
}

// maxMantissa is the largest mantissa that one more digit cannot overflow.
const maxMantissa = (math.MaxUint64 - 9) / 10

// maxExponent bounds the exponent while it is read; beyond it a number is 0 or infinite whatever its
// mantissa in a frame of at most 1 MiB.
const maxExponent = 1 << 24

// number reads a number.
func (s *scanner) number() (number, bool) {
	n := number{whole: true}
	start := s.pos
	data := s.data
	i := start
	if i < len(data) && data[i] == '-' {
		n.negative = true
		i++
	}
	first := i
	for i < len(data) && isDigit(data[i]) {
		n.push(data[i], 0)
		i++
	}
	switch {
	case i == first:
		s.pos = i
		if i == start {
			return n, s.fail(CodeJSONSyntax, "a value is missing")
		}
		return n, s.fail(CodeJSONSyntax, "a number without digits")
	case data[first] == '0' && i-first > 1:
		s.pos = first + 1
		return n, s.fail(CodeJSONSyntax, "a number with a leading zero")
	}
	if i < len(data) && data[i] == '.' {
		n.whole = false
		i++
		first = i
		for i < len(data) && isDigit(data[i]) {
			n.push(data[i], 1)
			i++
		}
		if i == first {
			s.pos = i
			return n, s.fail(CodeJSONSyntax, "a decimal point without digits")
		}
	}
	s.pos = i
	if i < len(data) && data[i]|0x20 == 'e' && !s.exponent(&n) {
		return n, false
	}
	n.text = data[start:s.pos]
	return n, true
}

// push appends a digit to the mantissa; decimals is 1 behind the decimal point.
func (n *number) push(c byte, decimals int) {
	if n.mantissa <= maxMantissa && !n.cut {
		n.mantissa = n.mantissa*10 + uint64(c-'0')
		n.exponent -= decimals
		return
	}
	n.cut = true
}

// exponent reads the exponent of n, at its e.
func (s *scanner) exponent(n *number) bool {
	n.whole = false
	s.pos++
	negative := false
	if s.pos < len(s.data) && (s.data[s.pos] == '+' || s.data[s.pos] == '-') {
		negative = s.data[s.pos] == '-'
		s.pos++
	}
	first, e := s.pos, 0
	for s.pos < len(s.data) && isDigit(s.data[s.pos]) {
		if e < maxExponent {
			e = e*10 + int(s.data[s.pos]-'0')
		}
		s.pos++
	}
	if s.pos == first {
		return s.fail(CodeJSONSyntax, "an exponent without digits")
	}
	if negative {
		e = -e
	}
	n.exponent += e
	return true
}

func isDigit(c byte) bool { return c-'0' <= 9 }

// exactPowers are the powers of ten that a float64 holds exactly.
var exactPowers = [...]float64{
	1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
	1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
}

// maxExactInt is the largest number up to which float64 holds every integer: 2^53.
const maxExactInt = 1 << 53

// float converts n, correctly rounded. finite is false when it is beyond float64.
func (n *number) float() (f float64, finite bool) {
	// Both operands are exact, so IEEE 754 rounds the one operation correctly (Clinger 1990).
	if !n.cut && n.mantissa <= maxExactInt && n.exponent >= -22 && n.exponent <= 22 {
		f = float64(n.mantissa)
		if n.exponent < 0 {
			f /= exactPowers[-n.exponent]
		} else {
			f *= exactPowers[n.exponent]
		}
		if n.negative {
			f = -f
		}
		return f, true
	}
	f, err := strconv.ParseFloat(string(n.text), 64)
	return f, err == nil
}
