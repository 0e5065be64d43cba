package wire

import (
	"math"
	"strconv"
	"unicode/utf8"

	"weir/telemetry"
)

// Fields of weir.v1.DeviceFrame; a ReadingBatch has none of their numbers.
const (
	deviceFrameBatches = 9
	deviceFrameBacklog = 10
)

// columnsDecoder reads weir.v1.DeviceFrame and ReadingBatch.
type columnsDecoder struct {
	gathering
	devices interner
	metrics interner

	columns ReadingColumns
	// dictionary has for each metric of the batch being read its name, or why it was refused.
	dictionary []columnsMetric
	// spots has for each item where it is.
	spots []columnsSpot
	// batch counts the batches of a DeviceFrame; alone: the frame is a ReadingBatch.
	batch int
	alone bool
}

type columnsMetric struct {
	name    string
	verdict verdict
}

type columnsSpot struct{ batch, reading int }

// Inlined, it would make the stack of every connection larger that may use it.
//
//go:noinline
func newColumnsDecoder(opts DecoderOptions) *columnsDecoder {
	return &columnsDecoder{
		gathering: gathering{opts: opts.withDefaults()},
		devices:   interner{check: telemetry.CheckDevice},
		metrics:   interner{check: telemetry.CheckMetric},
	}
}

func (d *columnsDecoder) Decode(frame []byte) (*Frame, error) {
	d.Release()
	d.begin()
	d.spots, d.batch, d.alone = d.spots[:0], 0, false
	if err := d.decode(frame); err != nil {
		return nil, err
	}
	return &d.frame, nil
}

func (d *columnsDecoder) Release() {
	d.release()
	if c := &d.columns; cap(d.spots) > keepReadings || cap(c.Value) > keepReadings || cap(c.Metrics) > keepReadings {
		d.spots, d.columns, d.dictionary = nil, ReadingColumns{}, nil
	}
}

// deviceFrame is what has been seen of the outermost message.
type deviceFrame struct {
	session string
	seq     uint64
	batches bool
	// own: there are fields of a ReadingBatch.
	own bool
}

func (d *columnsDecoder) decode(frame []byte) *Error {
	if len(frame) == 0 {
		return NewError(CodeFrameEmpty, "")
	}
	var f deviceFrame
	for r := (protoReader{rest: frame}); len(r.rest) > 0; {
		field, ok := r.next()
		if !ok {
			return columnsError("", "a field that cannot be read")
		}
		switch {
		case field.field <= readingsValue:
			f.own = true
		case field.field == deviceFrameBacklog && field.wire == wireVarint:
			d.frame.Backlog = field.number != 0
		case field.field == deviceFrameBatches && field.wire == wireBytes:
			f.batches = true
			if err := d.readBatch(&f, field.bytes); err != nil {
				return err
			}
			d.batch++
		case field.field <= deviceFrameBacklog:
			return columnsError("", "a field of another type")
		}
	}
	if f.own {
		if d.alone = true; f.batches {
			return columnsError("batches", "a ReadingBatch that holds batches")
		}
		if err := d.readBatch(&f, frame); err != nil {
			return err
		}
	}
	d.columns.Device, d.columns.Session = "", "" // they alias the frame
	clear(d.columns.Metrics)
	d.frame.Session, d.frame.Seq, d.frame.HasSeq = f.session, f.seq, f.session != "" || f.seq > 0
	d.finish(owner{fallback: d.opts.DefaultDevice}, d)
	return nil
}

func columnsError(path, why string) *Error {
	return &Error{Code: CodeFormatSyntax, Path: path, Message: why}
}

// readBatch takes over the readings of a ReadingBatch.
func (d *columnsDecoder) readBatch(f *deviceFrame, b []byte) *Error {
	c := &d.columns
	if err := c.Unmarshal(b); err != nil {
		return columnsError(d.place(d.batch, ""), err.Error())
	}
	if err := d.takeSession(f); err != nil {
		return err
	}
	if len(d.items)+len(c.Value) > d.opts.MaxReadings {
		return NewError(CodeReadingsTooMany, d.place(d.batch, ""))
	}
	device, verdict := "", absent
	if c.Device != "" {
		device, verdict = d.devices.get(bytesOf(c.Device))
	}
	if verdict > good && d.alone {
		return NewError(verdictCodes[verdict], fieldNames[fieldDevice])
	}
	d.lookUp()
	for i, value := range c.Value {
		it := d.next(len(c.Value) * readingBytes)
		d.spots = append(d.spots, columnsSpot{d.batch, i})
		it.device, it.verdicts[fieldDevice] = device, verdict
		m := &d.dictionary[0]
		if len(c.Metric) > 0 {
			m = &d.dictionary[c.Metric[i]]
		}
		it.metric, it.verdicts[fieldMetric] = m.name, m.verdict
		it.time, it.verdicts[fieldTime] = c.Time[i], timeVerdict(c.Time[i], true)
		it.value, it.verdicts[fieldValue] = value, good
		if !isFinite(value) {
			it.verdicts[fieldValue] = valueNotFinite
		}
	}
	return nil
}

// takeSession checks that all batches that have a session and seq have the same.
func (d *columnsDecoder) takeSession(f *deviceFrame) *Error {
	c := &d.columns
	switch {
	case len(c.Session) > MaxSessionBytes || !utf8.ValidString(c.Session):
		return NewError(CodeSessionInvalid, d.place(d.batch, "session"))
	case c.Seq > math.MaxInt64:
		return NewError(CodeSeqInvalid, d.place(d.batch, "seq"))
	case c.Session == "" && c.Seq == 0:
		return nil
	case c.Seq == 0:
		// protobuf does not tell 0 from none: every frame would be taken for a resend of the first.
		return NewError(CodeSeqMissing, d.place(d.batch, "seq"))
	case f.session == "" && f.seq == 0:
		if f.seq, f.session = c.Seq, d.frame.Session; f.session != c.Session {
			f.session = string(bytesOf(c.Session))
		}
	case c.Session != f.session:
		return NewError(CodeSessionInvalid, d.place(d.batch, "session"))
	case c.Seq != f.seq:
		return NewError(CodeSeqInvalid, d.place(d.batch, "seq"))
	}
	return nil
}

// lookUp fills the dictionary.
func (d *columnsDecoder) lookUp() {
	d.dictionary = d.dictionary[:0]
	for _, name := range d.columns.Metrics {
		var m columnsMetric
		m.name, m.verdict = d.metrics.get(bytesOf(name))
		d.dictionary = append(d.dictionary, m)
	}
}

// place is the path of a field of a batch, of the batch itself if name is empty.
func (d *columnsDecoder) place(batch int, name string) string {
	if d.alone {
		return name
	}
	path := "batches[" + strconv.Itoa(batch) + "]"
	if name == "" {
		return path
	}
	return path + "." + name
}

func (d *columnsDecoder) rejectionPath(index int, f field, _ verdict) string {
	spot := d.spots[index]
	if f == fieldDevice {
		return d.place(spot.batch, fieldNames[f])
	}
	return d.place(spot.batch, "readings["+strconv.Itoa(spot.reading)+"]."+fieldNames[f])
}
