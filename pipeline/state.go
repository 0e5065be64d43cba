package pipeline

import (
	"encoding/binary"
	"errors"
	"strings"

	"weir/pipeline/detect"
	"weir/pipeline/window"
	"weir/telemetry"
	"weir/wire/weirpb"
)

// Keys of weir.state.
const (
	deviceKey = "d/"
	seriesKey = "s/"
)

// Versions of what the opaque parts of state records hold. The moving average begins with the window it was
// made for, the detector with a version of its parameters: another one makes it begin anew.
const (
	deviceLayout = 1
	seriesLayout = 2
)

// errLayout: written by a version whose layout this one does not know, or under another configuration.
var errLayout = errors.New("unknown state layout")

// stateEncoder encodes state records into buf. It reuses its messages.
type stateEncoder struct {
	average window.Config
	buf     []byte
	device  weirpb.DeviceState
	windows [maxSessions]weirpb.SessionWindow
	series  weirpb.SeriesState
	alert   weirpb.OpenAlert
	scratch []byte
}

// reset makes room for the next checkpoint, after which what was encoded is gone.
func (e *stateEncoder) reset() { e.buf = e.buf[:0] }

// keyed returns prefix and name in buf.
func (e *stateEncoder) keyed(prefix, name string) []byte {
	start := len(e.buf)
	e.buf = append(append(e.buf, prefix...), name...)
	return e.buf[start:len(e.buf):len(e.buf)]
}

type vtMessage interface {
	SizeVT() int
	MarshalToSizedBufferVT([]byte) (int, error)
}

func (e *stateEncoder) message(m vtMessage) []byte {
	start, size := len(e.buf), m.SizeVT()
	e.buf = append(e.buf, make([]byte, size)...)
	out := e.buf[start:len(e.buf):len(e.buf)]
	if _, err := m.MarshalToSizedBufferVT(out); err != nil {
		panic(err) // generated code cannot fail into a buffer of the size it asked for
	}
	return out
}

func (e *stateEncoder) deviceState(d *device) []byte {
	m := &e.device
	m.Layout, m.AppliedOffset, m.Sessions = deviceLayout, d.applied, m.Sessions[:0]
	e.scratch = e.scratch[:0]
	for i := range d.seen {
		w, out := &d.seen[i], &e.windows[i]
		start := len(e.scratch)
		for _, word := range w.seen {
			e.scratch = binary.LittleEndian.AppendUint64(e.scratch, word)
		}
		out.Session, out.MaxSeq, out.Seen = w.session, w.max, e.scratch[start:]
		m.Sessions = append(m.Sessions, out)
	}
	return e.message(m)
}

func (e *stateEncoder) seriesState(s *series) []byte {
	m := &e.series
	m.Layout, m.Version, m.NewestTime = seriesLayout, int64(s.summary.version), s.newestTime
	e.scratch = binary.AppendVarint(e.scratch[:0], e.average.Window.Microseconds())
	e.scratch = s.mean.MarshalAppend(e.scratch)
	split := len(e.scratch)
	e.scratch = s.detector.MarshalAppend(e.scratch)
	m.Mean, m.Detector, m.Alerts = e.scratch[:split], e.scratch[split:], m.Alerts[:0]
	if s.alert.open {
		e.alert.Rule, e.alert.Raised, e.alert.StartedTime = ruleDeviation, int64(s.alert.raised), s.alert.started
		m.Alerts = append(m.Alerts, &e.alert)
	}
	return e.message(m)
}

// stateDecoder reads state records into devices and series.
type stateDecoder struct {
	average window.Config
	device  weirpb.DeviceState
	series  weirpb.SeriesState
}

// deviceState replaces the header of d. With errLayout, all but its duplicates' windows is read.
func (x *stateDecoder) deviceState(d *device, b []byte) error {
	m := &x.device
	m.Reset()
	if err := m.UnmarshalVTUnsafe(b); err != nil {
		return err
	}
	d.applied, d.seen = m.AppliedOffset, nil
	if m.Layout != deviceLayout {
		return errLayout
	}
	for _, w := range m.Sessions[:min(len(m.Sessions), maxSessions)] {
		out := seqs{session: strings.Clone(w.Session), max: w.MaxSeq}
		if len(w.Seen) != len(out.seen)*8 {
			return errLayout
		}
		for i := range out.seen {
			out.seen[i] = binary.LittleEndian.Uint64(w.Seen[i*8:])
		}
		d.seen = append(d.seen, out)
	}
	return nil
}

// seriesState replaces the state of s, but keeps a newer place in the chain of updates. With errLayout, moving
// average or detector or both begin anew.
func (x *stateDecoder) seriesState(s *series, b []byte) error {
	m := &x.series
	m.Reset()
	if err := m.UnmarshalVTUnsafe(b); err != nil {
		return err
	}
	s.newestTime = m.NewestTime
	if v := telemetry.Version(m.Version); v > s.summary.emitted {
		s.summary = newSummaryState(s.name, v)
	}
	s.alert.open = false
	for _, a := range m.Alerts {
		if a.Rule == ruleDeviation {
			s.alert.open, s.alert.raised, s.alert.started = true, telemetry.Version(a.Raised), a.StartedTime
		}
	}
	s.mean, s.detector = window.Mean{}, detect.Deviation{}
	if m.Layout != seriesLayout {
		return errLayout
	}
	return errors.Join(x.mean(s, m.Mean), known(s.detector.Unmarshal(m.Detector)))
}

func (x *stateDecoder) mean(s *series, b []byte) error {
	span, n := binary.Varint(b)
	if n <= 0 || span != x.average.Window.Microseconds() {
		return errLayout
	}
	return known(s.mean.Unmarshal(b[n:]))
}

// known makes errLayout of any error.
func known(err error) error {
	if err != nil {
		return errLayout
	}
	return nil
}
