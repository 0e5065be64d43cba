package wire

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// str reads a string, at its quote. The result is part of the input, or of scratch when the string has
// escapes, and is valid until the next string is read.
func (s *scanner) str() ([]byte, bool) {
	s.pos++
	start, ascii := s.pos, true
	for s.pos < len(s.data) {
		// Eight bytes at a time: the high bit of a byte of special is set if it is a quote, a backslash,
		// a control character or not ASCII (or follows such a byte; only the first counts).
		if len(s.data)-s.pos >= 8 {
			w := binary.LittleEndian.Uint64(s.data[s.pos:])
			special := hasZero(w^0x2222222222222222) | hasZero(w^0x5c5c5c5c5c5c5c5c) |
				((w - 0x2020202020202020) &^ w & highBits) | w&highBits
			if special == 0 {
				s.pos += 8
				continue
			}
			s.pos += bits.TrailingZeros64(special) / 8
		}
		switch c := s.data[s.pos]; {
		case c == '"':
			raw := s.data[start:s.pos]
			if !ascii && !utf8.Valid(raw) {
				return nil, s.fail(CodeJSONUTF8, "a string is not valid UTF-8")
			}
			s.pos++
			return raw, true
		case c == '\\':
			return s.unescape(start)
		case c < 0x20:
			return nil, s.fail(CodeJSONSyntax, "a control character in a string")
		case c >= utf8.RuneSelf:
			ascii = false
			for s.pos < len(s.data) && s.data[s.pos] >= utf8.RuneSelf {
				s.pos++
			}
		default:
			s.pos++
		}
	}
	return nil, s.fail(CodeJSONSyntax, "a string without end")
}

const highBits = 0x8080808080808080

// hasZero sets the high bit of the first byte of w that is zero (and perhaps of later ones).
func hasZero(w uint64) uint64 { return (w - 0x0101010101010101) &^ w & highBits }

// unescape reads the rest of a string that began at start, from its first backslash, into scratch.
func (s *scanner) unescape(start int) ([]byte, bool) {
	out := s.scratch[:0]
	out = append(out, s.data[start:s.pos]...)
	for s.pos < len(s.data) {
		c := s.data[s.pos]
		switch {
		case c == '"':
			s.scratch = out
			if !utf8.Valid(out) {
				return nil, s.fail(CodeJSONUTF8, "a string is not valid UTF-8")
			}
			s.pos++
			return out, true
		case c < 0x20:
			return nil, s.fail(CodeJSONSyntax, "a control character in a string")
		case c != '\\':
			out = append(out, c)
			s.pos++
		default:
			var ok bool
			if out, ok = s.escape(out); !ok {
				return nil, false
			}
		}
	}
	return nil, s.fail(CodeJSONSyntax, "a string without end")
}

// escape decodes one escape sequence, at its backslash.
func (s *scanner) escape(out []byte) ([]byte, bool) {
	if s.pos+1 >= len(s.data) {
		return nil, s.fail(CodeJSONSyntax, "a string without end")
	}
	c := s.data[s.pos+1]
	switch c {
	case '"', '\\', '/':
	case 'b':
		c = '\b'
	case 'f':
		c = '\f'
	case 'n':
		c = '\n'
	case 'r':
		c = '\r'
	case 't':
		c = '\t'
	case 'u':
		return s.escapeUnicode(out)
	default:
		return nil, s.fail(CodeJSONSyntax, "an unknown escape in a string")
	}
	s.pos += 2
	return append(out, c), true
}

// escapeUnicode decodes \uXXXX and surrogate pairs; a surrogate without its partner becomes U+FFFD, as
// encoding/json has it.
func (s *scanner) escapeUnicode(out []byte) ([]byte, bool) {
	r, ok := s.hex4(s.pos)
	if !ok {
		return nil, s.fail(CodeJSONSyntax, "\\u without four hexadecimal digits")
	}
	s.pos += 6
	if r >= 0xd800 && r < 0xe000 {
		low, ok := s.hex4(s.pos)
		if r < 0xdc00 && ok && low >= 0xdc00 && low < 0xe000 {
			s.pos += 6
			r = (r-0xd800)<<10 | (low - 0xdc00) + 0x10000
		} else {
			r = utf8.RuneError
		}
	}
	return utf8.AppendRune(out, r), true
}

// hex4 reads \uXXXX at position i.
func (s *scanner) hex4(i int) (rune, bool) {
	if len(s.data)-i < 6 || s.data[i] != '\\' || s.data[i+1] != 'u' {
		return 0, false
	}
	var r rune
	for _, c := range s.data[i+2 : i+6] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}
