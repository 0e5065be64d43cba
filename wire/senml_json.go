package wire

// senmlJSONDecoder reads SenML in JSON.
type senmlJSONDecoder struct {
	senmlCore
	scan scanner
}

// Inlined, it would make the stack of every connection larger that may use it.
//
//go:noinline
func newSenMLJSONDecoder(opts DecoderOptions) *senmlJSONDecoder {
	return &senmlJSONDecoder{senmlCore: newSenMLCore(opts)}
}

func (d *senmlJSONDecoder) Decode(frame []byte) (*Frame, error) {
	d.Release()
	d.beginPack(len(frame))
	d.scan.reset(frame)
	ok := d.pack() && d.scan.end()
	d.scan.data = nil
	if !ok && d.err == nil {
		d.err = d.scan.failure()
		if d.record > 0 || d.scan.depth > 0 {
			d.err.Path = d.place(d.record, "")
		}
	}
	return d.finishPack()
}

func (d *senmlJSONDecoder) Release() {
	d.release()
	if cap(d.scan.scratch) > keepScratch {
		d.scan.scratch = nil
	}
}

func (d *senmlJSONDecoder) pack() bool {
	s := &d.scan
	switch c := s.peek(); {
	case c == 0 && s.pos >= len(s.data):
		return s.fail(CodeFrameEmpty, "the frame holds nothing")
	case c != '[':
		return s.skip() && s.fail(CodeFormatSyntax, "a SenML pack is an array")
	}
	if !s.open() {
		return false
	}
	for first := true; ; first = false {
		more, ok := s.more(first, ']')
		if !more {
			return ok
		}
		if s.peek() != '{' {
			ok = s.skip() && d.notRecord()
		} else {
			ok = d.readRecord() && d.endRecord()
		}
		if !ok {
			return false
		}
	}
}

func (d *senmlJSONDecoder) readRecord() bool {
	s := &d.scan
	if !s.open() {
		return false
	}
	for first := true; ; first = false {
		more, ok := s.more(first, '}')
		if !more {
			return ok
		}
		name, ok := s.key()
		if !ok {
			return false
		}
		l := senmlLabelOf(name)
		if l == senmlNone {
			if !d.unknown(name) || !s.skip() {
				return false
			}
			continue
		}
		if !d.meet(l) || !d.field(l) {
			return false
		}
	}
}

// field reads the value of a field.
func (d *senmlJSONDecoder) field(l senmlLabel) bool {
	s := &d.scan
	c := s.peek()
	number := isDigit(c) || c == '-'
	switch bit := uint32(1) << l; {
	case senmlTexts&bit != 0 && c == '"':
		raw, ok := s.str()
		if ok {
			d.setText(l, raw)
		}
		return ok
	case senmlTimes&bit != 0 && number:
		n, ok := s.number()
		if !ok {
			return false
		}
		t, fits := s.micros(n, UnitSeconds)
		return d.setTime(l, t, fits)
	case l == senmlV || senmlNumbers&bit != 0 && number:
		if c == 't' || c == 'f' {
			break
		}
		value, v, ok := s.readingValue()
		return ok && d.setNumber(l, value, v)
	case l == senmlVb && (c == 't' || c == 'f'):
		d.setBool(c == 't')
		return s.skip()
	}
	return s.skip() && d.wrongType(l)
}
