package pipeline

import (
	"context"
	"fmt"
	"sync"
	"time"

	"weir/kafka"
	"weir/telemetry"
	"weir/wire"
)

// checkpoint is what changed in a partition since the one before, encoded while the graph stood still.
// It is written, while the graph goes on, in an order in which a crash between any two writes does no harm:
//
//	weir.updates and weir.alerts (acknowledged before) → weir.dead-letters → weir.state, each device at once
//	→ weir.latest, the marker last → the group's offset
type checkpoint struct {
	started time.Time
	marker  wire.Marker

	dead    []kafka.Record
	backlog []kafka.Record
	state   []kafka.Record
	devices []int // where in state each device ends
	latest  []kafka.Record
	// oversized is how many devices had too much state for a batch, large names those of all checkpoints, and tooLarge
	// those of which it is to be said.
	oversized int
	large     map[string]bool
	tooLarge  []string
	// committed: the group has taken the offset.
	committed bool
	// devicesN and seriesN are how many there are, changed or not, evicted or not.
	devicesN, seriesN int

	encoder stateEncoder
}

// take encodes what changed. The graph must be drained: b is a barrier that has passed it.
func (c *checkpoint) take(b *Batch, s *stages, position int64, headers []kafka.Header) {
	before := c.marker.Readings
	c.marker = wire.Marker{Updates: b.updatesEnd, Alerts: b.alertsEnd, Readings: position, Time: c.started.UnixMicro()}
	c.backlog = b.backlog
	c.dead, c.state, c.devices, c.latest = b.dead, c.state[:0], c.devices[:0], c.latest[:0]
	c.devicesN = len(s.decode.registry.devices) + len(s.decode.registry.asleep)
	c.seriesN = s.decode.registry.seriesN + s.decode.registry.asleepSeries
	c.oversized, c.tooLarge = 0, nil
	c.encoder.reset()
	g := s.decode.registry
	c.plans(g, before, headers)
	c.retire(g, headers)
	for _, d := range g.mourning(join(s.decode.dedupe.take(), s.summarise.takeDirty())) {
		c.device(d, position, headers)
		g.retire(d)
	}
	c.silences(&s.rules.silences, headers)
	for _, of := range s.summarise.stale {
		c.newest(of, headers)
	}
	clear(s.summarise.stale)
	s.summarise.stale = s.summarise.stale[:0]
	for id, alert := range b.changed {
		c.alert(id, alert, headers)
	}
}

// device adds the header of a device and its changed series.
func (c *checkpoint) device(d *device, position int64, headers []kafka.Header) {
	d.dirty, d.whole = false, false
	first, oversized := len(c.state), c.oversized
	e := &c.encoder
	c.state = append(c.state, kafka.Record{Key: e.keyed(deviceKey, d.name), Value: e.deviceState(d, position), Headers: headers})
	for s := d.dirtySeries; s != nil; {
		if !s.buried {
			c.state = append(c.state, kafka.Record{Key: e.keyed(seriesKey, s.name), Value: e.seriesState(s), Headers: headers})
		}
		next := s.summary.nextDirty
		s.summary.dirty, s.summary.nextDirty = false, nil
		s = next
	}
	d.dirtySeries = nil
	for _, s := range d.buried {
		c.tombstones(s, headers)
	}
	for _, s := range d.ghosts {
		if !s.buried && s.summary.version == telemetry.NoVersion {
			c.tombstones(s, headers)
		}
	}
	d.buried, d.ghosts = nil, nil
	if c.shrink(first); c.oversized > oversized && !c.large[d.name] {
		if c.large == nil {
			c.large = make(map[string]bool)
		}
		c.large[d.name] = true
		c.tooLarge = append(c.tooLarge, d.name)
	}
	c.devices = append(c.devices, len(c.state))
}

func (c *checkpoint) tombstones(s *series, headers []kafka.Header) {
	c.state = append(c.state, kafka.Record{Key: c.encoder.keyed(seriesKey, s.name), Headers: headers})
	c.latest = append(c.latest, kafka.Record{Key: c.encoder.keyed(wire.SeriesKey(""), s.name), Headers: headers})
}

// join adds to the devices of a list those of another that are not in it.
func join(changed, others []*device) []*device {
	for _, d := range others {
		if !d.dirty {
			d.dirty = true
			changed = append(changed, d)
		}
	}
	return changed
}

// retire removes the devices that had nothing left at the checkpoint before, which has been written, and of which
// nothing was heard since.
func (c *checkpoint) retire(g *registry, headers []kafka.Header) {
	for _, d := range g.retired {
		d.retired = false
		if d.dirty || len(d.series) > 0 || len(d.buried) > 0 {
			continue
		}
		delete(g.devices, d.name)
		c.state = append(c.state, kafka.Record{Key: c.encoder.keyed(deviceKey, d.name), Headers: headers})
		c.devices = append(c.devices, len(c.state))
	}
	g.retired = g.retired[:0]
}

func (c *checkpoint) newest(of *series, headers []kafka.Header) {
	of.summary.stale = false
	if of.buried || of.summary.version == telemetry.NoVersion {
		return
	}
	e := &c.encoder
	key := e.keyed(wire.SeriesKey(""), of.name)
	start := len(e.buf)
	row := [1]telemetry.Update{of.summary.newest}
	e.buf = wire.AppendUpdateBatch(e.buf, row[0].EmitTime, row[:])
	c.latest = append(c.latest, kafka.Record{Key: key, Value: e.buf[start:len(e.buf):len(e.buf)], Headers: headers})
}

func (c *checkpoint) alert(id string, alert *telemetry.Alert, headers []kafka.Header) {
	record := kafka.Record{Key: c.encoder.keyed(wire.AlertKey(""), id), Headers: headers}
	if alert.Phase != telemetry.Resolved {
		record.Value = wire.AppendAlert(nil, alert)
	}
	c.latest = append(c.latest, record)
}

// persist writes the checkpoint.
func (o *owner) persist(ctx context.Context, c *checkpoint) error {
	o.m.oversized.Add(c.oversized)
	for _, name := range c.tooLarge {
		o.log.Warn("device has more state than is written: after a change of owner, windows of it begin anew", "device", name, "bound", maxGroup)
	}
	if err := o.writeAll(ctx, wire.TopicDeadLetters, each(c.dead)); err != nil {
		return err
	}
	if err := o.writeAll(ctx, wire.TopicBacklog, each(c.backlog)); err != nil {
		return err
	}
	if err := o.at("dead letters written"); err != nil {
		return err
	}
	if err := o.writeAll(ctx, wire.TopicState, c.byDevice()); err != nil {
		return err
	}
	if err := o.at("state written"); err != nil {
		return err
	}
	if err := o.writeAll(ctx, wire.TopicLatest, chunks(c.latest)); err != nil {
		return err
	}
	if err := o.at("latest written"); err != nil {
		return err
	}
	marker := kafka.Record{Key: []byte(wire.MarkerKey), Value: wire.AppendMarker(nil, c.marker), Headers: o.headers}
	if _, err := o.producer.ProduceSync(ctx, wire.TopicLatest, o.partition, []kafka.Record{marker}); err != nil {
		return err
	}
	if err := o.at("marker written"); err != nil {
		return err
	}
	// The marker tells a successor all it needs. The group's offset is for tools that show lag, and for a
	// weir.latest that was lost; so a refusal (a rebalance is under way) is not worth stopping for.
	err := o.commit(ctx, c.marker.Readings)
	c.committed = err == nil
	if err != nil {
		o.m.commitErrors.Inc()
		o.log.Debug("commit refused", "offset", c.marker.Readings, "error", err)
	}
	o.m.checkpoints.UpdateDuration(c.started)
	return nil
}

// writeAll hands groups of records to the producer, each group as one record batch, and waits for all.
func (o *owner) writeAll(ctx context.Context, topic string, groups func(yield func([]kafka.Record) bool)) error {
	var all flight
	for group := range groups {
		if err := o.producer.Produce(ctx, topic, o.partition, group, all.begin()); err != nil {
			return fmt.Errorf("checkpoint: %w", err)
		}
	}
	return all.wait(ctx)
}

func (c *checkpoint) byDevice() func(func([]kafka.Record) bool) {
	return func(yield func([]kafka.Record) bool) {
		first := 0
		for _, end := range c.devices {
			if !yield(c.state[first:end]) {
				return
			}
			first = end
		}
	}
}

func each(records []kafka.Record) func(func([]kafka.Record) bool) {
	return func(yield func([]kafka.Record) bool) {
		for i := range records {
			if !yield(records[i : i+1]) {
				return
			}
		}
	}
}

// chunks groups records by size.
func chunks(records []kafka.Record) func(func([]kafka.Record) bool) {
	const maxChunk = 256 << 10
	return func(yield func([]kafka.Record) bool) {
		for first := 0; first < len(records); {
			end, size := first, 0
			for end < len(records) && (size < maxChunk || end == first) {
				size += len(records[end].Key) + len(records[end].Value)
				end++
			}
			if !yield(records[first:end]) {
				return
			}
			first = end
		}
	}
}

// flight waits for the acknowledgements of several calls. The zero value is ready.
type flight struct {
	mu    sync.Mutex
	open  int
	err   error
	empty chan struct{} // made by wait, closed when open falls to 0
}

// begin adds a call and returns what the producer is to call at its end.
func (f *flight) begin() func(int64, error) {
	f.mu.Lock()
	f.open++
	f.mu.Unlock()
	return f.end
}

func (f *flight) end(_ int64, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.open--
	if f.err == nil {
		f.err = err
	}
	if f.open == 0 && f.empty != nil {
		close(f.empty)
		f.empty = nil
	}
}

// wait returns the first error, when all calls have ended or ctx has.
func (f *flight) wait(ctx context.Context) error {
	f.mu.Lock()
	if f.open == 0 {
		defer f.mu.Unlock()
		return f.err
	}
	empty := make(chan struct{})
	f.empty = empty
	f.mu.Unlock()
	select {
	case <-empty:
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
