package wire

import "math"

// object calls field for each field of the object that follows.
func (s *scanner) object(field func(name []byte) bool) bool {
	if s.peek() != '{' {
		return s.fail(CodeFieldType, "no object")
	}
	if !s.open() {
		return false
	}
	for first := true; ; first = false {
		more, ok := s.more(first, '}')
		if !more {
			return ok
		}
		name, ok := s.key()
		if !ok || !field(name) {
			return false
		}
	}
}

// raw reads past a value and returns its text.
func (s *scanner) raw() ([]byte, bool) {
	s.peek()
	start := s.pos
	if !s.skip() {
		return nil, false
	}
	return s.data[start:s.pos], true
}

// integer reads a whole number.
func (s *scanner) integer() (int64, bool) {
	s.peek()
	n, ok := s.number()
	if !ok {
		return 0, false
	}
	i, ok := n.integer()
	if !ok {
		return 0, s.fail(CodeFieldType, "a number is not whole")
	}
	return i, true
}

// integer is n as an int64, and 0 for null.
func (n number) integer() (int64, bool) {
	if n.end == 0 {
		return 0, true
	}
	limit := uint64(math.MaxInt64)
	if n.negative {
		limit++
	}
	if !n.whole || n.cut || n.mantissa > limit {
		return 0, false
	}
	if n.negative {
		return -int64(n.mantissa), true
	}
	return int64(n.mantissa), true
}

// orNaN is n as a float64, and NaN for null.
func (s *scanner) orNaN(n number) float64 {
	if n.end == 0 {
		return math.NaN()
	}
	f, _ := s.float(n)
	return f
}
