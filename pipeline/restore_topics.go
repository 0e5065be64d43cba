package pipeline

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"weir/kafka"
	"weir/telemetry"
	"weir/wire"
)

// span is the part [from, to) of the partition of a topic, written under fence or a later one.
type span struct {
	topic    string
	from, to int64
	fence    int64
}

// scan reads a span without what zombies wrote.
func (r *restorer) scan(ctx context.Context, s span, fn func(*kafka.Record) error) error {
	filter := kafka.FenceFilter{Min: s.fence}
	return r.o.client.ReadRange(ctx, s.topic, r.o.partition, s.from, s.to, func(rec *kafka.Record) error {
		if !filter.Accept(rec) {
			return nil
		}
		if err := fn(rec); err != nil {
			// A record of Weir's own that makes no sense. Stopping here would stop the partition for good.
			r.o.log.Error("record not restored", "topic", s.topic, "offset", rec.Offset, "error", err)
			r.o.m.skipped.Inc()
		}
		return nil
	})
}

// scanAll reads a compacted topic up to a fence.
func (r *restorer) scanAll(ctx context.Context, topic string, to int64, fn func(*kafka.Record) error) error {
	err := r.scan(ctx, span{topic: topic, from: kafka.FirstOffset, to: to}, fn)
	if gone := new(kafka.ErrOffsetOutOfRange); errors.As(err, &gone) { // compacted since the first offset was asked for
		err = r.scan(ctx, span{topic: topic, from: gone.First, to: to}, fn)
	}
	return err
}

// scanEmitted reads what predecessors emitted from the marker's offset up to a fence. If the beginning of that is
// gone, nobody knows what readers have seen: going on could emit intervals twice.
func (r *restorer) scanEmitted(ctx context.Context, s span, fn func(*kafka.Record) error) error {
	err := r.scan(ctx, s, fn)
	gone := new(kafka.ErrOffsetOutOfRange)
	if !errors.As(err, &gone) || s.from >= gone.First {
		return err
	}
	if !r.o.config.AcceptLoss {
		return fmt.Errorf("%s/%d: what was emitted since the last checkpoint, from offset %d on, was deleted (the log begins at %d), "+
			"and could go out twice; keep it at least as long as %s, and to go on in spite of that, start once with pipeline.accept_loss",
			s.topic, r.o.partition, s.from, gone.First, wire.TopicReadings)
	}
	r.o.log.Error("going on without what was emitted since the last checkpoint", "topic", s.topic, "wanted", s.from, "first", gone.First)
	s.from = gone.First
	return r.scan(ctx, s, fn)
}

// readLatest finds the newest marker, and what every series looks like to those who see it.
func (r *restorer) readLatest(ctx context.Context) error {
	return r.scanAll(ctx, wire.TopicLatest, r.fences.latest, func(rec *kafka.Record) (err error) {
		r.out.logs.latest.add(*rec)
		switch kind, name := wire.ParseLatestKey(rec.Key); kind {
		case wire.LatestMarker:
			if r.marker, err = wire.DecodeMarker(rec.Value); err == nil {
				r.marked = true
				r.markerFence, _ = kafka.FenceNumber(rec)
			}
		case wire.LatestSeries:
			if rec.Value == nil {
				r.noLatest(name)
				return nil
			}
			if r.asleep(name) {
				return nil
			}
			err = r.updates(ctx, rec.Value, func(of *series, u *telemetry.Update) {
				of.summary.newest, of.summary.version, of.summary.emitted = *u, u.Version, u.Version
				of.inLatest = true
			})
		case wire.LatestAlert:
			if rec.Value == nil {
				delete(r.out.open, name)
				return nil
			}
			var alert telemetry.Alert
			if alert, err = wire.DecodeAlert(rec.Value); err == nil {
				r.out.open[name] = &alert
			}
		}
		return err
	})
}

// noLatest forgets a series that was deleted.
func (r *restorer) noLatest(path string) {
	deviceName, metric, _ := telemetry.SplitSeries(path)
	if of := r.out.registry.known(deviceName, metric); of != nil {
		r.out.registry.forget(of)
	}
}

// updates decodes an UpdateBatch and hands out its rows.
func (r *restorer) updates(ctx context.Context, value []byte, row func(*series, *telemetry.Update)) (err error) {
	if r.rows, err = wire.DecodeUpdateBatch(value, r.rows[:0], nil); err != nil {
		return err
	}
	for i := range r.rows {
		u := &r.rows[i]
		if r.asleep(u.Series) {
			device, _, _ := telemetry.SplitSeries(u.Series)
			if err := r.rouse(ctx, device); err != nil {
				return err
			}
		}
		of, err := r.out.registry.restoredSeries(u.Series)
		if err != nil {
			return err
		}
		u.Series = of.name
		row(of, u)
	}
	return nil
}

// readUpdates learns the last version that predecessors emitted of each series since the marker.
func (r *restorer) readUpdates(ctx context.Context) error {
	since := span{topic: wire.TopicUpdates, from: r.marker.Updates, to: r.fences.updates, fence: r.markerFence}
	return r.scanEmitted(ctx, since, func(rec *kafka.Record) error {
		if wire.IsControl(rec.Value) {
			return r.deleted(ctx, rec.Value)
		}
		return r.updates(ctx, rec.Value, func(of *series, u *telemetry.Update) {
			r.highest = max(r.highest, u.Version)
			state := &of.summary
			if u.Version <= state.emitted {
				return // the predecessor had got as far as weir.latest, but not to the marker
			}
			state.take(u)
			if !state.stale {
				state.stale = true
				r.out.stale = append(r.out.stale, of)
			}
		})
	})
}

// deleted notes that predecessors told of a deletion.
func (r *restorer) deleted(ctx context.Context, value []byte) error {
	c, err := wire.DecodeControl(value)
	if err != nil || c.Kind != wire.ControlDeleteDevice {
		return err
	}
	r.highest = max(r.highest, c.Version)
	if err := r.rouse(ctx, c.Device); err != nil {
		return err
	}
	if d := r.out.registry.devices[c.Device]; d != nil {
		for _, of := range d.series {
			of.summary.forget(of.name, c.Version)
		}
	}
	return nil
}

// readAlerts learns which transitions predecessors emitted since the marker.
func (r *restorer) readAlerts(ctx context.Context) error {
	since := span{topic: wire.TopicAlerts, from: r.marker.Alerts, to: r.fences.alerts, fence: r.markerFence}
	err := r.scanEmitted(ctx, since, func(rec *kafka.Record) error {
		alert, err := wire.DecodeAlert(rec.Value)
		if err != nil {
			return err
		}
		r.highest = max(r.highest, alert.Version)
		r.out.changed[alert.ID], r.out.open[alert.ID], r.out.told[alert.ID] = &alert, &alert, alert.Version
		return nil
	})
	for _, alert := range r.out.open { // the rules are to know of it
		device, _, _ := telemetry.SplitSeries(alert.Series)
		err = errors.Join(err, r.rouse(ctx, device))
	}
	return err
}

// readState reads devices and series. It comes last: what the chain of a series says goes before, and so do the
// transitions that a replay will not come by.
func (r *restorer) readState(ctx context.Context) error {
	return r.scanAll(ctx, wire.TopicState, r.fences.state, func(rec *kafka.Record) error {
		r.out.logs.state.add(*rec)
		if len(rec.Key) < len(deviceKey) {
			return nil
		}
		var err error
		name := string(rec.Key[len(deviceKey):])
		if r.passOver(rec.Key) {
			return nil
		}
		if rec.Value == nil && string(rec.Key[:len(partitionKey)]) != partitionKey {
			r.noState(string(rec.Key[:len(deviceKey)]), name)
			return nil
		}
		switch string(rec.Key[:len(deviceKey)]) {
		case deviceKey, seriesKey:
			err = r.out.registry.restoreState(&r.decoder, rec)
		case partitionKey:
			err = r.ofPartition(string(rec.Key), rec.Value)
		}
		if errors.Is(err, errLayout) {
			r.o.m.layouts.Inc()
			return nil
		}
		return err
	})
}

// ofPartition reads state of the partition as a whole.
func (r *restorer) ofPartition(key string, value []byte) error {
	if offset, ok := strings.CutPrefix(key, planKey); ok {
		return r.out.registry.restorePlan(offset, value)
	}
	if id, ok := strings.CutPrefix(key, silenceKey); ok {
		return r.out.silences.restore(id, value)
	}
	return nil
}

// noState takes back what was read of a device or series that was deleted.
func (r *restorer) noState(prefix, name string) {
	g := r.out.registry
	switch prefix {
	case deviceKey:
		if d := g.devices[name]; d != nil {
			d.applied, d.contained, d.seen, d.sources = -1, -1, nil, nil
		}
	case seriesKey:
		deviceName, metric, _ := telemetry.SplitSeries(name)
		if s := g.known(deviceName, metric); s != nil {
			s.inState = false
			s.forget()
			if s.byState {
				s.byState, s.summary = false, newSummaryState(s.name, telemetry.NoVersion)
			}
			if !s.inLatest && s.summary.emitted == telemetry.NoVersion {
				g.forget(s)
			}
		}
	}
}
