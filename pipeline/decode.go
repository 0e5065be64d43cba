package pipeline

import (
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"

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
	// waker is nil where no device was ever evicted.
	waker *waker
	// partition is the one of partitions that the records come from.
	partition, partitions int

	enricher Enricher
	columns  wire.ReadingColumns
	// resolved holds the series of columns.Metrics, nil where there is none yet.
	resolved []*series
	// admitted are the series that the record has made; refused are the codes of the metrics that get none.
	admitted []*series
	refused  []string
	m        *counters
	gauges   *gauges
	log      *slog.Logger

	// ticked is the time of the newest tick, planHash what the plan in force is known by. The driver reads them.
	ticked   *atomic.Int64
	planHash *atomic.Pointer[planHash]
}

type planHash struct{ string }

func (s *decode) apply(b *Batch) *Batch {
	s.dedupe.now = b.arrived
	if b.kind == data && len(s.registry.asleep) > 0 {
		s.rouse(b)
	}
	b.each("decode", fresh, func(r *record) { s.record(b, r) })
	switch b.kind {
	case settled:
		for name := range b.named {
			b.named[name] = s.registry.series(name)
		}
	case look:
		s.inspect(b.looked)
	case data:
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
		s.control(r)
		return
	}
	c := &s.columns
	if err := c.Unmarshal(r.value); err != nil {
		r.refuse(&fault{code: wire.CodeRecordMalformed, message: err.Error()})
		return
	}
	d := s.device(c.Device)
	if f := s.look(d); f != nil {
		r.refuse(f)
		return
	}
	if d == nil {
		d = s.registry.restoredDevice(c.Device)
	}
	if !d.met {
		s.meet(d)
	}
	s.m.readings.Add(len(c.Value))
	r.device, r.session, r.seq, r.ingest = d, c.Session, c.Seq, c.Ingest
	s.dedupe.record(r, len(c.Value))
	if r.verdict == fresh {
		s.readings(b, r)
	}
}

// look fills resolved with the series that there are and checks the names of those that there are not. It
// changes nothing else. d is nil for a device that is not known.
func (s *decode) look(d *device) *fault {
	s.resolved = s.resolved[:0]
	if d == nil || d.sources != nil { // a group's device has a name that no device may have
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
	return s.checkPlace(name)
}

func (s *decode) checkPlace(name string) *fault {
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
	s.admitted, s.refused = s.admitted[:0], s.refused[:0]
	single := len(c.Metric) == 0
	for i, t := range c.Time {
		metric := uint32(0)
		if !single {
			metric = c.Metric[i]
		}
		of := s.resolved[metric]
		if of == nil || of.derived {
			var code string
			if of, code = s.admit(r.device, metric); of == nil {
				left.add(i, c.Metrics[metric], code)
				continue
			}
		}
		b.readings = append(b.readings, reading{
			series:  of,
			treat:   of.treat,
			version: telemetry.VersionOf(r.offset, i),
			time:    t,
			value:   c.Value[i],
		})
	}
	r.end = len(b.readings)
	if len(s.admitted) > 0 {
		s.registry.treat(r.device, s.admitted)
	}
	readings := b.of(r)
	for i := range readings {
		x := &readings[i]
		if len(s.admitted) > 0 { // series of the record may have learned of one that came behind them in it
			x.treat = x.series.treat
		}
		if outs := x.treat.outs; outs != nil {
			r.leads = true
			r.derives = r.derives || outs.derives
		}
	}
	r.device.remember(s.resolved)
	if left.n > 0 {
		s.m.surplus.Add(left.n)
		r.fault = left.fault(s.registry.limit(), len(c.Time))
		if !r.device.full && left.code == wire.CodeTooManySeries {
			r.device.full = true
			s.log.Warn("device has no room for more series", "device", r.device.name,
				"limit", s.registry.limit(), "metric", left.metric)
		}
	}
}

// admit makes a series of the metric of a record, or refuses it: once for all readings of it in the record.
func (s *decode) admit(d *device, metric uint32) (of *series, code string) {
	metrics := s.columns.Metrics
	if len(s.refused) < len(metrics) {
		s.refused = append(s.refused, make([]string, len(metrics)-len(s.refused))...)
	}
	if code = s.refused[metric]; code != "" {
		return nil, code
	}
	if of, code = s.registry.admit(d, metrics[metric]); of == nil {
		s.refused[metric] = code
		return nil, code
	}
	s.resolved[metric] = of
	s.admitted = append(s.admitted, of)
	return of, ""
}

// surplus are the readings of a record that have no series.
type surplus struct {
	n, first int
	metric   string
	code     string
	indexes  []uint32
}

func (l *surplus) add(i int, metric, code string) {
	if l.n == 0 {
		l.first, l.metric, l.code = i, metric, code
	}
	l.n++
	l.indexes = append(l.indexes, uint32(i))
}

func (l *surplus) fault(limit, of int) *fault {
	var why string
	switch l.code {
	case wire.CodeTooManySeries:
		why = fmt.Sprintf("would be a series more than the %d that the device may have", limit)
	case wire.CodeTenantSeries:
		why = "would be a series more than the tenant may have here"
	default:
		why = "is one that the plan derives from others"
	}
	return &fault{
		code:     l.code,
		rejected: l.indexes,
		path:     fmt.Sprintf("readings[%d].metric", l.first),
		message:  fmt.Sprintf("%d of %d readings are left out; metric %q, of the first of them, %s", l.n, of, l.metric, why),
	}
}

func pathFault(err error) *fault {
	f := &fault{code: wire.CodeRecordMalformed, message: err.Error()}
	if path := new(telemetry.PathError); errors.As(err, &path) {
		f.code = path.Code
	}
	return f
}
