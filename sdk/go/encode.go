package device

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/lxzan/gws"

	"weir/telemetry"
	"weir/wire"
)

// Reading is one sample of one metric: Metric, Time (µs since the Unix epoch, 0 for now) and Value.
type Reading = telemetry.Reading

// At makes a Reading.
func At(metric string, value float64, at time.Time) Reading {
	return Reading{Metric: metric, Time: at.UnixMicro(), Value: value}
}

// ErrInvalid says that the server would refuse a reading.
var ErrInvalid = errors.New("invalid reading")

// check refuses what the server would.
func check(r *Reading) error {
	if err := telemetry.CheckMetric(r.Metric); err != nil {
		return fmt.Errorf("%w: metric %q: %w", ErrInvalid, r.Metric, err)
	}
	if math.IsNaN(r.Value) || math.IsInf(r.Value, 0) {
		return fmt.Errorf("%w: metric %q: the value is not a finite number", ErrInvalid, r.Metric)
	}
	return nil
}

// columnsBacklog is the field backlog (10, a varint) of weir.v1.DeviceFrame, which a ReadingBatch may have too.
const columnsBacklog = "\x50\x01"

// encoder turns readings into the body of a frame, and puts the head before it when the frame is sent. Both are
// such that they can be written one after the other.
type encoder struct {
	columns         bool
	device, session string
	quotedDevice    []byte
}

func newEncoder(device, session string, columns bool) *encoder {
	return &encoder{columns: columns, device: device, session: session, quotedDevice: quote(device)}
}

func (e *encoder) opcode() gws.Opcode {
	if e.columns {
		return gws.OpcodeBinary
	}
	return gws.OpcodeText
}

func (e *encoder) body(readings []Reading) []byte {
	if e.columns {
		return wire.AppendReadingBatch(nil, &telemetry.Batch{Readings: readings})
	}
	dst := make([]byte, 0, 64*len(readings)+4)
	dst = append(dst, '[')
	for i := range readings {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, `{"metric":`...)
		dst = appendQuoted(dst, readings[i].Metric)
		dst = append(dst, `,"ts":`...)
		dst = appendTime(dst, readings[i].Time)
		dst = append(dst, `,"value":`...)
		dst = appendValue(dst, readings[i].Value)
		dst = append(dst, '}')
	}
	return append(dst, "]}"...)
}

// sessionOf is the session in which a frame is numbered as it is sent.
func (e *encoder) sessionOf(f *entry) string {
	session := e.session
	if f.session != "" {
		session = f.session
	}
	if f.lane == backlog {
		session += backlogSuffix
	}
	return session
}

// head appends what stands before the body.
func (e *encoder) head(dst []byte, f *entry) []byte {
	session := e.sessionOf(f)
	if e.columns {
		dst = wire.AppendReadingBatch(dst, &telemetry.Batch{Device: e.device, Session: session, Seq: f.seq})
		if f.lane == backlog {
			dst = append(dst, columnsBacklog...)
		}
		return dst
	}
	dst = append(dst, `{"device":`...)
	dst = append(dst, e.quotedDevice...)
	dst = append(dst, `,"session":`...)
	dst = appendQuoted(dst, session)
	dst = append(dst, `,"seq":`...)
	dst = strconv.AppendUint(dst, f.seq, 10)
	if f.lane == backlog {
		dst = append(dst, `,"backlog":true`...)
	}
	return append(dst, `,"readings":`...)
}

// appendTime writes µs so that the server, which tells units by magnitude, reads them as such: times before
// 1973-03-03 as RFC 3339.
func appendTime(dst []byte, micros int64) []byte {
	const least, end = 100_000_000_000_000, 100_000_000_000_000_000
	if micros >= least && micros < end {
		return strconv.AppendInt(dst, micros, 10)
	}
	dst = append(dst, '"')
	dst = time.UnixMicro(micros).UTC().AppendFormat(dst, time.RFC3339Nano)
	return append(dst, '"')
}

// appendValue writes whole numbers beyond 2^53 with an exponent: the server refuses such integers, not floats.
func appendValue(dst []byte, v float64) []byte {
	if v == math.Trunc(v) && math.Abs(v) > 1<<53 {
		return strconv.AppendFloat(dst, v, 'e', -1, 64)
	}
	return strconv.AppendFloat(dst, v, 'g', -1, 64)
}

// appendQuoted appends s as a JSON string. Nearly all names are written as they are.
func appendQuoted(dst []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c >= 0x7f || c == '"' || c == '\\' {
			return append(dst, quote(s)...)
		}
	}
	dst = append(dst, '"')
	dst = append(dst, s...)
	return append(dst, '"')
}

func quote(s string) []byte {
	b, err := json.Marshal(s)
	if err != nil {
		return []byte(`""`) // never: strings marshal
	}
	return b
}
