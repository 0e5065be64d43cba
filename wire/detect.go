package wire

import (
	"bytes"
	"unicode/utf8"
)

// autoDecoder tells the format of each frame. It has a decoder for each format that has come.
type autoDecoder struct {
	opts     DecoderOptions
	decoders [len(formats)]FrameDecoder
	last     FrameDecoder
}

func (d *autoDecoder) Decode(frame []byte) (*Frame, error) {
	if len(bytes.TrimSpace(frame)) == 0 {
		return nil, NewError(CodeFrameEmpty, "")
	}
	format, ok := DetectFormat(frame)
	if !ok {
		return nil, NewError(CodeFormatUnknown, "")
	}
	if d.decoders[format] == nil {
		d.decoders[format] = NewFrameDecoder(format, d.opts)
	}
	if d.last != nil && d.last != d.decoders[format] {
		d.last.Release()
	}
	d.last = d.decoders[format]
	return d.last.Decode(frame)
}

func (d *autoDecoder) Release() {
	if d.last != nil {
		d.last.Release()
	}
}

// DetectFormat tells the format of a frame, the first that fits:
//
//	CBOR      the first byte is 0x80 to 0x9f, an array
//	columns   the frame is a sequence of the fields of a DeviceFrame or ReadingBatch, and has readings
//	JSON      the first byte that is not white space is { or [; SenML if that opens an array whose first object has,
//	          of the fields of SenML and of readings, one of SenML first
//	Influx    the first line that is neither blank nor a comment is text that has a space, and an = behind it
//
// ok is false for anything else.
func DetectFormat(frame []byte) (f Format, ok bool) {
	if len(frame) == 0 {
		return FormatAuto, false
	}
	if c := frame[0]; c >= 0x80 && c <= 0x9f {
		return FormatSenMLCBOR, true
	}
	if isColumns(frame) {
		return FormatColumns, true
	}
	s := scanner{data: frame}
	switch s.peek() {
	case '{':
		return FormatJSON, true
	case '[':
		if isSenML(&s) {
			return FormatSenMLJSON, true
		}
		return FormatJSON, true
	}
	if isLine(frame) {
		return FormatInflux, true
	}
	return FormatAuto, false
}

// isColumns reports whether the frame can be nothing but a DeviceFrame or ReadingBatch. Text could, by chance, begin
// as one, but not end as one.
func isColumns(frame []byte) bool {
	const tagDevice = readingsDevice<<3 | wireBytes
	if c := frame[0]; c&7 != wireBytes && c&7 != wireVarint || c < tagDevice || c > deviceFrameBacklog<<3 {
		return false
	}
	readings := false
	for r := (protoReader{rest: frame}); len(r.rest) > 0; {
		f, ok := r.next()
		if !ok || f.field > deviceFrameBacklog {
			return false
		}
		number := f.field == readingsSeq || f.field == readingsIngest || f.field == deviceFrameBacklog
		if number != (f.wire == wireVarint) || !number && f.wire != wireBytes {
			return false
		}
		readings = readings || f.field == readingsValue || f.field == deviceFrameBatches
	}
	return readings
}

// isSenML looks at the fields of the first object of an array, at whose bracket s is.
func isSenML(s *scanner) bool {
	s.open()
	if s.peek() != '{' || !s.open() {
		return false
	}
	for first := true; ; first = false {
		if more, _ := s.more(first, '}'); !more {
			return false
		}
		name, ok := s.key()
		switch {
		case !ok:
			return false
		case senmlLabelOf(name) != senmlNone:
			return true
		case fieldOf(name) <= fieldValue || fieldOf(name) == fieldFields:
			return false
		}
		if !s.skip() {
			return false
		}
	}
}

// isLine reports whether the first line could be one of the line protocol.
func isLine(frame []byte) bool {
	for len(frame) > 0 {
		line, rest, _ := bytes.Cut(frame, []byte{'\n'})
		frame = rest
		if line = bytes.TrimSpace(line); len(line) == 0 || line[0] == '#' {
			continue
		}
		_, fields := cutName(line, ' ')
		return isText(line) && bytes.IndexByte(fields, '=') > 1
	}
	return false
}

// isText reports whether a line is valid UTF-8 without control characters.
func isText(line []byte) bool {
	for _, c := range line {
		if c < 0x20 && c != '\t' {
			return false
		}
	}
	return utf8.Valid(line)
}
