package pipeline

import (
	"context"
	"maps"
	"math"
	"slices"
	"time"

	"weir/kafka"
	"weir/telemetry"
	"weir/wire"
	"weir/wire/weirpb"
)

// A device that was idle for a while leaves memory. All that is known of it is written to weir.state in one record
// batch, and a stub stays behind that says where. Its next record wakes it (wake.go). Nothing that readers can see
// follows from where a device is, so the owner's clock may decide: no timer of it is due, no alert open, and what else
// concerns it, a plan or a command, wakes it first.

// Bounds of what one checkpoint does to idle devices.
const (
	// maxLooked is how many devices, and stubs, are looked at; a map begins anywhere, so all have their turn.
	maxLooked = 8000
	// maxGoing devices, or maxGoingBytes of state, are written.
	maxGoing      = 2000
	maxGoingBytes = 4 << 20
	// maxWhole is the largest batch that is written of a device; a larger one would be refused by a broker.
	maxWhole = 900 << 10
	// maxDrops is how many devices are dropped, dropsPerSecond how many per second since the checkpoint before.
	maxDrops       = 25
	dropsPerSecond = 5
	// lookAtIdle is how often a checkpoint is due to look for idle devices when there is nothing else to write.
	lookAtIdle = time.Minute
)

// stub is where the state of a device is, and what is to be known of it meanwhile. There may be a million of them.
type stub struct {
	// offset in weir.state of the first of its records.
	offset int64
	// heard is when its newest record came (s).
	heard uint32
	// records of the batch; the highest bit is set when a change of plan may end something of it.
	records uint16
	// own is how many of its series come from the device itself.
	own uint16
}

const planned = 1 << 15

func newStub(offset, heard int64, records, own int, plain bool) stub {
	s := stub{offset, uint32(heard / 1e6), uint16(records), uint16(own)}
	if !plain {
		s.records |= planned
	}
	return s
}

func (s stub) size() int    { return int(s.records &^ planned) }
func (s stub) plain() bool  { return s.records&planned == 0 }
func (s stub) since() int64 { return int64(s.heard) * 1e6 }

// sleep puts a stub in the place of a device that is, or was, in memory.
func (g *registry) sleep(name string, s stub) {
	g.asleep[name] = s
	g.asleepSeries += s.size() - 1
}

// rouse takes away the stub of a device.
func (g *registry) rouse(name string) {
	s, ok := g.asleep[name]
	if !ok {
		return
	}
	delete(g.asleep, name)
	g.asleepSeries -= s.size() - 1
}

// counted adds to the series of a device's tenant those of a stub: a limit must not depend on who is in memory.
func (g *registry) counted(name string, n int) {
	tenant := tenantOf(name)
	if g.tenants[tenant] += n; g.tenants[tenant] == 0 {
		delete(g.tenants, tenant)
	}
}

// evictor finds idle devices, writes them, and lets them go once they are written. It belongs to the driver, and
// touches the registry between barriers only.
type evictor struct {
	// after is how long (µs) a device is idle before it is evicted, drop before it is forgotten; 0: never.
	after, drop int64
	m           *counters
	places      *places

	going   []going
	records []kafka.Record
	encoder stateEncoder
	// looked is when idle devices were looked for last.
	looked time.Time
	// inMemory: there are devices that may become idle.
	inMemory bool
	// most is how many devices the registry's table has had room for.
	most int
	// dropped are devices to be forgotten.
	dropped []string
}

// going is a device that leaves, if nothing has come for it, when its batch, up to records[end], is stored at base.
type going struct {
	d    *device
	stub stub
	end  int
	base int64
}

// wants tells that a checkpoint is to be taken although nothing changed.
func (v *evictor) wants(now time.Time) bool {
	if v.after == 0 && v.drop == 0 {
		return false
	}
	period := time.Duration(v.after) * time.Microsecond / 2
	if v.after == 0 {
		period = lookAtIdle
	}
	return len(v.going) > 0 || v.inMemory && now.Sub(v.looked) >= min(period, lookAtIdle)
}

// settle has leave who was written since the last barrier and has not changed. What was moved meanwhile is found where
// it is now.
func (v *evictor) settle(g *registry) {
	moved := v.places.take()
	if len(moved) > 0 {
		for name, s := range g.asleep {
			if to, ok := moved[s.offset]; ok {
				s.offset = to
				g.asleep[name] = s
			}
		}
		for _, d := range g.devices {
			if to, ok := moved[d.at.offset]; ok && d.whole {
				d.at.offset = to
			}
		}
	}
	for i := range v.going {
		x := &v.going[i]
		if x.base < 0 || !x.d.unchanged() || g.devices[x.d.name] != x.d {
			continue
		}
		x.stub.offset = x.base
		if to, ok := moved[x.base]; ok {
			x.stub.offset = to
		}
		v.leave(g, x.d, x.stub)
	}
	v.shrink(g)
	clear(v.going)
	clear(v.records)
	v.going, v.records = v.going[:0], v.records[:0]
	v.encoder.reset()
}

// shrink gives back what the table of devices took when there were many more: tables do not do so by themselves.
func (v *evictor) shrink(g *registry) {
	const few = 1024
	n := len(g.devices)
	if v.most = max(v.most, n); v.most < few || n > v.most/4 {
		return
	}
	devices := make(map[string]*device, n)
	maps.Copy(devices, g.devices)
	g.devices, v.most = devices, n
}

// unchanged: nothing has come for the device since the last checkpoint that took notice of it.
func (d *device) unchanged() bool {
	return !d.dirty && !d.retired && d.dirtySeries == nil && len(d.buried) == 0
}

// leave takes a device out of memory.
func (v *evictor) leave(g *registry, d *device, s stub) {
	g.seriesN -= len(d.series)
	d.gone = true
	delete(g.devices, d.name)
	g.sleep(d.name, s)
	v.m.evictions.Inc()
}

// look finds idle devices and encodes them. now is the partition's processing time (µs); 0: not known.
func (v *evictor) look(g *registry, position, now int64, headers []kafka.Header) {
	before := v.looked
	v.looked = time.Now()
	v.inMemory = len(g.devices) > 0
	if now == 0 {
		return
	}
	if v.after > 0 {
		n := 0
		for _, d := range g.devices {
			if n++; n > maxLooked || len(v.going) == maxGoing || len(v.encoder.buf) > maxGoingBytes {
				break
			}
			if d.heard == 0 {
				d.heard = now
			}
			switch {
			case now-d.heard < v.after || !d.quiet():
			case d.whole:
				v.leave(g, d, d.at)
			default:
				v.write(d, position, headers)
			}
		}
	}
	if v.drop > 0 && !before.IsZero() {
		room := min(maxDrops, int(v.looked.Sub(before).Seconds()*dropsPerSecond)+1)
		v.outdated(g, now, room)
	}
}

// outdated lists devices that were idle for so long that they are to be forgotten.
func (v *evictor) outdated(g *registry, now int64, room int) {
	n := 0
	for name, s := range g.asleep {
		if n++; n > maxLooked || len(v.dropped) == room {
			break
		}
		if now-s.since() > v.drop {
			v.dropped = append(v.dropped, name)
		}
	}
	n = 0
	for name, d := range g.devices {
		if n++; n > maxLooked || len(v.dropped) == room {
			break
		}
		if now-d.heard > v.drop && len(d.series) > 0 {
			v.dropped = append(v.dropped, name)
		}
	}
}

// quiet: nothing will happen to the device before something comes for it.
func (d *device) quiet() bool {
	if d.tooLarge || !d.unchanged() || len(d.open) > 0 {
		return false
	}
	for _, of := range d.series {
		if of.watch.due != never || of.summary.stale || of.compute != nil && of.compute.due != never {
			return false
		}
	}
	return true
}

// write encodes all that is known of a device.
func (v *evictor) write(d *device, position int64, headers []kafka.Header) {
	e, first, start := &v.encoder, len(v.records), len(v.encoder.buf)
	v.records = append(v.records, kafka.Record{Key: e.keyed(deviceKey, d.name), Headers: headers})
	plain := true
	for _, of := range d.series {
		if of.blank() {
			continue
		}
		plain = plain && (of.compute == nil || of.compute.empty())
		v.records = append(v.records, kafka.Record{Key: e.keyed(seriesKey, of.name), Value: e.wholeSeries(of), Headers: headers})
	}
	n := len(v.records) - first
	v.records[first].Value = e.wholeDevice(d, position, n, plain)
	if len(e.buf)-start > maxWhole || n >= planned || d.own > math.MaxUint16 {
		d.tooLarge = true
		v.records = v.records[:first]
		return
	}
	v.going = append(v.going, going{d: d, stub: newStub(0, d.heard, n, d.own, plain), end: len(v.records), base: -1})
}

// blank: there is nothing to remember of a series that others may lead to.
func (s *series) blank() bool {
	return s.derived && s.summary.version == telemetry.NoVersion && s.newest.time == minTime && s.standsFor == "" &&
		(s.compute == nil || s.compute.empty()) && s.watch.frozen == nil && s.watch.Empty()
}

// wholeDevice is the header of a device that is written with everything known of it.
func (e *stateEncoder) wholeDevice(d *device, position int64, records int, plain bool) []byte {
	e.device.Whole, e.device.Own, e.device.Plain = uint32(records), uint32(d.own), plain
	b := e.deviceState(d, position)
	e.device.Whole, e.device.Own, e.device.Plain = 0, 0, false
	return b
}

// wholeSeries is the state of a series together with its newest Update.
func (e *stateEncoder) wholeSeries(s *series) []byte {
	if s.summary.version != telemetry.NoVersion {
		row := [1]telemetry.Update{s.summary.newest}
		e.newest = wire.AppendUpdateBatch(e.newest[:0], row[0].EmitTime, row[:])
	}
	b := e.seriesState(s)
	e.newest = e.newest[:0]
	return b
}

// takeNewest reads the newest Update from the state of a series, unless a newer one is known.
func (x *stateDecoder) takeNewest(s *series, m *weirpb.SeriesState) error {
	if len(m.Newest) == 0 || telemetry.Version(m.Version) < s.summary.emitted || s.summary.newest.Version != s.summary.newest.Since {
		return nil
	}
	var err error
	if x.rows, err = wire.DecodeUpdateBatch(m.Newest, x.rows[:0], nil); err != nil || len(x.rows) != 1 {
		return errLayout
	}
	s.summary.newest = x.rows[0]
	s.summary.newest.Series = s.name
	return nil
}

// writeWhole writes those that are to leave, each as one batch.
func (o *owner) writeWhole(ctx context.Context, v *evictor) error {
	if len(v.going) == 0 {
		return nil
	}
	var all flight
	first := 0
	for i := range v.going {
		x := &v.going[i]
		landed := all.begin()
		err := o.producer.Produce(ctx, wire.TopicState, o.partition, v.records[first:x.end], func(base int64, err error) {
			if err == nil {
				x.base = base
			}
			landed(base, err)
		})
		if err != nil {
			return err
		}
		first = x.end
	}
	if err := all.wait(ctx); err != nil {
		return err
	}
	return o.at("idle devices written")
}

// dropIdle writes the commands to delete devices of which nothing was heard for long.
func (d *driver) dropIdle() error {
	v := &d.evictor
	for _, name := range v.dropped {
		d.m.dropped.Inc()
		d.log.Info("device dropped: nothing was heard of it", "device", name, "for", d.config.DropAfter)
		c := wire.Control{Kind: wire.ControlDeleteDevice, Device: name, Time: time.Now().UnixMicro(), By: "weir"}
		if err := d.write(&c); err != nil {
			return err
		}
	}
	v.dropped = slices.Delete(v.dropped, 0, len(v.dropped))
	return nil
}
