package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"weir/kafka"
	"weir/telemetry"
	"weir/wire"
)

// waker brings evicted devices back: it reads the batches that they were written in. It belongs to decode; while
// restoring, to the restorer.
type waker struct {
	ctx       context.Context // the owner's
	client    *kafka.Client
	partition int
	places    *places
	// fail ends the owner: going on without what is known of a device would be wrong, and a broker that does not answer
	// is no reason to forget it.
	fail func(error)

	tail    *kafka.Tail
	decoder stateDecoder
	m       *counters
	log     *slog.Logger
}

const (
	// wakeFetchBytes is how much of weir.state is asked for at once.
	wakeFetchBytes = 128 << 10
	// wakeGap is how many records of others are read over rather than asked for anew.
	wakeGap = 256
)

func (o *owner) newWaker(ctx context.Context) *waker {
	return &waker{ctx: ctx, client: o.client, partition: o.partition, places: &o.places, fail: o.fail, m: o.m, log: o.log}
}

func (w *waker) close() {
	if w.tail != nil {
		_ = w.tail.Close()
	}
}

// sleeper is an evicted device, and its records once they are read.
type sleeper struct {
	name string
	stub
	records []kafka.Record
}

// device is the one of a name, which is woken if need be; nil if there is none.
func (s *decode) device(name string) *device {
	g := s.registry
	d := g.devices[name]
	if d == nil && len(g.asleep) > 0 {
		if at, ok := g.asleep[name]; ok {
			s.wake([]sleeper{{name: strings.Clone(name), stub: at}})
			d = g.devices[name]
		}
	}
	return d
}

// rouse wakes the devices that a batch has records of, together.
func (s *decode) rouse(b *Batch) {
	g := s.registry
	var list []sleeper
	for i := range b.records {
		if at, ok := g.asleep[string(b.records[i].key)]; ok {
			name := string(b.records[i].key)
			if !slices.ContainsFunc(list, func(x sleeper) bool { return x.name == name }) {
				list = append(list, sleeper{name: name, stub: at})
			}
		}
	}
	s.wake(list)
}

// rouseFor wakes the devices that another plan may concern.
func (s *decode) rouseFor(timed bool) {
	var list []sleeper
	for name, at := range s.registry.asleep {
		if timed || !at.plain() {
			list = append(list, sleeper{name: name, stub: at})
		}
	}
	s.wake(list)
}

func (s *decode) wake(list []sleeper) {
	if len(list) == 0 {
		return
	}
	started := time.Now()
	if err := s.waker.wake(s.waker.ctx, s.registry, list); err != nil {
		s.waker.fail(fmt.Errorf("wake: %w", err))
		return
	}
	s.m.wakeTime.UpdateDuration(started)
}

// wake brings devices back into memory and gives their series the treatment of the plan in force.
func (w *waker) wake(ctx context.Context, g *registry, list []sleeper) error {
	return w.read(ctx, list, func(x *sleeper) error {
		g.rouse(x.name)
		g.counted(x.name, -int(x.own))
		if !x.whole() {
			w.m.wakesLost.Inc()
			w.log.Error("state of an idle device not found: its series begin anew", "device", x.name, "offset", x.offset,
				"records", x.size(), "found", len(x.records))
			return nil
		}
		w.m.wakes.Inc()
		return w.load(g, x)
	})
}

// load makes a device of its records.
func (w *waker) load(g *registry, x *sleeper) error {
	d := g.restoredDevice(x.name)
	for i := range x.records {
		if err := g.restoreState(&w.decoder, &x.records[i]); errors.Is(err, errLayout) {
			w.m.layouts.Inc()
		} else if err != nil {
			w.m.skipped.Inc()
			w.log.Error("record not restored", "topic", wire.TopicState, "offset", x.records[i].Offset, "error", err)
		}
	}
	d.at, d.whole = x.stub, true
	g.treatAll(d)
	for _, of := range d.series {
		of.watch.treat = of.treat
		if of.compute != nil {
			of.compute.next = of.treat
		}
	}
	return nil
}

// restoreState reads the state of a device or of a series.
func (g *registry) restoreState(x *stateDecoder, rec *kafka.Record) error {
	prefix, name := string(rec.Key[:len(deviceKey)]), string(rec.Key[len(deviceKey):])
	if prefix == deviceKey {
		return x.deviceState(g.restoredDevice(name), rec.Value)
	}
	of, err := g.restoredSeries(name)
	if err != nil {
		return err
	}
	before := of.summary.emitted
	err = x.seriesState(g, of, rec.Value)
	of.inState, of.byState = true, of.byState || of.summary.emitted != before
	return err
}

// whole reports whether all records of the device were found.
func (x *sleeper) whole() bool {
	if len(x.records) != x.size() {
		return false
	}
	for i := range x.records {
		if r := &x.records[i]; r.Value == nil || !isStateOf(r.Key, x.name, i == 0) {
			return false
		}
	}
	return true
}

// isStateOf reports whether a key is that of the header, or of a series, of a device.
func isStateOf(key []byte, device string, header bool) bool {
	if len(key) < len(deviceKey) {
		return false
	}
	prefix, name := string(key[:len(deviceKey)]), string(key[len(deviceKey):])
	if header {
		return prefix == deviceKey && name == device
	}
	of, _, _ := telemetry.SplitSeries(name)
	return prefix == seriesKey && of == device
}

// read reads what is wanted, in the order of the log, and hands over each device as soon as it is read. What is not
// there any more comes without, or with some of, its records.
func (w *waker) read(ctx context.Context, list []sleeper, fn func(*sleeper) error) error {
	w.places.mu.RLock()
	defer w.places.mu.RUnlock()
	for i := range list {
		list[i].offset = w.places.now(list[i].offset)
	}
	slices.SortFunc(list, func(a, b sleeper) int { return cmp.Compare(a.offset, b.offset) })
	if w.tail == nil {
		w.tail = w.client.NewTail(kafka.TailOptions{Topic: wire.TopicState, Partition: w.partition, MaxBytes: wakeFetchBytes})
	}
	for len(list) > 0 {
		n := 1
		for n < len(list) && list[n].offset-list[n-1].end() < wakeGap {
			n++
		}
		if err := w.readNear(ctx, list[:n], fn); err != nil {
			return err
		}
		list = list[n:]
	}
	return nil
}

func (x *sleeper) end() int64 { return x.offset + int64(x.size()) }

// readNear reads devices that lie close together.
func (w *waker) readNear(ctx context.Context, list []sleeper, fn func(*sleeper) error) error {
	w.tail.SeekTo(list[0].offset)
	for len(list) > 0 {
		f, err := w.tail.Next(ctx)
		next := w.tail.Offset()
		gone, corrupt := new(kafka.ErrOffsetOutOfRange), new(kafka.CorruptError)
		switch {
		case errors.As(err, &gone):
			if next = gone.First; next <= w.tail.Offset() {
				next = list[len(list)-1].end() // the log ends before it: nothing of this is there
			}
			w.tail.SeekTo(next)
		case errors.As(err, &corrupt):
			next = corrupt.Next
			w.tail.SeekTo(next)
		case err != nil:
			return err
		case len(f.Records) == 0 && f.HighWatermark <= next:
			next = list[len(list)-1].end()
		}
		for i := range f.Records {
			r := &f.Records[i]
			for len(list) > 0 && r.Offset >= list[0].end() {
				if list, err = passed(list, fn); err != nil {
					return err
				}
			}
			if len(list) == 0 {
				return nil
			}
			if r.Offset >= list[0].offset {
				list[0].records = append(list[0].records, r.Clone())
			}
		}
		for len(list) > 0 && list[0].end() <= next {
			if list, err = passed(list, fn); err != nil {
				return err
			}
		}
	}
	return nil
}

func passed(list []sleeper, fn func(*sleeper) error) ([]sleeper, error) {
	err := fn(&list[0])
	list[0].records = nil
	return list[1:], err
}

// names lists the series of evicted devices.
func (w *waker) names(g *registry, list []string) ([]string, error) {
	all := make([]sleeper, 0, len(g.asleep))
	for name, at := range g.asleep {
		all = append(all, sleeper{name: name, stub: at})
	}
	err := w.read(w.ctx, all, func(x *sleeper) error {
		for i := 1; i < len(x.records); i++ {
			list = append(list, string(x.records[i].Key[len(seriesKey):]))
		}
		return nil
	})
	return list, err
}
