package wire

import "math"

// nameField reads the name of a device or metric. guess is a name that is likely, or empty.
func (d *Decoder) nameField(names *interner, guess string, wrongType verdict) (string, verdict, bool) {
	s := &d.scan
	switch s.peek() {
	case '"':
		raw, ok := s.str()
		if !ok {
			return "", absent, false
		}
		if guess != "" && string(raw) == guess {
			return guess, good, true
		}
		name, verdict := names.get(raw)
		return name, verdict, true
	case 'n':
		return "", absent, s.literal("null")
	}
	return "", wrongType, s.skip()
}

// sessionField reads the session of an envelope.
func (d *Decoder) sessionField() bool {
	d.top.session, d.top.sessionName = sessionInvalid, ""
	switch d.scan.peek() {
	case '"':
		raw, ok := d.scan.str()
		if ok && len(raw) > 0 && len(raw) <= MaxSessionBytes {
			d.top.session = good
			d.top.sessionName = d.sessionString(raw)
		}
		return ok
	case 'n':
		d.top.session = absent
		return d.scan.literal("null")
	}
	return d.scan.skip()
}

// sessionString reuses the string of the frame before, whose session is nearly always the same.
func (d *Decoder) sessionString(raw []byte) string {
	if string(raw) == d.frame.Session {
		return d.frame.Session
	}
	return string(raw)
}

// seqField reads the sequence number of an envelope.
func (d *Decoder) seqField() bool {
	d.top.seq, d.top.seqNumber = seqInvalid, 0
	switch c := d.scan.peek(); {
	case c == 'n':
		d.top.seq = absent
		return d.scan.literal("null")
	case !isDigit(c):
		return d.scan.skip()
	}
	n, ok := d.scan.number()
	if ok && n.whole && !n.cut && n.mantissa <= math.MaxInt64 {
		d.top.seq, d.top.seqNumber = good, n.mantissa
	}
	return ok
}

// backlogField reads whether a frame is of the past.
func (d *Decoder) backlogField() bool {
	t := &d.top
	t.backlog, t.isBacklog = good, false
	switch d.scan.peek() {
	case 't':
		t.isBacklog = true
		return d.scan.literal("true")
	case 'f':
		return d.scan.literal("false")
	case 'n':
		t.backlog = absent
		return d.scan.literal("null")
	}
	t.backlog = backlogType
	return d.scan.skip()
}

// unitField reads the unit of a frame's times. It holds for those that follow; decode looks after those before.
func (d *Decoder) unitField() bool {
	t := &d.top
	t.unit = unitUnknown
	switch d.scan.peek() {
	case '"':
		raw, ok := d.scan.str()
		if t.timeUnit = unitOf(raw); t.timeUnit != UnitAuto {
			t.unit = good
		}
		if !d.unitFixed && t.unit == good && len(d.items) == 0 && t.own.verdicts[fieldTime] == absent {
			d.unit = t.timeUnit
		}
		return ok
	case 'n':
		t.unit = absent
		return d.scan.literal("null")
	}
	return d.scan.skip()
}

// valueField reads the value of a reading.
func (d *Decoder) valueField() (float64, verdict, bool) {
	if d.opts.Labels != nil && d.scan.peek() == '"' {
		raw, ok := d.scan.str()
		if !ok {
			return 0, absent, false
		}
		number, v := d.text(raw)
		return number, v, true
	}
	return d.scan.readingValue()
}

// readingValue reads a reading's value: a number, or a boolean as 0 or 1. The words that some encoders
// write for values that are not finite are not JSON, but cost only their own reading.
func (s *scanner) readingValue() (float64, verdict, bool) {
	switch c := s.peek(); c {
	case 't':
		return 1, good, s.literal("true")
	case 'f':
		return 0, good, s.literal("false")
	case 'N':
		return 0, valueNotFinite, s.literal("NaN")
	case 'I':
		return 0, valueNotFinite, s.literal("Infinity")
	case '"', '{', '[', 'n':
		return 0, valueType, s.skip()
	case '-':
		if s.pos+1 < len(s.data) && s.data[s.pos+1] == 'I' {
			return 0, valueNotFinite, s.literal("-Infinity")
		}
	}
	n, ok := s.number()
	if !ok {
		return 0, absent, false
	}
	if n.whole && (n.cut || n.mantissa > maxExactInt) {
		return 0, valueUnsafe, true
	}
	f, finite := s.float(n)
	if !finite {
		return 0, valueNotFinite, true
	}
	return f, good, true
}
