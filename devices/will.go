package devices

import (
	"context"
	"encoding/json"
	"time"
	"unicode/utf8"

	"weir/wire"
)

// Bounds of a last will.
const (
	maxWillBytes    = 8 << 10
	maxWillReadings = 64
	maxWillText     = 256
	willTimeout     = 10 * time.Second
)

// Will is what a device wants done when its connection is cut off: readings that are stored as if it had sent them
// then, and a text for its presence.
type Will struct {
	// Frame is a frame of readings that names the device; nil: none.
	Frame []byte
	Text  string
}

// willing is a will to be carried out.
type willing struct {
	device string
	frame  []byte
}

// decodeWill reads {"readings": […]?, "text"?}, or null. The readings have to be such as would be accepted now.
func (r *Registry) decodeWill(device string, raw json.RawMessage, path string) (*Will, *wire.Error) {
	if isNull(raw) {
		return nil, nil
	}
	if len(raw) > maxWillBytes || !utf8.Valid(raw) {
		return nil, refuse(wire.CodeFieldRange, path, "a will has at most 8 KiB of UTF-8")
	}
	w := new(Will)
	err := eachField(raw, path, func(name, path string, v json.RawMessage) *wire.Error {
		switch name {
		case "text":
			return decodeText(&w.Text, v, path, maxWillText)
		case "readings":
			if r.opts.Submit == nil {
				return refuse(wire.CodeFieldUnknown, path, "this server carries out no wills with readings")
			}
			name, err := json.Marshal(device)
			if err != nil {
				return wire.NewError(wire.CodeInternal, path)
			}
			w.Frame = append(append(append([]byte(`{"device":`), name...), `,"readings":`...), v...)
			w.Frame = append(w.Frame, '}')
			return r.checkWill(w.Frame, path)
		}
		return wire.NewError(wire.CodeFieldUnknown, path)
	})
	if err != nil {
		return nil, err
	}
	return w, nil
}

func (r *Registry) checkWill(frame []byte, path string) *wire.Error {
	dec := wire.NewDecoder(wire.DecoderOptions{
		MaxReadings: maxWillReadings, MaxFuture: time.Minute, Now: r.micros, Labels: r.Labels})
	f, err := dec.Decode(frame)
	if err != nil {
		e := *wire.AsError(err)
		e.Path = path
		return &e
	}
	if len(f.Rejected) > 0 {
		first := &f.Rejected[0]
		return &wire.Error{Code: first.Code, Message: wire.NewError(first.Code, "").Message, Path: path + first.Path[min(len("readings"), len(first.Path)):]}
	}
	return nil
}

// execute has a will carried out, unless too many wait.
func (r *Registry) execute(device string, w *Will) {
	r.m.wills.Inc()
	if len(w.Frame) == 0 {
		return
	}
	select {
	case r.wills <- willing{device, w.Frame}:
	default:
		r.m.willsDropped.Inc()
		r.log.Warn("last will dropped: too many at once", "device", device)
	}
}

// carryOut submits the readings of wills, one after the other.
func (r *Registry) carryOut(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case w := <-r.wills:
			limited, cancel := context.WithTimeout(ctx, willTimeout)
			if err := r.opts.Submit(limited, w.device, w.frame); err != nil {
				r.m.willsDropped.Inc()
				r.log.Warn("last will not stored", "device", w.device, "error", err)
			}
			cancel()
		}
	}
}
