package wire

import "strconv"

// maxDepth bounds how deep arrays and objects may nest.
const maxDepth = 8

// scanner reads JSON text value by value. A method that returns false has recorded why in code, detail and
// pos; nothing can be read after that.
type scanner struct {
	data  []byte
	pos   int
	depth int
	// scratch holds a string whose escapes had to be decoded.
	scratch []byte

	code, detail string
}

func (s *scanner) reset(data []byte) {
	s.data, s.pos, s.depth, s.code, s.detail = data, 0, 0, "", ""
}

func (s *scanner) fail(code, detail string) bool {
	s.code, s.detail = code, detail
	return false
}

// failure is a fail as an Error: a sentence with the place in the input, without a path.
func (s *scanner) failure() *Error {
	return &Error{Code: s.code, Message: s.detail + " at byte " + strconv.Itoa(s.pos)}
}

// peek skips white space and returns the byte that follows, or 0 at the end of the input (a 0 byte in the
// input fits nowhere either).
func (s *scanner) peek() byte {
	for s.pos < len(s.data) {
		switch c := s.data[s.pos]; c {
		case ' ', '\n', '\t', '\r':
			s.pos++
		default:
			return c
		}
	}
	return 0
}

// open enters an array or object, at its bracket.
func (s *scanner) open() bool {
	if s.depth++; s.depth > maxDepth {
		return s.fail(CodeJSONDepth, "nested deeper than 8 levels")
	}
	s.pos++
	return true
}

// close leaves an array or object, at its bracket.
func (s *scanner) close() bool {
	s.pos++
	s.depth--
	return true
}

// more reports whether another element follows: with first, before the first element; otherwise after one.
// At the closing bracket it leaves the array or object. ok is false for anything else.
func (s *scanner) more(first bool, bracket byte) (more, ok bool) {
	c := s.peek()
	if c == bracket {
		return false, s.close()
	}
	if first {
		return true, true
	}
	if c == ',' {
		s.pos++
		return true, true
	}
	return false, s.fail(CodeJSONSyntax, "a comma or closing bracket is missing")
}

// key reads the name of an object's field and the colon after it. The result is valid until the next
// string is read.
func (s *scanner) key() ([]byte, bool) {
	if s.peek() != '"' {
		return nil, s.fail(CodeJSONSyntax, "a field name is missing")
	}
	name, ok := s.str()
	if !ok {
		return nil, false
	}
	if s.peek() != ':' {
		return nil, s.fail(CodeJSONSyntax, "a colon is missing")
	}
	s.pos++
	return name, true
}

// end checks that nothing but white space is left.
func (s *scanner) end() bool {
	if s.peek() != 0 || s.pos < len(s.data) {
		return s.fail(CodeJSONSyntax, "data after the end of the frame")
	}
	return true
}

// literal reads word, whose first byte is the next one.
func (s *scanner) literal(word string) bool {
	if len(s.data)-s.pos < len(word) || string(s.data[s.pos:s.pos+len(word)]) != word {
		return s.fail(CodeJSONSyntax, "an unknown word")
	}
	s.pos += len(word)
	return true
}

// skip reads past one value of any kind.
func (s *scanner) skip() bool {
	switch c := s.peek(); c {
	case '"':
		_, ok := s.str()
		return ok
	case '{':
		return s.skipObject()
	case '[':
		return s.skipArray()
	case 't':
		return s.literal("true")
	case 'f':
		return s.literal("false")
	case 'n':
		return s.literal("null")
	default:
		_, ok := s.number()
		return ok
	}
}

func (s *scanner) skipObject() bool {
	if !s.open() {
		return false
	}
	for first := true; ; first = false {
		more, ok := s.more(first, '}')
		if !more {
			return ok
		}
		if _, ok := s.key(); !ok || !s.skip() {
			return false
		}
	}
}

func (s *scanner) skipArray() bool {
	if !s.open() {
		return false
	}
	for first := true; ; first = false {
		more, ok := s.more(first, ']')
		if !more {
			return ok
		}
		if !s.skip() {
			return false
		}
	}
}
