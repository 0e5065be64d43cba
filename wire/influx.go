package wire

import (
	"bytes"
	"strconv"
)

// influxDecoder reads InfluxDB's line protocol: measurement,tag=value field=1.5,field=2i time. Each field is a
// reading. A line that breaks the rules is refused as a whole, the others live.
type influxDecoder struct {
	gathering
	scan  scanner
	cache seriesCache
	// spots has for each item where it is.
	spots []influxSpot
	// line counts from 1. shift is the power of ten from the frame's unit of time to microseconds.
	line, shift int
	// understood: a line has been.
	understood bool
	// first is what was wrong with the first line that was not.
	first *Error
}

// lineStart is what there was when a line began.
type lineStart struct{ items, pos, line int }

// tooMany is what readLine says of a frame that holds too many readings.
const tooMany = "too many readings"

// influxSpot is a line, and the place of a field's name in the frame, 0 for the line as a whole.
type influxSpot struct{ line, field int }

// Inlined, it would make the stack of every connection larger that may use it.
//
//go:noinline
func newInfluxDecoder(opts DecoderOptions) *influxDecoder {
	opts = opts.withDefaults()
	d := &influxDecoder{gathering: gathering{opts: opts}}
	d.cache = newSeriesCache(&d.opts, influxSyntax{})
	unit := opts.TimeUnit
	if unit == UnitAuto {
		unit = UnitNanos
	}
	d.shift = unit.shift()
	return d
}

func (d *influxDecoder) Decode(frame []byte) (*Frame, error) {
	d.Release()
	d.begin()
	d.scan.reset(frame)
	d.spots = d.spots[:0]
	d.line, d.understood, d.first = 1, false, nil
	err := d.decode()
	d.scan.data = nil
	if err != nil {
		return nil, err
	}
	return &d.frame, nil
}

func (d *influxDecoder) Release() {
	d.release()
	if cap(d.spots) > keepReadings {
		d.spots = nil
	}
}

func (d *influxDecoder) decode() *Error {
	if len(d.scan.data) == 0 {
		return NewError(CodeFrameEmpty, "")
	}
	for d.blank() {
		start := lineStart{items: len(d.items), pos: d.scan.pos, line: d.line}
		problem := d.readLine()
		if problem == "" {
			d.understood = true
			continue
		}
		if problem == tooMany || start.items == d.opts.MaxReadings {
			return &Error{Code: CodeReadingsTooMany, Path: linePath(start.line), Message: messageOf(CodeReadingsTooMany)}
		}
		d.refuseLine(start, problem)
	}
	if !d.understood && d.first != nil {
		return d.first
	}
	d.frame.Session, d.frame.Seq, d.frame.HasSeq = "", 0, false
	d.finish(owner{fallback: d.opts.DefaultDevice}, d)
	return nil
}

// blank goes to the next line that is neither empty nor a comment; it reports whether there is one.
func (d *influxDecoder) blank() bool {
	s := &d.scan
	for s.pos < len(s.data) {
		switch s.data[s.pos] {
		case '\n':
			d.line++
			s.pos++
		case ' ', '\t', '\r':
			s.pos++
		case '#':
			d.skipLine()
		default:
			return true
		}
	}
	return false
}

// skipLine goes to the end of the line.
func (d *influxDecoder) skipLine() {
	s := &d.scan
	for s.pos < len(s.data) && s.data[s.pos] != '\n' {
		s.pos++
	}
}

// refuseLine makes one rejection of the line that began at start.
func (d *influxDecoder) refuseLine(start lineStart, problem string) {
	if d.first == nil {
		d.first = &Error{Code: CodeFormatSyntax, Path: linePath(start.line), Message: problem}
	}
	d.items, d.spots, d.line = d.items[:start.items], d.spots[:start.items], start.line
	d.item(0).verdicts[fieldDevice] = syntaxInvalid
	// Texts may have gone over several lines.
	d.line += bytes.Count(d.scan.data[start.pos:d.scan.pos], []byte{'\n'})
	d.skipLine()
}

// item makes room for a reading whose field's name is at a place.
func (d *influxDecoder) item(field int) *item {
	d.spots = append(d.spots, influxSpot{d.line, field})
	return d.next(len(d.scan.data))
}

// readLine reads a line up to its end. It returns what is wrong with it, or tooMany.
func (d *influxDecoder) readLine() (problem string) {
	key, ok := d.seriesKey()
	if !ok {
		return "a line without fields"
	}
	series := d.cache.get(key)
	if series == nil {
		return "a measurement or tag is malformed"
	}
	start := len(d.items)
	for place := 0; ; place++ {
		at := d.scan.pos
		raw, ok := d.fieldKey()
		if !ok {
			return "a field is malformed"
		}
		if d.full() {
			return tooMany
		}
		it := d.item(at)
		alone := len(d.items) == start+1 && isSilent(string(raw)) && d.alone()
		f, found := d.cache.field(series, key, raw, alone, place)
		place = found
		it.device, it.verdicts[fieldDevice] = series.device, series.verdict
		it.metric, it.verdicts[fieldMetric] = f.metric, f.verdict
		if !d.fieldValue(it) {
			return "a field's value is malformed"
		}
		if !d.more() {
			return d.lineTime(start)
		}
		d.scan.pos++
	}
}

// more reports whether a comma follows, and so another field.
func (d *influxDecoder) more() bool {
	return d.scan.pos < len(d.scan.data) && d.scan.data[d.scan.pos] == ','
}

// alone reports whether the field at whose value the scanner is is the line's last.
func (d *influxDecoder) alone() bool {
	pos, line := d.scan.pos, d.line
	if pos < len(d.scan.data) && d.scan.data[pos] == '"' {
		d.quoted()
	} else {
		d.word()
	}
	alone := !d.more()
	d.scan.pos, d.line = pos, line
	return alone
}

// seriesKey reads measurement and tags, and the spaces behind them.
func (d *influxDecoder) seriesKey() ([]byte, bool) {
	data, start := d.scan.data, d.scan.pos
	for i := start; i < len(data); i++ {
		switch data[i] {
		case '\\':
			i++
			if i < len(data) && data[i] == '\n' {
				return nil, false
			}
		case '\n':
			return nil, false
		case ' ':
			d.scan.pos = i
			d.spaces()
			return data[start:i], i > start
		}
	}
	return nil, false
}

func (d *influxDecoder) spaces() {
	s := &d.scan
	for s.pos < len(s.data) && (s.data[s.pos] == ' ' || s.data[s.pos] == '\r') {
		s.pos++
	}
}

// fieldKey reads the name of a field and the = behind it.
func (d *influxDecoder) fieldKey() ([]byte, bool) {
	data, start := d.scan.data, d.scan.pos
	for i := start; i < len(data); i++ {
		switch data[i] {
		case '\\':
			i++
			if i < len(data) && data[i] == '\n' {
				return nil, false
			}
		case '=':
			d.scan.pos = i + 1
			return data[start:i], i > start
		case '\n', ' ', ',':
			return nil, false
		}
	}
	return nil, false
}

// lineTime reads the time of a line, if there is one, and its end; its items begin at start.
func (d *influxDecoder) lineTime(start int) (problem string) {
	s := &d.scan
	d.spaces()
	if s.pos < len(s.data) && s.data[s.pos] != '\n' {
		n, ok := s.number()
		d.spaces()
		if !ok || !n.whole || s.pos < len(s.data) && s.data[s.pos] != '\n' {
			return "the time is malformed"
		}
		t, ok := n.scale(d.shift)
		if n.negative {
			t = -t
		}
		v := timeVerdict(t, ok && !n.cut)
		for i := start; i < len(d.items); i++ {
			d.items[i].time, d.items[i].verdicts[fieldTime] = t, v
		}
	}
	return ""
}

func linePath(line int) string { return "line " + strconv.Itoa(line) }

// rejectionPath is "line 3" or, for one field, "line 3.name".
func (d *influxDecoder) rejectionPath(index int, f field, v verdict) string {
	spot := d.spots[index]
	path := linePath(spot.line)
	switch {
	case v == syntaxInvalid || f == fieldDevice:
		return path
	case f == fieldTime:
		return path + ".timestamp"
	}
	d.scan.pos = spot.field
	raw, _ := d.fieldKey()
	return path + "." + string(clip(raw))
}
