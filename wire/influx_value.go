package wire

import (
	"bytes"
	"math"
	"strconv"
	"strings"
)

// fieldValue reads the value of a field; ok is false if it is none.
func (d *influxDecoder) fieldValue(it *item) (ok bool) {
	s := &d.scan
	if s.pos >= len(s.data) {
		return false
	}
	verdict := &it.verdicts[fieldValue]
	switch c := s.data[s.pos]; {
	case c == '"':
		raw, ok := d.quoted()
		if ok {
			it.value, *verdict = d.text(raw)
		}
		return ok
	case isDigit(c) || c == '-':
		start := s.pos
		if n, ok := s.number(); ok && d.number(it, n) {
			return true
		}
		s.pos = start
	}
	word := d.word()
	switch string(word) {
	case "t", "T", "true", "True", "TRUE":
		it.value, *verdict = 1, good
		return true
	case "f", "F", "false", "False", "FALSE":
		it.value, *verdict = 0, good
		return true
	}
	it.value, *verdict = unusualNumber(word)
	return *verdict != syntaxInvalid
}

// number takes over a number in its usual form; ok is false if something else than the value's end follows.
func (d *influxDecoder) number(it *item, n number) (ok bool) {
	s := &d.scan
	verdict := &it.verdicts[fieldValue]
	if s.pos < len(s.data) && (s.data[s.pos] == 'i' || s.data[s.pos] == 'u') {
		unsigned := s.data[s.pos] == 'u'
		s.pos++
		if !d.atEnd() || !n.whole || n.negative && unsigned {
			return false
		}
		if n.cut || n.mantissa > maxExactInt {
			*verdict = valueUnsafe
			return true
		}
		it.value, *verdict = float64(n.mantissa), good
		if n.negative {
			it.value = -it.value
		}
		return true
	}
	if !d.atEnd() {
		return false
	}
	// A number without i is a float, so that its digits are no count that could lose some.
	value, finite := s.float(n)
	if *verdict = good; !finite {
		*verdict = valueNotFinite
	}
	it.value = value
	return true
}

// atEnd reports whether a value ends here.
func (d *influxDecoder) atEnd() bool {
	s := &d.scan
	return s.pos >= len(s.data) || endsValue(s.data[s.pos])
}

func endsValue(c byte) bool { return c == ',' || c == ' ' || c == '\n' || c == '\r' }

// word reads up to the end of a value.
func (d *influxDecoder) word() []byte {
	s := &d.scan
	start := s.pos
	for !d.atEnd() {
		s.pos++
	}
	return s.data[start:s.pos]
}

// unusualNumber reads a number as InfluxDB takes it and JSON has it not, such as +1, 1. or 007i.
func unusualNumber(word []byte) (float64, verdict) {
	text := string(word)
	if len(text) > 400 || strings.ContainsAny(text, "xX_") {
		return 0, syntaxInvalid
	}
	if last := len(text) - 1; last > 0 && (text[last] == 'i' || text[last] == 'u') {
		if value, err := strconv.ParseInt(text[:last], 10, 64); err == nil && (value >= 0 || text[last] == 'i') {
			if value > maxExactInt || value < -maxExactInt {
				return 0, valueUnsafe
			}
			return float64(value), good
		}
		return 0, syntaxInvalid
	}
	value, err := strconv.ParseFloat(text, 64)
	switch {
	case math.IsInf(value, 0) || math.IsNaN(value):
		return 0, valueNotFinite
	case err != nil:
		return 0, syntaxInvalid
	}
	return value, good
}

// quoted reads a value in quotes. It may go over several lines.
func (d *influxDecoder) quoted() ([]byte, bool) {
	s := &d.scan
	start, escaped := s.pos+1, false
	for i := start; i < len(s.data); i++ {
		switch s.data[i] {
		case '\\':
			escaped = true
			i++
		case '\n':
			d.line++
		case '"':
			s.pos = i + 1
			if raw := s.data[start:i]; !escaped || d.opts.Labels == nil {
				return raw, d.atEnd()
			}
			s.scratch = appendUnescaped(s.scratch[:0], s.data[start:i], `"\`)
			return s.scratch, d.atEnd()
		}
	}
	return nil, false
}

// appendUnescaped appends raw without the backslashes before the characters in special.
func appendUnescaped(dst, raw []byte, special string) []byte {
	for i := 0; i < len(raw); i++ {
		if raw[i] == '\\' && i+1 < len(raw) && strings.IndexByte(special, raw[i+1]) >= 0 {
			i++
		}
		dst = append(dst, raw[i])
	}
	return dst
}

// influxSyntax reads the names of the line protocol.
type influxSyntax struct{}

// escapable is what a backslash may stand before in a name.
const escapable = ", ="

func unescapeName(raw []byte) string {
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw)
	}
	return string(appendUnescaped(nil, raw, escapable))
}

func (influxSyntax) readField(raw []byte) string { return unescapeName(raw) }

func (influxSyntax) readSeries(key []byte, n *names) bool {
	n.tags = n.tags[:0]
	measurement, rest := cutName(key, ',')
	if len(measurement) == 0 {
		return false
	}
	n.measurement = unescapeName(measurement)
	for len(rest) > 0 {
		var pair []byte
		pair, rest = cutName(rest[1:], ',')
		name, value := cutName(pair, '=')
		if len(name) == 0 || len(value) < 2 {
			return false
		}
		n.tags = append(n.tags, tag{key: unescapeName(name), value: unescapeName(value[1:])})
	}
	sortTags(n.tags)
	return true
}

// cutName divides b at the first separator without a backslash before it; the separator begins what is after.
func cutName(b []byte, separator byte) (before, after []byte) {
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case separator:
			return b[:i], b[i:]
		}
	}
	return b, nil
}
