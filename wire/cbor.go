package wire

import (
	"encoding/binary"
	"math"
	"strconv"
	"unicode/utf8"

	"github.com/fxamacker/cbor/v2"
)

// Major types of CBOR (RFC 8949, 3.1).
const (
	cborUnsigned = iota
	cborNegative
	cborBytes
	cborText
	cborArray
	cborMap
	cborTag
	cborSimple
)

// cborForever is the length of an array or map of which only the end is marked, with cborBreak.
const (
	cborForever = math.MaxUint64
	cborBreak   = 0xff
)

// Bounds of CBOR.
const (
	maxCBORArray = 1 << 17
	maxCBORMap   = 64
)

// cborMode checks that a frame is well-formed and within bounds before a cborReader walks over it.
var cborMode = newCBORMode()

func newCBORMode() cbor.DecMode {
	mode, err := cbor.DecOptions{
		MaxNestedLevels:  maxDepth,
		MaxArrayElements: maxCBORArray,
		MaxMapPairs:      maxCBORMap,
		IndefLength:      cbor.IndefLengthAllowed,
		TagsMd:           cbor.TagsAllowed,
	}.DecMode()
	if err != nil {
		panic(err) // constants only
	}
	return mode
}

// cborReader walks over well-formed CBOR.
type cborReader struct {
	data []byte
	pos  int
}

// head is the beginning of an item: its major type, its low five bits, and its argument.
type cborHead struct {
	major, info byte
	arg         uint64
}

func (r *cborReader) head() cborHead {
	first := r.data[r.pos]
	r.pos++
	h := cborHead{major: first >> 5, info: first & 31}
	switch rest := r.data[r.pos:]; {
	case h.info < 24:
		h.arg = uint64(h.info)
	case h.info == 24:
		h.arg = uint64(rest[0])
		r.pos++
	case h.info == 25:
		h.arg = uint64(binary.BigEndian.Uint16(rest))
		r.pos += 2
	case h.info == 26:
		h.arg = uint64(binary.BigEndian.Uint32(rest))
		r.pos += 4
	case h.info == 27:
		h.arg = binary.BigEndian.Uint64(rest)
		r.pos += 8
	default:
		h.arg = cborForever
	}
	return h
}

// peek is the major type of the next item.
func (r *cborReader) peek() byte { return r.data[r.pos] >> 5 }

// more reports whether another element of an array or map of the given length follows after i.
func (r *cborReader) more(i int, length uint64) bool {
	if length != cborForever {
		return uint64(i) < length
	}
	if r.data[r.pos] == cborBreak {
		r.pos++
		return false
	}
	return true
}

// skip goes past one item; it is well-formed, so that its depth is bounded.
func (r *cborReader) skip() {
	h := r.head()
	switch h.major {
	case cborBytes, cborText:
		if h.arg != cborForever {
			r.pos += int(h.arg)
			return
		}
		for r.more(0, cborForever) {
			r.skip()
		}
	case cborArray:
		for i := 0; r.more(i, h.arg); i++ {
			r.skip()
		}
	case cborMap:
		for i := 0; r.more(i, h.arg); i++ {
			r.skip()
			r.skip()
		}
	case cborTag:
		r.skip()
	}
}

// text reads a text of definite length and valid UTF-8; ok is false for anything else, which it goes past.
func (r *cborReader) text() (raw []byte, ok bool) {
	start := r.pos
	h := r.head()
	if h.major != cborText || h.arg == cborForever {
		r.pos = start
		r.skip()
		return nil, false
	}
	raw = r.data[r.pos : r.pos+int(h.arg)]
	r.pos += int(h.arg)
	return raw, utf8.Valid(raw)
}

// cborNumber is a number: an integer, or a float.
type cborNumber struct {
	mantissa uint64
	negative bool
	integer  bool
	float    float64
}

// number reads a number; ok is false for anything else, which it goes past.
func (r *cborReader) number() (n cborNumber, ok bool) {
	start := r.pos
	h := r.head()
	switch {
	case h.major == cborUnsigned:
		return cborNumber{mantissa: h.arg, integer: true, float: float64(h.arg)}, true
	case h.major == cborNegative:
		// -1 - arg, whose largest value is one less than fits; it is refused all the same.
		m := h.arg + 1
		if m == 0 {
			m--
		}
		return cborNumber{mantissa: m, negative: true, integer: true, float: -1 - float64(h.arg)}, true
	case h.major == cborSimple && h.info == 25:
		return cborNumber{float: float16(uint16(h.arg))}, true
	case h.major == cborSimple && h.info == 26:
		return cborNumber{float: float64(math.Float32frombits(uint32(h.arg)))}, true
	case h.major == cborSimple && h.info == 27:
		return cborNumber{float: math.Float64frombits(h.arg)}, true
	case h.major == cborTag && h.arg == 4:
		if n, ok = r.decimal(); ok {
			return n, true
		}
	}
	r.pos = start
	r.skip()
	return n, false
}

// decimal reads a decimal fraction [exponent, mantissa] (RFC 8949, 3.4.4).
func (r *cborReader) decimal() (n cborNumber, ok bool) {
	if h := r.head(); h.major != cborArray || h.arg != 2 || r.peek() > cborNegative {
		return n, false
	}
	exponent, _ := r.number()
	if r.peek() > cborNegative || exponent.mantissa > maxExponent {
		return n, false
	}
	mantissa, _ := r.number()
	if mantissa.mantissa > maxExactInt {
		return n, false
	}
	text := strconv.FormatFloat(mantissa.float, 'f', 0, 64) + "e" + strconv.Itoa(int(exponent.float))
	value, err := strconv.ParseFloat(text, 64)
	if err != nil {
		value = math.Inf(1)
	}
	return cborNumber{float: value}, true
}

// float16 converts half precision (RFC 8949, appendix D).
func float16(half uint16) float64 {
	exponent, mantissa := int(half>>10&31), float64(half&1023)
	var value float64
	switch exponent {
	case 0:
		value = math.Ldexp(mantissa, -24)
	case 31:
		if value = math.Inf(1); mantissa != 0 {
			value = math.NaN()
		}
	default:
		value = math.Ldexp(mantissa+1024, exponent-25)
	}
	if half&0x8000 != 0 {
		return -value
	}
	return value
}
