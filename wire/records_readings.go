package wire

import (
	"errors"
	"fmt"
	"slices"

	"weir/telemetry"
	"weir/wire/weirpb"
)

// AppendReadingBatch appends b as the value of a record of weir.readings.
func AppendReadingBatch(dst []byte, b *telemetry.Batch) []byte {
	m := weirpb.ReadingBatch{Device: b.Device, Session: b.Session, Seq: b.Seq, IngestTime: b.Ingest}
	before := int64(0)
	for _, r := range b.Readings {
		i := slices.Index(m.Metrics, r.Metric)
		if i < 0 {
			i = len(m.Metrics)
			m.Metrics = append(m.Metrics, r.Metric)
		}
		m.Metric = append(m.Metric, uint32(i))
		m.TimeDelta = append(m.TimeDelta, r.Time-before)
		before = r.Time
		m.Value = append(m.Value, r.Value)
	}
	if len(m.Metrics) <= 1 {
		m.Metric = nil
	}
	return appendMessage(dst, &m)
}

// ReadingColumns is a record of weir.readings as columns: reading i has the metric Metrics[Metric[i]]
// (Metrics[0] if Metric is empty), the time Time[i] in microseconds, and the value Value[i].
type ReadingColumns struct {
	Device, Session string
	Seq             uint64
	Ingest          int64
	Metrics         []string
	Metric          []uint32
	Time            []int64
	Value           []float64
}

// ErrRecord is wrapped by the errors about records whose columns do not fit together.
var ErrRecord = errors.New("wire: malformed record")

// Unmarshal reads a record into c, reusing its slices. Strings alias b and are valid as long as it is.
func (c *ReadingColumns) Unmarshal(b []byte) error {
	var m weirpb.ReadingBatch
	if err := m.UnmarshalVTUnsafe(b); err != nil {
		return fmt.Errorf("decode readings: %w", err)
	}
	c.Device, c.Session, c.Seq, c.Ingest = m.Device, m.Session, m.Seq, m.IngestTime
	c.Metrics = append(c.Metrics[:0], m.Metrics...)
	c.Metric = append(c.Metric[:0], m.Metric...)
	c.Value = append(c.Value[:0], m.Value...)
	c.Time = c.Time[:0]
	t := int64(0)
	for _, d := range m.TimeDelta {
		t += d
		c.Time = append(c.Time, t)
	}
	return c.check()
}

// check finds what the message's types do not rule out.
func (c *ReadingColumns) check() error {
	n := len(c.Value)
	switch {
	case n > telemetry.MaxReadingsPerRecord:
		return fmt.Errorf("decode readings: %w: %d readings", ErrRecord, n)
	case len(c.Time) != n, len(c.Metric) != n && len(c.Metric) > 0:
		return fmt.Errorf("decode readings: %w: columns of lengths %d, %d, %d", ErrRecord, len(c.Metric), len(c.Time), n)
	case n > 0 && len(c.Metrics) == 0:
		return fmt.Errorf("decode readings: %w: no metrics", ErrRecord)
	}
	for _, i := range c.Metric {
		if int(i) >= len(c.Metrics) {
			return fmt.Errorf("decode readings: %w: metric %d of %d", ErrRecord, i, len(c.Metrics))
		}
	}
	return nil
}
