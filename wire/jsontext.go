package wire

import (
	"math"
	"strconv"
	"unicode/utf8"
)

const hexDigits = "0123456789abcdef"

// appendString appends s as a JSON string. Invalid UTF-8 becomes U+FFFD.
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			if r != utf8.RuneError || size > 1 {
				i += size
				continue
			}
			dst = append(dst, s[start:i]...)
			dst = append(dst, "\ufffd"...)
			i++
			start = i
			continue
		}
		dst = append(dst, s[start:i]...)
		dst = appendEscape(dst, c)
		i++
		start = i
	}
	dst = append(dst, s[start:]...)
	return append(dst, '"')
}

func appendEscape(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	}
	return append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
}

// decimalUnit says how many decimals appendFloat looks for before it asks strconv for the shortest form.
// maxExact bounds the scaled value: below it every decimal of that many digits is the shortest form of the
// float64 it parses to.
const (
	decimalUnit = 1_000_000
	maxExact    = 1e15
)

// appendFloat appends the JSON number of fewest digits that parses to f, and null for NaN and the infinities.
// Values with few decimals, as sensors have them, take a short cut with the same result.
func appendFloat(dst []byte, f float64) []byte {
	if whole := math.Trunc(f); whole == f && math.Abs(f) < maxExact {
		return appendDecimal(dst, int64(f), 0, math.Signbit(f))
	}
	if scaled := math.RoundToEven(f * decimalUnit); math.Abs(scaled) < maxExact && scaled/decimalUnit == f {
		n := int64(scaled)
		return appendDecimal(dst, n/decimalUnit, n%decimalUnit, math.Signbit(f))
	}
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return append(dst, "null"...)
	}
	format := byte('f')
	if abs := math.Abs(f); abs < 1e-6 || abs >= 1e21 {
		format = 'e'
	}
	return strconv.AppendFloat(dst, f, format, -1, 64)
}

// appendDecimal appends whole + fraction/decimalUnit without trailing zeros. The sign of both is that of
// the number; negative says so for zero too.
func appendDecimal(dst []byte, whole, fraction int64, negative bool) []byte {
	if negative {
		dst = append(dst, '-')
		whole, fraction = -whole, -fraction
	}
	dst = strconv.AppendInt(dst, whole, 10)
	if fraction == 0 {
		return dst
	}
	dst = append(dst, '.')
	for unit := int64(decimalUnit / 10); fraction > 0; unit /= 10 {
		dst = append(dst, byte('0'+fraction/unit))
		fraction %= unit
	}
	return dst
}
