package pipeline

import (
	"context"

	"weir/kafka"
	"weir/telemetry"
	"weir/wire"
	"weir/wire/weirpb"
)

// surveyor finds in weir.state the devices that need not be read: all that is known of them is in one batch, the
// newest of theirs.
type surveyor struct {
	found map[string]stub
	// The batch that is being read, and how many of its records have come.
	name  string
	batch stub
	got   int
	state weirpb.DeviceState
}

// survey begins the restoring: whoever was evicted stays so, and costs no more than that its records are read over.
func (r *restorer) survey(ctx context.Context) error {
	s := surveyor{found: make(map[string]stub)}
	if err := r.scanAll(ctx, wire.TopicState, r.fences.state, s.record); err != nil {
		return err
	}
	g := r.out.registry
	for name, at := range s.found {
		g.sleep(name, at)
		g.counted(name, int(at.own))
	}
	return nil
}

func (s *surveyor) record(rec *kafka.Record) error {
	if len(rec.Key) < len(deviceKey) {
		return nil
	}
	name := rec.Key[len(deviceKey):]
	switch string(rec.Key[:len(deviceKey)]) {
	case deviceKey:
		return s.header(string(name), rec)
	case seriesKey:
		device, _, _ := telemetry.SplitSeries(string(name))
		if device == s.name && rec.Value != nil && rec.Offset == s.batch.offset+int64(s.got) && s.got < s.batch.size() {
			s.got++
			s.complete()
			return nil
		}
		s.changed(device)
	}
	return nil
}

func (s *surveyor) header(name string, rec *kafka.Record) error {
	s.changed(name)
	if rec.Value == nil {
		return nil
	}
	s.state.Reset()
	if err := s.state.UnmarshalVTUnsafe(rec.Value); err != nil {
		return err
	}
	if m := &s.state; m.Whole > 0 && m.Whole < planned {
		s.name, s.got = name, 1
		s.batch = newStub(rec.Offset, m.HeardTime, int(m.Whole), int(m.Own), m.Plain)
		s.complete()
	}
	return nil
}

func (s *surveyor) complete() {
	if s.got == s.batch.size() {
		s.found[s.name] = s.batch
		s.name = ""
	}
}

// changed: there is something newer of a device than the batch that was found.
func (s *surveyor) changed(name string) {
	delete(s.found, name)
	if s.name == name {
		s.name = ""
	}
}

// asleep reports whether the series of a path, or the device of a name, was evicted.
func (r *restorer) asleep(path string) bool {
	g := r.out.registry
	if len(g.asleep) == 0 {
		return false
	}
	device, _, _ := telemetry.SplitSeries(path)
	_, ok := g.asleep[device]
	return ok
}

// passOver reports whether a record of weir.state is of an evicted device.
func (r *restorer) passOver(key []byte) bool {
	g := r.out.registry
	if len(g.asleep) == 0 {
		return false
	}
	switch name := key[len(deviceKey):]; string(key[:len(deviceKey)]) {
	case deviceKey:
		_, ok := g.asleep[string(name)]
		return ok
	case seriesKey:
		return r.asleep(string(name))
	}
	return false
}

// rouse brings an evicted device back because something was emitted of it since. Its batch has what weir.latest has.
func (r *restorer) rouse(ctx context.Context, device string) error {
	g := r.out.registry
	at, ok := g.asleep[device]
	if !ok {
		return nil
	}
	if err := r.waker.wake(ctx, g, []sleeper{{name: device, stub: at}}); err != nil {
		r.failed = err
		return err
	}
	d := g.devices[device]
	if d == nil {
		return nil
	}
	d.whole = false
	for _, of := range d.series {
		of.inLatest, of.byState = of.inState, false
		of.summary.stale = true // perhaps weir.latest has an older one
		r.out.stale = append(r.out.stale, of)
	}
	return nil
}
