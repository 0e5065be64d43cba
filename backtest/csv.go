package backtest

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"weir/kafka"
	"weir/telemetry"
	"weir/wire"
)

// CSV reads readings from a file, as if each row had reached Weir at the time that it tells of. Not safe for concurrent
// use.
type CSV struct {
	in     *csv.Reader
	series string
	// columns are the places of timestamp, series and value; series is -1 when rows do not name one.
	timestamp, of, value int
	began                bool
	line                 int
	record               kafka.Record
	newest               int64
	batch                telemetry.Batch
	sent                 map[string]bool
	// Missing counts rows without a value.
	Missing int64
}

// Sent reports whether a row that was read is of a series.
func (c *CSV) Sent(series string) bool { return c.sent[series] }

// ErrNoSeries: a row names no series, and nothing else does.
var ErrNoSeries = errors.New("the rows name no series")

// NewCSV reads rows timestamp,value or timestamp,series,value; what follows is ignored. A header may name the columns in
// any order. series names the series of rows that name none; without it such a row is ErrNoSeries.
func NewCSV(in io.Reader, series string) *CSV {
	c := &CSV{in: csv.NewReader(in), series: series, of: -1, value: 1, sent: make(map[string]bool)}
	c.in.FieldsPerRecord, c.in.ReuseRecord = -1, true
	return c
}

// Next implements Source.
func (c *CSV) Next(ctx context.Context) (*kafka.Record, error) {
	for ctx.Err() == nil {
		row, err := c.row()
		if err != nil {
			return nil, err
		}
		ok, err := c.take(row)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", c.line, err)
		}
		if ok {
			return &c.record, nil
		}
		c.Missing++
	}
	return nil, context.Cause(ctx)
}

// row is the next one that is no header.
func (c *CSV) row() ([]string, error) {
	row, err := c.in.Read()
	if err == nil && !c.began {
		c.began = true
		row[0] = strings.TrimPrefix(row[0], "\ufeff")
		if c.look(row) {
			row, err = c.in.Read()
		}
	}
	if err != nil {
		return nil, err
	}
	c.line, _ = c.in.FieldPos(0)
	return row, nil
}

// look finds out what the columns are from the first row, and whether that is a header.
func (c *CSV) look(row []string) (header bool) {
	if _, err := ParseTime(row[0]); err == nil {
		if len(row) > 2 {
			if _, err := ParseValue(row[1]); err != nil {
				c.of, c.value = 1, 2
			}
		}
		return false
	}
	for i, name := range row {
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "timestamp", "time", "ts":
			c.timestamp = i
		case "series":
			c.of = i
		case "value":
			c.value = i
		}
	}
	return true
}

// take makes the record of a row. It reports false when the row has no value.
func (c *CSV) take(row []string) (bool, error) {
	if len(row) <= max(c.timestamp, c.of, c.value) {
		return false, fmt.Errorf("%d columns, want timestamp, value or timestamp, series, value", len(row))
	}
	at, err := ParseTime(row[c.timestamp])
	if err != nil {
		return false, err
	}
	v, err := ParseValue(row[c.value])
	if err != nil || math.IsNaN(v) {
		return false, err
	}
	series := c.series
	if c.of >= 0 {
		series = strings.TrimSpace(row[c.of])
	} else if series == "" {
		return false, ErrNoSeries
	}
	device, metric, ok := telemetry.SplitSeries(series)
	if !ok {
		return false, fmt.Errorf("series %q is not a device and a metric, such as plant1/oven/temperature", series)
	}
	if err := errors.Join(telemetry.CheckDevice(device), telemetry.CheckMetric(metric)); err != nil {
		return false, err
	}
	if !c.sent[series] {
		c.sent[strings.Clone(series)] = true
	}
	c.newest = max(c.newest, at) // what is out of order came late
	c.batch.Device, c.batch.Ingest = device, c.newest
	c.batch.Readings = append(c.batch.Readings[:0], telemetry.Reading{Metric: metric, Time: at, Value: v})
	c.record = kafka.Record{Time: c.newest / 1000, Key: []byte(device), Value: wire.AppendReadingBatch(nil, &c.batch)}
	return true, nil
}

// ParseValue is a number, or true or false; NaN for a missing one.
func ParseValue(text string) (float64, error) {
	text = strings.TrimSpace(text)
	switch strings.ToLower(text) {
	case "", "nan", "null", "na", "n/a", "none":
		return math.NaN(), nil
	case "true":
		return 1, nil
	case "false":
		return 0, nil
	}
	v, err := strconv.ParseFloat(text, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return 0, fmt.Errorf("value %q is not a number", text)
	}
	return v, nil
}

var layouts = []string{
	time.RFC3339, "2006-01-02 15:04:05", "2006-01-02T15:04:05", "2006-01-02 15:04:05Z07:00", "2006-01-02 15:04", "2006-01-02",
}

// ParseTime is a time in µs: in words (UTC where no zone is named), or a number that by its size is of seconds, ms, µs or
// ns since 1970.
func ParseTime(text string) (int64, error) {
	text = strings.TrimSpace(text)
	if n, err := strconv.ParseFloat(text, 64); err == nil && math.Abs(n) < 1e19 {
		switch size := math.Abs(n); {
		case size >= 1e17:
			return int64(n / 1e3), nil
		case size >= 1e14:
			return int64(n), nil
		case size >= 1e11:
			return int64(n * 1e3), nil
		}
		return int64(n * 1e6), nil
	}
	for _, layout := range layouts {
		if at, err := time.Parse(layout, text); err == nil {
			return at.UnixMicro(), nil
		}
	}
	return 0, fmt.Errorf("timestamp %q is neither like 2014-04-01 00:00:00 or 2014-04-01T00:00:00Z nor a number of seconds", text)
}
