package wire

// object reads the outermost object: a reading or, if it has readings, an envelope.
func (d *Decoder) object() bool {
	s := &d.scan
	if !s.open() {
		return false
	}
	for first := true; ; first = false {
		d.atField = nil
		more, ok := s.more(first, '}')
		if !more {
			return ok
		}
		name, ok := s.key()
		if !ok {
			return false
		}
		d.atField = name
		if known, ok := d.top.own.read(d, name); known {
			if !ok {
				return false
			}
			continue
		}
		switch string(name) {
		case "readings":
			ok = d.readingsField()
		case "session":
			ok = d.sessionField()
		case "seq":
			ok = d.seqField()
		default:
			d.atField = d.unknownField(name)
			ok = s.skip()
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
	for index := 0; ; index++ {
		d.atReading, d.atField = index, nil
		more, ok := s.more(index == 0, ']')
		if !more {
			d.atReading = -1
			return ok
		}
		if index == d.opts.MaxReadings {
			d.atReading, d.atField = -1, nil
			if d.top.form == formEnvelope {
				d.atField = nameReadings
			}
			return s.fail(CodeReadingsTooMany, "one reading too many")
		}
		if index < cap(d.items) {
			// What is there of an earlier frame serves as a guess at the names.
			d.items = d.items[:index+1]
			d.items[index].verdicts = [fieldCount]verdict{}
		} else {
			d.items = append(d.items, item{})
		}
		if !d.reading(&d.items[index]) {
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
		d.atField = nil
		more, ok := s.more(first, '}')
		if !more {
			return ok
		}
		name, ok := s.key()
		if !ok {
			return false
		}
		d.atField = name
		known, ok := it.read(d, name)
		if !known {
			d.atField = d.unknownField(name)
			ok = s.skip()
		}
		if !ok {
			return false
		}
	}
}

// unknownField copies a field's name if the scanner may overwrite it.
func (d *Decoder) unknownField(name []byte) []byte {
	if len(d.scan.scratch) == 0 || len(name) == 0 || &name[0] != &d.scan.scratch[0] {
		return name
	}
	return append([]byte(nil), clip(name)...)
}

// read reads the value of the field called name, if it is one of a reading's.
func (it *item) read(d *Decoder, name []byte) (known, ok bool) {
	switch string(name) {
	case "metric":
		d.atField = nameMetric
		it.metric, it.verdicts[fieldMetric], ok = d.nameField(&d.metrics, it.metric, metricType)
	case "ts":
		d.atField = nameTime
		it.time, it.verdicts[fieldTime], ok = d.scan.timestamp()
	case "value":
		d.atField = nameValue
		it.value, it.verdicts[fieldValue], ok = d.scan.readingValue()
	case "device":
		d.atField = nameDevice
		it.device, it.verdicts[fieldDevice], ok = d.nameField(&d.devices, it.device, deviceType)
	default:
		return false, true
	}
	return true, ok
}

var (
	nameReadings = []byte("readings")
	nameDevice   = []byte("device")
	nameMetric   = []byte("metric")
	nameTime     = []byte("ts")
	nameValue    = []byte("value")
)
