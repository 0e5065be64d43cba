package wire

import (
	"encoding/binary"
	"strconv"
)

// number is a JSON number as written, ±mantissa × 10^exponent. It is small, to be passed in registers.
type number struct {
	mantissa uint64
	exponent int32
	negative bool
	// whole: written without fraction and exponent.
	whole bool
	// cut: there are more digits than mantissa can hold; it is wrong.
	cut bool
	// The number is data[start:end] of the scanner's; end is 0 for no number.
	start, end uint32
}

// maxDigits is how many digits fit a mantissa whatever they are.
const maxDigits = 19

// maxExponent bounds the exponent while it is read; beyond it a number is 0 or infinite whatever its
// mantissa in a frame of at most 1 MiB.
const maxExponent = 1 << 24

// number reads a number.
func (s *scanner) number() (number, bool) {
	data, start := s.data, s.pos
	i := start
	negative := i < len(data) && data[i] == '-'
	if negative {
		i++
	}
	first, mantissa := i, uint64(0)
	if len(data)-i >= 8 {
		if eight, ok := eightDigits(binary.LittleEndian.Uint64(data[i:])); ok {
			mantissa = eight
			i += 8
		}
	}
	for ; i < len(data) && isDigit(data[i]); i++ {
		mantissa = mantissa*10 + uint64(data[i]-'0')
	}
	count := i - first
	if count == 0 || data[first] == '0' && count > 1 {
		return number{}, s.failInteger(first, count)
	}
	decimals, whole := 0, true
	if i < len(data) && data[i] == '.' {
		whole = false
		i++
		fraction := i
		for ; i < len(data) && isDigit(data[i]); i++ {
			mantissa = mantissa*10 + uint64(data[i]-'0')
		}
		if decimals = i - fraction; decimals == 0 {
			s.pos = i
			return number{}, s.fail(CodeJSONSyntax, "a decimal point without digits")
		}
	}
	s.pos = i
	exponent := -decimals
	if i < len(data) && data[i]|0x20 == 'e' {
		written, ok := s.exponent()
		if !ok {
			return number{}, false
		}
		exponent += written
		whole = false
	}
	return number{
		mantissa: mantissa, exponent: int32(exponent), negative: negative, whole: whole,
		cut: count+decimals > maxDigits, start: uint32(start), end: uint32(s.pos),
	}, true
}

// eightDigits is the number that eight decimal digits in little-endian order stand for, if w holds digits
// only: neighbours are combined to pairs, pairs to fours, fours to eight.
func eightDigits(w uint64) (uint64, bool) {
	const zeros, high = 0x3030303030303030, 0xf0f0f0f0f0f0f0f0
	if w&high != zeros || (w+0x0606060606060606)&high != zeros {
		return 0, false
	}
	w -= zeros
	w = w*10 + w>>8
	const pairs = 0x000000ff000000ff
	return (w&pairs*(100+1_000_000<<32) + w>>16&pairs*(1+10_000<<32)) >> 32, true
}

// failInteger tells what is wrong with the integer part, count digits from first.
func (s *scanner) failInteger(first, count int) bool {
	if count > 1 {
		s.pos = first + 1
		return s.fail(CodeJSONSyntax, "a number with a leading zero")
	}
	if s.pos == first {
		return s.fail(CodeJSONSyntax, "a value is missing")
	}
	s.pos = first
	return s.fail(CodeJSONSyntax, "a number without digits")
}

// exponent reads an exponent, at its e.
func (s *scanner) exponent() (int, bool) {
	s.pos++
	sign := 1
	if s.pos < len(s.data) && (s.data[s.pos] == '+' || s.data[s.pos] == '-') {
		if s.data[s.pos] == '-' {
			sign = -1
		}
		s.pos++
	}
	first, written := s.pos, 0
	for s.pos < len(s.data) && isDigit(s.data[s.pos]) {
		if written < maxExponent {
			written = written*10 + int(s.data[s.pos]-'0')
		}
		s.pos++
	}
	if s.pos == first {
		return 0, s.fail(CodeJSONSyntax, "an exponent without digits")
	}
	return sign * written, true
}

func isDigit(c byte) bool { return c-'0' <= 9 }

// exactPowers are the powers of ten that a float64 holds exactly.
var exactPowers = [...]float64{
	1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
	1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
}

// maxExactInt is the largest number up to which float64 holds every integer: 2^53.
const maxExactInt = 1 << 53

// float converts a number, correctly rounded. finite is false when it is beyond float64.
func (s *scanner) float(n number) (f float64, finite bool) {
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
	f, err := strconv.ParseFloat(string(s.data[n.start:n.end]), 64)
	return f, err == nil
}
