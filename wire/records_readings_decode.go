package wire

import (
	"fmt"

	"weir/telemetry"
)

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

// Unmarshal reads a record into c, reusing its slices. Strings alias b and are valid as long as it is. After
// an error, which wraps ErrRecord, c holds nothing of use.
func (c *ReadingColumns) Unmarshal(b []byte) error {
	*c = ReadingColumns{Metrics: c.Metrics[:0], Metric: c.Metric[:0], Time: c.Time[:0], Value: c.Value[:0]}
	r := protoReader{rest: b}
	var seen uint
	for len(r.rest) > 0 {
		f, ok := r.next()
		if !ok {
			return readingsError("a field that cannot be read")
		}
		if f.field > readingsValue {
			continue
		}
		if number := f.field == readingsSeq || f.field == readingsIngest; number != (f.wire == wireVarint) ||
			!number && f.wire != wireBytes {
			return readingsError("a field of another type")
		}
		if f.field >= readingsMetric {
			if seen&(1<<f.field) != 0 {
				return readingsError("a column in two parts")
			}
			seen |= 1 << f.field
		}
		if !c.field(f) {
			return readingsError("a column that cannot be read")
		}
	}
	return c.check()
}

func readingsError(what string) error {
	return fmt.Errorf("decode readings: %w: %s", ErrRecord, what)
}

// field takes over one field, whose type is known to be right.
func (c *ReadingColumns) field(f protoField) bool {
	switch f.field {
	case readingsDevice:
		c.Device = alias(f.bytes)
	case readingsSession:
		c.Session = alias(f.bytes)
	case readingsSeq:
		c.Seq = f.number
	case readingsIngest:
		c.Ingest = int64(f.number)
	case readingsMetrics:
		if len(c.Metrics) == telemetry.MaxReadingsPerRecord {
			return false
		}
		c.Metrics = append(c.Metrics, alias(f.bytes))
	case readingsMetric:
		return c.metricColumn(f.bytes)
	case readingsTime:
		return c.timeColumn(f.bytes)
	case readingsValue:
		return c.valueColumn(f.bytes)
	}
	return true
}

func (c *ReadingColumns) metricColumn(col column) bool {
	for len(col) > 0 {
		v, ok := col.uvarint()
		if !ok || v >= telemetry.MaxReadingsPerRecord || len(c.Metric) == telemetry.MaxReadingsPerRecord {
			return false
		}
		c.Metric = append(c.Metric, uint32(v))
	}
	return true
}

func (c *ReadingColumns) timeColumn(col column) bool {
	t := int64(0)
	for len(col) > 0 {
		v, ok := col.uvarint()
		if !ok || len(c.Time) == telemetry.MaxReadingsPerRecord {
			return false
		}
		t += unzigzag(v)
		c.Time = append(c.Time, t)
	}
	return true
}

func (c *ReadingColumns) valueColumn(col column) bool {
	if len(col)%8 != 0 || len(col)/8 > telemetry.MaxReadingsPerRecord {
		return false
	}
	for len(col) > 0 {
		v, _ := col.float()
		c.Value = append(c.Value, v)
	}
	return true
}

// check finds columns that do not fit together.
func (c *ReadingColumns) check() error {
	n := len(c.Value)
	switch {
	case len(c.Time) != n, len(c.Metric) != n && len(c.Metric) > 0:
		return readingsError("columns of different lengths")
	case n > 0 && len(c.Metrics) == 0:
		return readingsError("readings without a metric")
	}
	for _, i := range c.Metric {
		if int(i) >= len(c.Metrics) {
			return readingsError("a metric that is not in the dictionary")
		}
	}
	return nil
}
