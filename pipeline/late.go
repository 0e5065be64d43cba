package pipeline

import (
	"weir/telemetry"
	"weir/wire"
)

// late puts the late readings of b into weir.backlog, for the history: they came too late for the values, and for
// windows and alerts. Their records have no sequence number; a history that reads them takes (series, time) as the key.
func (s *emit) late(b *Batch) error {
	for i := range b.records {
		r := &b.records[i]
		if r.verdict != fresh || r.device == nil {
			continue
		}
		out := telemetry.Batch{Device: r.device.name, Ingest: r.ingest}
		readings := b.of(r)
		for i := range readings {
			if l := &readings[i]; l.fate == late {
				out.Readings = append(out.Readings, telemetry.Reading{Metric: l.series.metric(), Time: l.time, Value: l.value})
			}
		}
		if len(out.Readings) > 0 {
			s.backlog.add([]byte(out.Device), wire.AppendReadingBatch(nil, &out), s.headers)
		}
	}
	return s.relieve(&s.backlog)
}
