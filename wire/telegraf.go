package wire

import "strconv"

// telegrafDecoder reads metrics as Telegraf's data format "json" has them: {"name","tags","fields","timestamp"},
// {"metrics":[…]} or an array. Each field is a reading. It works on the Decoder whose part it is.
type telegrafDecoder struct {
	*Decoder
	cache seriesCache
	// key is of the metric being read: its name and tags as they are written.
	key []byte
	// spots has for each item where it is.
	spots []telegrafSpot
}

// telegrafSpot is a metric's place in the frame, -1 if it is all of it, and where a field's name is, 0 for the
// metric as a whole.
type telegrafSpot struct{ metric, field int }

// telegrafMetric is where the parts of a metric are; -1: there is none.
type telegrafMetric struct {
	name, tags []byte
	fieldsAt   int
	time       int64
	verdict    verdict
}

func (d *Decoder) decodeTelegraf(frame []byte) *Error {
	if err := d.finishTop(); err != nil {
		return err
	}
	if d.telegraf == nil {
		d.telegraf = &telegrafDecoder{Decoder: d}
		d.telegraf.cache = newSeriesCache(&d.opts, telegrafSyntax{})
	}
	t := d.telegraf
	d.items, t.spots = d.items[:0], t.spots[:0]
	d.scan.reset(frame)
	if !t.read() {
		return d.scan.failure()
	}
	d.gathering.finish(owner{fallback: d.opts.DefaultDevice}, t)
	return nil
}

// read reads the frame, which is known to be valid JSON.
func (t *telegrafDecoder) read() bool {
	s := &t.scan
	if s.peek() == '[' {
		return t.metrics()
	}
	if t.top.telegrafForm == formReading {
		return t.metric(-1)
	}
	return s.object(func(name []byte) bool {
		if string(name) == fieldNames[fieldMetrics] && s.peek() == '[' {
			t.items, t.spots = t.items[:0], t.spots[:0]
			return t.metrics()
		}
		return s.skip()
	})
}

func (t *telegrafDecoder) metrics() bool {
	s := &t.scan
	if !s.open() {
		return false
	}
	for index := 0; ; index++ {
		more, ok := s.more(index == 0, ']')
		if !more {
			return ok
		}
		if !t.metric(index) {
			return false
		}
	}
}

// metric reads one metric.
func (t *telegrafDecoder) metric(index int) bool {
	s := &t.scan
	if s.peek() != '{' {
		return t.add(index, 0, notReading) && s.skip()
	}
	m := telegrafMetric{fieldsAt: -1}
	if !t.parts(&m) {
		return false
	}
	if m.fieldsAt < 0 {
		return t.add(index, 0, notReading)
	}
	t.key = append(append(append(t.key[:0], m.name...), 0), m.tags...)
	series := t.cache.get(t.key)
	if series == nil {
		return t.add(index, 0, metricMissing)
	}
	after := s.pos
	s.pos = m.fieldsAt
	ok := t.fields(index, series, &m)
	s.pos = after
	return ok
}

// parts finds the parts of a metric: its fields cannot be named before its name and tags are known.
func (t *telegrafDecoder) parts(m *telegrafMetric) bool {
	s := &t.scan
	return s.object(func(name []byte) (ok bool) {
		switch string(name) {
		case "name":
			m.name, ok = s.raw()
		case "tags":
			m.tags, ok = s.raw()
		case "fields":
			s.peek()
			if m.fieldsAt = s.pos; s.data[s.pos] != '{' {
				m.fieldsAt = -1
			}
			ok = s.skip()
		case "timestamp":
			m.time, m.verdict, ok = s.timestamp(t.unit)
		default:
			ok = s.skip()
		}
		return ok
	})
}

// fields reads the fields of a metric, at their bracket.
func (t *telegrafDecoder) fields(index int, series *series, m *telegrafMetric) bool {
	s := &t.scan
	s.open()
	for place, first := 0, true; ; place, first = place+1, false {
		more, ok := s.more(first, '}')
		if !more {
			return ok
		}
		s.peek()
		at := s.pos
		alone := first && t.alone()
		raw, ok := s.key()
		if !ok {
			return false
		}
		f, found := t.cache.field(series, t.key, raw, alone, place)
		place = found
		if !t.add(index, at, absent) {
			return false
		}
		it := &t.items[len(t.items)-1]
		it.device, it.verdicts[fieldDevice] = series.device, series.verdict
		it.metric, it.verdicts[fieldMetric] = f.metric, f.verdict
		it.time, it.verdicts[fieldTime] = m.time, m.verdict
		if it.value, it.verdicts[fieldValue], ok = t.valueField(); !ok {
			return false
		}
	}
}

// alone reports whether the field at whose name the scanner is is the last.
func (t *telegrafDecoder) alone() bool {
	s := &t.scan
	at := s.pos
	_, ok := s.key()
	ok = ok && s.skip() && s.peek() == '}'
	s.pos = at
	return ok
}

// add makes room for a reading.
func (t *telegrafDecoder) add(metric, field int, v verdict) bool {
	if t.full() {
		return t.scan.fail(CodeReadingsTooMany, "one reading too many")
	}
	t.spots = append(t.spots, telegrafSpot{metric, field})
	t.next(len(t.scan.data)).verdicts[fieldDevice] = v
	return true
}

func (t *telegrafDecoder) rejectionPath(index int, f field, v verdict) string {
	spot := t.spots[index]
	path := ""
	switch {
	case spot.metric >= 0 && t.top.form == formArray:
		path = "[" + strconv.Itoa(spot.metric) + "]"
	case spot.metric >= 0:
		path = "metrics[" + strconv.Itoa(spot.metric) + "]"
	}
	part := "fields"
	switch {
	case v == notReading:
		return path
	case f == fieldDevice && v == metricMissing:
		part = "name"
	case f == fieldDevice:
		part = "tags"
	case f == fieldTime:
		part = "timestamp"
	case spot.field > 0:
		t.scan.pos = spot.field
		raw, _ := t.scan.str()
		part += "." + string(clip(raw))
	}
	if path == "" {
		return part
	}
	return path + "." + part
}

// telegrafSyntax reads the names of a metric, and its key as metric makes it.
type telegrafSyntax struct{}

func (telegrafSyntax) readField(raw []byte) string { return string(raw) }

func (telegrafSyntax) readSeries(key []byte, n *names) bool {
	n.tags = n.tags[:0]
	s := scanner{data: key}
	if s.peek() != '"' {
		return false
	}
	name, ok := s.str()
	if !ok || len(name) == 0 {
		return false
	}
	n.measurement = string(name)
	s.pos++ // the 0 between name and tags
	if s.peek() != '{' {
		return true
	}
	ok = s.object(func(name []byte) bool {
		key := string(name)
		switch s.peek() {
		case '"':
			value, ok := s.str()
			n.tags = append(n.tags, tag{key: key, value: string(value)})
			return ok
		case '{', '[', 'n': // no value that Telegraf could have meant
			return s.skip()
		}
		value, ok := s.raw() // a number or boolean, as it is written
		n.tags = append(n.tags, tag{key: key, value: string(value)})
		return ok
	})
	sortTags(n.tags)
	return ok
}

// telegrafField notes a field of the outermost object by which metrics of Telegraf are told.
func (d *Decoder) telegrafField(f field) bool {
	switch c := d.scan.peek(); {
	case f == fieldMetrics && c == '[':
		d.top.telegraf, d.top.telegrafForm = true, formEnvelope
	case f == fieldFields && c == '{' && d.top.telegrafForm != formEnvelope:
		d.top.telegraf = true
	}
	return d.scan.skip()
}

// telegrafElement does so for an element of an array, of which the first decides.
func (d *Decoder) telegrafElement() bool {
	if d.top.form == formArray && d.at.reading == 0 && d.scan.peek() == '{' {
		d.top.telegraf = true
	}
	return d.scan.skip()
}

// isTelegraf reports whether the frame that has been read is of Telegraf: it has the fields, and none of those
// that make a reading.
func (d *Decoder) isTelegraf() bool {
	if !d.top.telegraf || d.top.form == formEnvelope {
		return false
	}
	first := &d.top.own
	if d.top.form == formArray {
		first = &d.items[0]
	}
	return first.verdicts[fieldMetric] == absent && first.verdicts[fieldValue] == absent
}
