package pipeline

import (
	"errors"
	"fmt"
	"log/slog"

	"weir/kafka"
	"weir/telemetry"
	"weir/wire"
)

// decode takes the records apart, asks dedupe which are new, and resolves each metric of those to its series,
// once. What cannot be read, or names what no device may name, goes to the dead letters.
//
// Only a reading of a new record admits a series: then every series is in the state of its device, and a
// replay meets the same ones in the same order. A device's series are the first distinct metrics in its log,
// as many as it may have.
type decode struct {
	registry *registry
	dedupe   *dedupe
	// partition is the one of partitions that the records come from.
	partition, partitions int

	columns wire.ReadingColumns
	// resolved holds the series of columns.Metrics, nil where there is none yet.
	resolved []*series
	m        *counters
	gauges   *gauges
	log      *slog.Logger
}

func (s *decode) apply(b *Batch) *Batch {
	b.each("decode", fresh, func(r *record) { s.record(b, r) })
	if b.kind == data {
		if ingest := b.records[0].ingest; ingest > 0 {
			s.m.fetched.Update(float64(b.arrived-ingest) / 1e6)
		}
		s.gauges.registered(s.registry)
	}
	return b
}

func (s *decode) record(b *Batch, r *record) {
	r.first, r.end = len(b.readings), len(b.readings)
	if wire.IsControl(r.value) {
		s.command(r)
		return
	}
	c := &s.columns
	if err := c.Unmarshal(r.value); err != nil {
		r.refuse(&fault{code: wire.CodeRecordMalformed, message: err.Error()})
		return
	}
	d := s.registry.devices[c.Device]
	if f := s.look(d); f != nil {
		r.refuse(f)
		return
	}
	if d == nil {
		d = s.registry.restoredDevice(c.Device)
	}
	s.m.readings.Add(len(c.Value))
	r.device, r.session, r.seq, r.ingest = d, c.Session, c.Seq, c.Ingest
	s.dedupe.record(r, len(c.Value))
	if r.verdict == fresh {
		s.readings(b, r)
	}
}

// command applies a command to delete a device. It counts as a record of the device: a replay passes it over. The
// device begins anew, its sequence numbers included.
func (s *decode) command(r *record) {
	c, err := wire.DecodeControl(r.value)
	if err == nil && c.Kind != wire.ControlDeleteDevice {
		err = fmt.Errorf("a command of kind %q is not known", c.Kind)
	}
	if err != nil {
		r.refuse(&fault{code: wire.CodeRecordMalformed, message: err.Error()})
		return
	}
	d := s.registry.devices[c.Device]
	if d == nil {
		if f := s.checkDevice(c.Device); f != nil {
			r.refuse(f)
			return
		}
		r.verdict = replayed // there is nothing to delete
		return
	}
	r.device, r.ingest = d, c.Time
	if s.dedupe.record(r, 0); r.verdict != fresh {
		return
	}
	d.seen = nil
	r.deleted, r.buried = true, s.registry.bury(d)
	s.m.deleted.Inc()
}

// look fills resolved with the series that there are and checks the names of those that there are not. It
// changes nothing else. d is nil for a device that is not known.
func (s *decode) look(d *device) *fault {
	s.resolved = s.resolved[:0]
	if d == nil {
		if f := s.checkDevice(s.columns.Device); f != nil {
			return f
		}
	}
	for i, metric := range s.columns.Metrics {
		of := d.find(i, metric)
		if of == nil {
			if err := telemetry.CheckMetric(metric); err != nil {
				return pathFault(err)
			}
		}
		s.resolved = append(s.resolved, of)
	}
	return nil
}

// checkDevice refuses a name that no device may have, and a device of another partition: two owners would each
// begin a chain of its series.
func (s *decode) checkDevice(name string) *fault {
	if err := telemetry.CheckDevice(name); err != nil {
		return pathFault(err)
	}
	if p := kafka.PartitionFor(name, s.partitions); p != s.partition {
		return &fault{
			code:    wire.CodeWrongPartition,
			message: fmt.Sprintf("device %q belongs to partition %d of %d; produce with partitioner=murmur2", name, p, s.partitions),
		}
	}
	return nil
}

// readings appends the record's readings, but for those of metrics that the device has no room for.
func (s *decode) readings(b *Batch, r *record) {
	c := &s.columns
	left := surplus{first: -1}
	single := len(c.Metric) == 0
	for i, t := range c.Time {
		metric := uint32(0)
		if !single {
			metric = c.Metric[i]
		}
		of := s.resolved[metric]
		if of == nil {
			if of = s.registry.admit(r.device, c.Metrics[metric]); of == nil {
				left.add(i, c.Metrics[metric])
				continue
			}
			s.resolved[metric] = of
		}
		b.readings = append(b.readings, reading{
			series:  of,
			version: telemetry.VersionOf(r.offset, i),
			time:    t,
			value:   c.Value[i],
		})
	}
	r.end = len(b.readings)
	r.device.remember(s.resolved)
	if left.n > 0 {
		s.m.surplus.Add(left.n)
		r.fault = left.fault(s.registry.maxSeries, len(c.Time))
		if !r.device.full {
			r.device.full = true
			s.log.Warn("device has no room for more series", "device", r.device.name,
				"limit", s.registry.maxSeries, "metric", left.metric)
		}
	}
}

// surplus are the readings of a record that have no series.
type surplus struct {
	n, first int
	metric   string
	indexes  []uint32
}

func (l *surplus) add(i int, metric string) {
	if l.n == 0 {
		l.first, l.metric = i, metric
	}
	l.n++
	l.indexes = append(l.indexes, uint32(i))
}

func (l *surplus) fault(limit, of int) *fault {
	return &fault{
		code:     wire.CodeTooManySeries,
		rejected: l.indexes,
		path:     fmt.Sprintf("readings[%d].metric", l.first),
		message: fmt.Sprintf("the device has %d series and gets no more: %d of %d readings are left out, the first of metric %q",
			limit, l.n, of, l.metric),
	}
}

func pathFault(err error) *fault {
	f := &fault{code: wire.CodeRecordMalformed, message: err.Error()}
	if path := new(telemetry.PathError); errors.As(err, &path) {
		f.code = path.Code
	}
	return f
}
