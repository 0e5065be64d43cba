package pipeline

import (
	"errors"

	"weir/telemetry"
	"weir/wire"
)

// decode takes the records apart and resolves each metric of a record to its series, once. What cannot be
// read, or names what no device may name, goes to the dead letters.
type decode struct {
	registry *registry
	columns  wire.ReadingColumns
	// resolved holds the series of columns.Metrics.
	resolved []*series
	m        *counters
	gauges   *gauges
}

func (s *decode) apply(b *Batch) *Batch {
	b.each("decode", fresh, func(r *record) { s.record(b, r) })
	if b.kind == data {
		s.m.readings.Add(len(b.readings))
		if ingest := b.records[0].ingest; ingest > 0 {
			s.m.fetched.Update(float64(b.arrived-ingest) / 1e6)
		}
		s.gauges.registered(s.registry)
	}
	return b
}

func (s *decode) record(b *Batch, r *record) {
	r.first, r.end = len(b.readings), len(b.readings)
	c := &s.columns
	if err := c.Unmarshal(r.value); err != nil {
		r.refuse(wire.CodeRecordMalformed, "", err.Error())
		return
	}
	if err := s.resolve(r); err != nil {
		r.refuse(refusalCode(err), "", err.Error())
		return
	}
	r.session, r.seq, r.ingest = c.Session, c.Seq, c.Ingest
	single := len(c.Metric) == 0
	for i, t := range c.Time {
		metric := uint32(0)
		if !single {
			metric = c.Metric[i]
		}
		b.readings = append(b.readings, reading{
			series:  s.resolved[metric],
			version: telemetry.VersionOf(r.offset, i),
			time:    t,
			value:   c.Value[i],
		})
	}
	r.end = len(b.readings)
}

// resolve finds the record's device and fills resolved.
func (s *decode) resolve(r *record) error {
	d, err := s.registry.device(s.columns.Device)
	if err != nil {
		return err
	}
	r.device = d
	s.resolved = s.resolved[:0]
	for i, metric := range s.columns.Metrics {
		series, err := s.registry.metric(d, i, metric)
		if err != nil {
			return err
		}
		s.resolved = append(s.resolved, series)
	}
	return nil
}

func refusalCode(err error) string {
	var path *telemetry.PathError
	switch {
	case errors.As(err, &path):
		return path.Code
	case errors.As(err, new(*tooManySeries)):
		return wire.CodeTooManySeries
	default:
		return wire.CodeRecordMalformed
	}
}
