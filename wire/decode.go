package wire

import (
	"time"

	"weir/telemetry"
)

// Limits of a device's frame.
const (
	// MaxFrameBytes bounds a frame or request body; the transport refuses more before it reads it.
	MaxFrameBytes = 1 << 20
	// MaxSessionBytes bounds a session's name.
	MaxSessionBytes = 64
	// DefaultMaxFuture is how far ahead of the server's clock a reading's time may be.
	DefaultMaxFuture = 10 * time.Minute
)

// keepReadings is how many readings a Decoder keeps room for when it is released, keepScratch how many bytes
// of strings with escapes. Larger frames allocate anew, so that one of them does not hold memory for as long
// as its connection lasts.
const (
	keepReadings = 512
	keepScratch  = 4 << 10
)

// DecoderOptions configure a Decoder; the zero value is usable.
type DecoderOptions struct {
	// MaxReadings bounds the readings of a frame; 0 and anything above stands for
	// telemetry.MaxReadingsPerRecord.
	MaxReadings int
	// DefaultDevice is the device of readings for which neither they nor the envelope name one. It must
	// have passed telemetry.CheckDevice.
	DefaultDevice string
	// MaxFuture refuses readings further ahead of Now; 0 stands for DefaultMaxFuture.
	MaxFuture time.Duration
	// Now is the server's time in microseconds; nil stands for the system clock.
	Now func() int64
	// TimeUnit is the unit of times that are numbers, where the format leaves it open and the frame does not
	// say; UnitAuto stands for the format's own rule.
	TimeUnit TimeUnit
	// Templates name the device and metric of readings in formats that have neither; nil stands for
	// DefaultTemplates.
	Templates *Templates
	// Tenant is put before a device that a template makes, unless it is there; empty: nothing is.
	Tenant string
	// Topic is where the frames are published, for templates that use it.
	Topic string
	// Labels gives the numbers that a metric's text values stand for, nil when it declares none. Labels itself
	// may be nil. The map is only read, and only during the call of Decode.
	Labels func(device, metric string) map[string]float64
}

// withDefaults fills in what is left at zero.
func (o DecoderOptions) withDefaults() DecoderOptions {
	if o.MaxReadings <= 0 || o.MaxReadings > telemetry.MaxReadingsPerRecord {
		o.MaxReadings = telemetry.MaxReadingsPerRecord
	}
	if o.MaxFuture == 0 {
		o.MaxFuture = DefaultMaxFuture
	}
	if o.Now == nil {
		o.Now = func() int64 { return time.Now().UnixMicro() }
	}
	if o.Templates == nil {
		o.Templates = DefaultTemplates()
	}
	return o
}

// Decoder reads the JSON frames of one connection. It remembers the connection's device and metric names
// and reuses its buffers, so that it allocates nothing for a frame like the ones before. It is not safe for
// concurrent use.
//
// A frame is a reading {"device","metric","ts","value"}, an array of readings, or an envelope
// {"device","session","seq","readings":[…]}. The outermost object may have "backlog" and "ts_unit" too. Of a
// repeated field the last counts; fields that are not known are ignored; null stands for an absent field other
// than value and readings. Metrics as Telegraf writes them are told by their "fields" or "metrics".
type Decoder struct {
	gathering
	scan    scanner
	devices interner
	metrics interner

	// The frame being read.
	top topFields
	// unit is that of its times; unitFixed says that ts_unit has been found by an earlier pass.
	unit      TimeUnit
	unitFixed bool
	// at is for the path of an error.
	at place

	// telegraf reads the frames of that kind; nil until there is one.
	telegraf *telegrafDecoder
}

// Frame is what a device's frame holds.
type Frame struct {
	// Batches has the accepted readings, one Batch per device in order of first appearance.
	Batches []telemetry.Batch
	// Index has for each of Batches[i].Readings[j] its position in the frame, Index[i][j].
	Index [][]int
	// Rejected lists the readings that were not accepted, by position.
	Rejected []Rejection
	// RejectedOf has the devices that those name, as far as they could be read; perhaps several times.
	RejectedOf []string
	Session    string
	Seq        uint64
	HasSeq     bool
	// Total is how many readings the frame holds.
	Total int
	// Backlog says that the frame is of the past: it fills the history, raises no alert and replaces no
	// newest value.
	Backlog bool
}

// NewDecoder makes a Decoder.
//
// Inlined, it would make the stack of every connection larger that may use it.
//
//go:noinline
func NewDecoder(opts DecoderOptions) *Decoder {
	return &Decoder{
		gathering: gathering{opts: opts.withDefaults()},
		devices:   interner{check: telemetry.CheckDevice},
		metrics:   interner{check: telemetry.CheckMetric},
	}
}

// Decode reads one frame. The result and all it refers to, other than strings, are valid until the next
// Decode. The error, an *Error, is for frames that cannot be understood at all; readings that cannot be
// accepted are in Frame.Rejected.
func (d *Decoder) Decode(frame []byte) (*Frame, error) {
	d.unit, d.unitFixed = d.opts.TimeUnit, false
	err := d.decode(frame)
	// An idle connection keeps no frame alive.
	d.scan.data, d.at.name = nil, nil
	if err != nil {
		return nil, err
	}
	return &d.frame, nil
}

func (d *Decoder) decode(frame []byte) *Error {
	d.begin(frame)
	if !d.value() || !d.scan.end() {
		return d.failure()
	}
	unit := d.opts.TimeUnit
	if d.top.unit == good {
		unit = d.top.timeUnit
	}
	if unit != d.unit {
		// The unit came after times. Fields of an object have no order, so they are read again.
		d.unit, d.unitFixed = unit, true
		return d.decode(frame)
	}
	if d.isTelegraf() {
		return d.decodeTelegraf(frame)
	}
	return d.finish()
}

// Release ends the use of what Decode returned, and gives back the memory of an unusually large frame. Until
// then, or the next Decode, it is kept.
func (d *Decoder) Release() {
	d.release()
	if cap(d.scan.scratch) > keepScratch {
		d.scan.scratch = nil
	}
	if t := d.telegraf; t != nil && (cap(t.spots) > keepReadings || cap(t.key) > keepScratch) {
		t.spots, t.key = nil, nil
	}
}

func (d *Decoder) begin(frame []byte) {
	d.Release()
	d.gathering.begin()
	d.scan.reset(frame)
	d.top = topFields{}
	d.at = place{reading: -1, field: fieldNone}
}

// value reads the outermost value.
func (d *Decoder) value() bool {
	switch d.scan.peek() {
	case '{':
		return d.object()
	case '[':
		d.top.form = formArray
		return d.array()
	case 0:
		if d.scan.pos >= len(d.scan.data) {
			return d.scan.fail(CodeFrameEmpty, "the frame holds nothing")
		}
	}
	if !d.scan.skip() {
		return false
	}
	return d.scan.fail(CodeFrameType, "neither object nor array")
}

// failure is the scanner's complaint with the path at which it stopped.
func (d *Decoder) failure() *Error {
	err := d.scan.failure()
	err.Path = d.path()
	return err
}
