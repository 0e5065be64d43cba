package wire

import "slices"

// object reads the outermost object: a reading or, if it has readings, an envelope.
func (d *Decoder) object() bool {
	s := &d.scan
	if !s.open() {
		return false
	}
	for first := true; ; first = false {
		d.at.field = fieldNone
		more, ok := s.more(first, '}')
		if !more {
			return ok
		}
		f, ok := d.field()
		if !ok {
			return false
		}
		switch f {
		case fieldReadings:
			ok = d.readingsField()
		case fieldSession:
			ok = d.sessionField()
		case fieldSeq:
			ok = d.seqField()
		case fieldBacklog:
			ok = d.backlogField()
		case fieldTimeUnit:
			ok = d.unitField()
		case fieldMetrics, fieldFields:
			ok = d.telegrafField(f)
		default:
			ok = d.readField(&d.top.own, f)
		}
		if !ok {
			return false
		}
	}
}

// readingsField reads the readings of an envelope; an earlier field of that name is forgotten.
func (d *Decoder) readingsField() bool {
	d.top.form = formEnvelope
	d.items = d.items[:0]
	if d.scan.peek() != '[' {
		d.top.readings = readingsType
		return d.scan.skip()
	}
	d.top.readings = good
	return d.array()
}

// array reads readings, at the bracket before them.
func (d *Decoder) array() bool {
	s := &d.scan
	if !s.open() {
		return false
	}
	outside := d.at
	for index := 0; ; index++ {
		d.at = place{reading: index, field: fieldNone}
		more, ok := s.more(index == 0, ']')
		if !more {
			if ok {
				d.at = outside
			}
			return ok
		}
		if index == d.opts.MaxReadings {
			d.at = outside
			return s.fail(CodeReadingsTooMany, "one reading too many")
		}
		if !d.reading(d.next(len(s.data))) {
			return false
		}
	}
}

// reading reads an element of an array of readings.
func (d *Decoder) reading(it *item) bool {
	s := &d.scan
	if s.peek() != '{' {
		it.verdicts[fieldDevice] = notReading
		return s.skip()
	}
	if !s.open() {
		return false
	}
	for first := true; ; first = false {
		d.at.field = fieldNone
		more, ok := s.more(first, '}')
		if !more {
			return ok
		}
		f, ok := d.field()
		if !ok || !d.readField(it, f) {
			return false
		}
	}
}

// readField reads the value of a reading's field; of any other, it reads past it.
func (d *Decoder) readField(it *item, f field) (ok bool) {
	switch f {
	case fieldMetric:
		it.metric, it.verdicts[f], ok = d.nameField(&d.metrics, it.metric, metricType)
	case fieldTime:
		it.time, it.verdicts[f], ok = d.scan.timestamp(d.unit)
	case fieldValue:
		it.value, it.verdicts[f], ok = d.valueField()
	case fieldDevice:
		it.device, it.verdicts[f], ok = d.nameField(&d.devices, it.device, deviceType)
	case fieldFields:
		ok = d.telegrafElement()
	default:
		ok = d.scan.skip()
	}
	return ok
}

// field reads the name of a field and the colon behind it, and notes that the scanner is there.
func (d *Decoder) field() (field, bool) {
	f := d.scan.commonField()
	if f == fieldNone {
		name, ok := d.scan.key()
		if !ok {
			return fieldNone, false
		}
		if f = fieldOf(name); f == fieldUnknown {
			d.at.name = d.stable(name)
		}
	}
	d.at.field = f
	return f, true
}

// commonField reads the name of a reading's field if it is written in the most common way.
func (s *scanner) commonField() field {
	rest := s.data[s.pos:]
	const longest = len(`"metric":`)
	if len(rest) < longest || rest[0] != '"' {
		return fieldNone
	}
	switch rest[1] {
	case 'm':
		if string(rest[:longest]) == `"metric":` {
			s.pos += longest
			return fieldMetric
		}
	case 't':
		if string(rest[:5]) == `"ts":` {
			s.pos += 5
			return fieldTime
		}
	case 'v':
		if string(rest[:8]) == `"value":` {
			s.pos += 8
			return fieldValue
		}
	}
	return fieldNone
}

// stable is name, copied if the scanner may overwrite it.
func (d *Decoder) stable(name []byte) []byte {
	if len(d.scan.scratch) == 0 || len(name) == 0 || &name[0] != &d.scan.scratch[0] {
		return name
	}
	return slices.Clone(clip(name))
}
