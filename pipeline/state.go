package pipeline

import (
	"cmp"
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"strings"

	"weir/telemetry"
	"weir/wire/weirpb"
)

// Keys of weir.state.
const (
	deviceKey = "d/"
	seriesKey = "s/"
	// Of the partition as a whole.
	partitionKey = "p/"
	planKey      = partitionKey + "plan/"
	silenceKey   = partitionKey + "silence/"
)

// Versions of what the opaque parts of state records hold. Each part begins with what it was made by, and begins
// anew if that is another one now.
const (
	deviceLayout = 1
	seriesLayout = 3
)

// errLayout: written by a version whose layout this one does not know.
var errLayout = errors.New("unknown state layout")

// frozen is a part of a series' state as weir.state has it. Its stage takes it apart when the next reading or timer of
// the series comes: a partition is restored without looking into what nobody asks for.
type frozen []byte

// take returns what is frozen, once.
func (f *frozen) take() []byte {
	b := *f
	*f = nil
	return b
}

// stateEncoder encodes state records into buf. It reuses its messages.
type stateEncoder struct {
	buf     []byte
	device  weirpb.DeviceState
	windows [maxSessions]weirpb.SessionWindow
	series  weirpb.SeriesState
	scratch []byte
	// newest is put into the state of a series that is written whole.
	newest []byte
	sizes  stateSizes
}

// stateSizes are those of the series that were encoded, by part.
type stateSizes struct{ series, average, detector, rules, compute, all int }

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

// deviceState is the header of a device in a checkpoint that is taken before offset position of weir.readings.
func (e *stateEncoder) deviceState(d *device, position int64) []byte {
	m := &e.device
	m.Layout, m.AppliedOffset, m.Sessions, m.Sources = deviceLayout, max(d.applied, position-1), m.Sessions[:0], m.Sources[:0]
	m.NewestTime, m.HeardTime = 0, d.heard
	if d.newestTime != minTime {
		m.NewestTime = d.newestTime
	}
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
	for from, version := range d.sources {
		m.Sources = append(m.Sources, &weirpb.PartialSource{Partition: int32(from.partition), Group: from.group, Version: int64(version)})
	}
	slices.SortFunc(m.Sources, func(a, b *weirpb.PartialSource) int {
		return cmp.Or(cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Group, b.Group))
	})
	return e.message(m)
}

func (e *stateEncoder) seriesState(s *series) []byte {
	m := &e.series
	m.Reset()
	m.Layout, m.Version, m.Derived = seriesLayout, int64(s.summary.version), s.derived
	m.NewestTime, m.NewestValue, m.ChangedTime = s.newest.time, s.newest.value, s.newest.changed
	e.scratch = e.scratch[:0]
	part := func(marshal func([]byte) []byte) []byte {
		start := len(e.scratch)
		e.scratch = marshal(e.scratch)
		return e.scratch[start:len(e.scratch):len(e.scratch)]
	}
	// What scratch held before it grew stays valid until the message is written.
	m.Mean = part(s.average.marshalAppend)
	m.Detector = part(s.detector.marshalAppend)
	m.Watch, m.WatchDue = part(s.watch.marshalAppend), due(s.watch.due)
	if c := s.compute; c != nil && !c.empty() {
		m.Compute, m.ComputeDue = part(c.marshalAppend), due(c.due)
		m.Input = &weirpb.InputState{Time: c.time, IngestTime: c.ingest, Value: c.value, InputTime: c.inputTime, Input: c.input, SendAt: due(c.sendAt)}
	}
	if s.watch.last.known {
		m.LastValue = &s.watch.last.value
	}
	m.StandsFor = s.standsFor
	e.sizes.add(m)
	if len(e.newest) > 0 {
		m.Newest = e.newest
	}
	return e.message(m)
}

func (z *stateSizes) add(m *weirpb.SeriesState) {
	z.series++
	z.average += len(m.Mean)
	z.detector += len(m.Detector)
	z.rules += len(m.Watch)
	z.compute += len(m.Compute)
	z.all += m.SizeVT()
}

// due is how a timer is written: 0 for none.
func due(at int64) int64 {
	if at == never {
		return 0
	}
	return at
}

// stateDecoder reads state records into devices and series.
type stateDecoder struct {
	device weirpb.DeviceState
	series weirpb.SeriesState
	rows   []telemetry.Update
}

// deviceState replaces the header of d. With errLayout, all but its duplicates' windows is read.
func (x *stateDecoder) deviceState(d *device, b []byte) error {
	m := &x.device
	m.Reset()
	if err := m.UnmarshalVTUnsafe(b); err != nil {
		return err
	}
	d.applied, d.contained, d.seen, d.sources, d.newestTime = m.AppliedOffset, m.AppliedOffset, nil, nil, minTime
	if m.NewestTime != 0 {
		d.newestTime = m.NewestTime
	}
	d.heard = m.HeardTime
	for _, from := range m.Sources {
		d.hears(sourceOf(from), telemetry.Version(from.Version))
	}
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

// seriesState replaces the state of s, but keeps a newer place in the chain of updates. With errLayout, all that is
// more than that place begins anew.
func (x *stateDecoder) seriesState(g *registry, s *series, b []byte) error {
	m := &x.series
	m.Reset()
	if err := m.UnmarshalVTUnsafe(b); err != nil {
		return err
	}
	if v := telemetry.Version(m.Version); v > s.summary.emitted {
		s.summary = newSummaryState(s.name, v)
	}
	if err := x.takeNewest(s, m); err != nil {
		return err
	}
	s.forget()
	s.newest = newestState{time: m.NewestTime, value: m.NewestValue, changed: m.ChangedTime}
	g.setDerived(s, m.Derived)
	if m.Layout != seriesLayout {
		if s.newest.value, s.newest.changed = math.NaN(), m.NewestTime; m.NewestTime > s.device.newestTime {
			s.device.newestTime = m.NewestTime
		}
		return errLayout
	}
	parts := append(append(append(append([]byte(nil), m.Mean...), m.Detector...), m.Watch...), m.Compute...)
	cut := func(n int) frozen {
		part := parts[:n:n]
		parts = parts[n:]
		return part
	}
	s.average.frozen = cut(len(m.Mean))
	s.detector.frozen = cut(len(m.Detector))
	s.watch.frozen, s.watch.due = cut(len(m.Watch)), orNever(m.WatchDue)
	if in := m.Input; in != nil {
		s.compute = &computeState{
			time: in.Time, ingest: in.IngestTime, value: in.Value, inputTime: in.InputTime, input: in.Input, sendAt: orNever(in.SendAt),
			frozen: cut(len(m.Compute)), due: orNever(m.ComputeDue),
		}
	}
	if m.LastValue != nil {
		s.watch.last = lastValue{*m.LastValue, true}
	}
	s.standsFor = strings.Clone(m.StandsFor)
	return nil
}

func sourceOf(m *weirpb.PartialSource) source { return source{int(m.Partition), m.Group} }

func orNever(due int64) int64 {
	if due == 0 {
		return never
	}
	return due
}

// known makes errLayout of any error.
func known(err error) error {
	if err != nil {
		return errLayout
	}
	return nil
}
