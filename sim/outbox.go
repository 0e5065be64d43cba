package sim

import (
	"encoding/json"
	"slices"
	"strconv"
	"time"

	"weir/telemetry"
)

// outbox holds a device's frames from when they are made until they are receipted.
type outbox struct {
	device, session string
	seq             uint64
	metrics         map[string]string // as JSON
	frames          []*frame          // by seq
	flying          int               // how many of them are sent on the connection of now
}

// frame is an envelope without receipt.
type frame struct {
	seq      uint64
	body     []byte
	readings int
	// number is the frame's on the connection of now, 0 if it is not sent there; sent is when it was.
	number uint64
	sent   time.Time
	// again says that it was sent before.
	again bool
}

func newOutbox(device, session string) *outbox {
	return &outbox{device: quote(device), session: quote(session), metrics: make(map[string]string)}
}

// add makes a frame of readings.
func (o *outbox) add(readings []telemetry.Reading) *frame {
	o.seq++
	f := &frame{seq: o.seq, readings: len(readings), body: make([]byte, 0, 128+64*len(readings))}
	f.body = append(f.body, `{"device":`...)
	f.body = append(f.body, o.device...)
	f.body = append(f.body, `,"session":`...)
	f.body = append(f.body, o.session...)
	f.body = append(f.body, `,"seq":`...)
	f.body = strconv.AppendUint(f.body, f.seq, 10)
	f.body = append(f.body, `,"readings":[`...)
	for i := range readings {
		if i > 0 {
			f.body = append(f.body, ',')
		}
		f.body = o.appendReading(f.body, &readings[i])
	}
	f.body = append(f.body, `]}`...)
	o.frames = append(o.frames, f)
	return f
}

func (o *outbox) appendReading(dst []byte, r *telemetry.Reading) []byte {
	metric, ok := o.metrics[r.Metric]
	if !ok {
		metric = quote(r.Metric)
		o.metrics[r.Metric] = metric
	}
	dst = append(dst, `{"metric":`...)
	dst = append(dst, metric...)
	dst = append(dst, `,"ts":`...)
	dst = strconv.AppendInt(dst, r.Time, 10)
	dst = append(dst, `,"value":`...)
	dst = strconv.AppendFloat(dst, r.Value, 'g', -1, 64)
	return append(dst, '}')
}

// unsent is the oldest frame that is not sent on this connection, or nil.
func (o *outbox) unsent() *frame {
	if o.flying == len(o.frames) {
		return nil
	}
	for _, f := range o.frames {
		if f.number == 0 {
			return f
		}
	}
	return nil
}

// launch marks f as sent on this connection.
func (o *outbox) launch(f *frame, number uint64, now time.Time) {
	f.number, f.sent, f.again = number, now, true
	o.flying++
}

// find is the frame of that number on this connection, or nil.
func (o *outbox) find(number uint64) *frame {
	for _, f := range o.frames {
		if f.number == number && number > 0 {
			return f
		}
	}
	return nil
}

// ground makes f unsent again.
func (o *outbox) ground(f *frame) {
	if f.number > 0 {
		f.number = 0
		o.flying--
	}
}

// groundAll does so with all frames, when the connection is lost.
func (o *outbox) groundAll() {
	for _, f := range o.frames {
		o.ground(f)
	}
}

// remove forgets f, whose fate is known.
func (o *outbox) remove(f *frame) {
	o.ground(f)
	if i := slices.Index(o.frames, f); i >= 0 {
		o.frames = slices.Delete(o.frames, i, i+1)
	}
}

// oldest is when the frame that flies longest was sent; ok is false when none flies.
func (o *outbox) oldest() (sent time.Time, ok bool) {
	for _, f := range o.frames {
		if f.number > 0 && (!ok || f.sent.Before(sent)) {
			sent, ok = f.sent, true
		}
	}
	return sent, ok
}

func quote(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		return `""` // never: strings marshal
	}
	return string(b)
}
