package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math"
	"math/big"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"weir/telemetry"
)

// The reference reads frames as Decoder does, slowly: encoding/json into maps, then one rule after another.

// outcome is what a frame comes to: readings or rejections by position, unless it is refused.
type outcome struct {
	refused      bool
	session, seq string
	readings     map[int]refReading
	rejected     map[int]string
}

type refReading struct {
	device, metric string
	time           int64
	value          float64
}

type reference struct {
	opts DecoderOptions
	now  int64
	// unit is what the frame says in ts_unit.
	unit string
}

func (r reference) decode(frame []byte) outcome {
	refused := outcome{refused: true}
	if !utf8.Valid(frame) || !json.Valid(frame) || depth(frame) > maxDepth {
		return refused
	}
	dec := json.NewDecoder(bytes.NewReader(frame))
	dec.UseNumber()
	var top any
	if err := dec.Decode(&top); err != nil {
		return refused
	}
	o := outcome{readings: map[int]refReading{}, rejected: map[int]string{}}
	envelopeDevice, list := "", []any{top}
	switch top := top.(type) {
	case []any:
		list = top
	case map[string]any:
		if !o.head(top) || !r.head(top) {
			return refused
		}
		if field, ok := top["readings"]; ok {
			if list, ok = field.([]any); !ok {
				return refused
			}
			if top["device"] != nil {
				device, code := name(top["device"], CodeDeviceType, telemetry.CheckDevice)
				if code != "" {
					return refused
				}
				envelopeDevice = device
			}
		}
	default:
		return refused
	}
	if len(list) > r.opts.MaxReadings {
		return refused
	}
	for i, element := range list {
		reading, code := r.reading(element, envelopeDevice)
		if code != "" {
			o.rejected[i] = code
		} else {
			o.readings[i] = reading
		}
	}
	return o
}

// head takes over session and seq.
func (o *outcome) head(top map[string]any) bool {
	if v := top["seq"]; v != nil {
		n, _ := v.(json.Number)
		if _, err := strconv.ParseInt(string(n), 10, 64); err != nil || n[0] == '-' {
			return false
		}
		o.seq = string(n)
	}
	if v := top["session"]; v != nil {
		s, ok := v.(string)
		if !ok || s == "" || len(s) > MaxSessionBytes || o.seq == "" {
			return false
		}
		o.session = s
	}
	return true
}

// head takes over ts_unit, and checks backlog.
func (r *reference) head(top map[string]any) bool {
	if v := top["backlog"]; v != nil {
		if _, ok := v.(bool); !ok {
			return false
		}
	}
	v := top["ts_unit"]
	if v == nil {
		return true
	}
	unit, ok := v.(string)
	r.unit = unit
	return ok && (unit == "s" || unit == "ms" || unit == "us" || unit == "ns")
}

func (r reference) reading(element any, envelopeDevice string) (out refReading, code string) {
	fields, ok := element.(map[string]any)
	if !ok {
		return out, CodeReadingType
	}
	switch v := fields["device"]; {
	case v != nil:
		if out.device, code = name(v, CodeDeviceType, telemetry.CheckDevice); code != "" {
			return out, code
		}
		if envelopeDevice != "" {
			return out, CodeDeviceConflict
		}
	case envelopeDevice != "":
		out.device = envelopeDevice
	case r.opts.DefaultDevice != "":
		out.device = r.opts.DefaultDevice
	default:
		return out, CodeDeviceMissing
	}
	if fields["metric"] == nil {
		return out, CodeMetricMissing
	}
	if out.metric, code = name(fields["metric"], CodeMetricType, telemetry.CheckMetric); code != "" {
		return out, code
	}
	if len(out.device)+1+len(out.metric) > telemetry.MaxPathBytes {
		return out, telemetry.CodePathTooLong
	}
	if out.time, code = r.time(fields["ts"]); code != "" {
		return out, code
	}
	v, ok := fields["value"]
	if !ok {
		return out, CodeValueMissing
	}
	out.value, code = refValue(v)
	return out, code
}

func name(v any, wrongType string, check func(string) error) (string, string) {
	s, ok := v.(string)
	if !ok {
		return "", wrongType
	}
	var e *telemetry.PathError
	if errors.As(check(s), &e) {
		return "", e.Code
	}
	return s, ""
}

func refValue(v any) (float64, string) {
	switch v := v.(type) {
	case bool:
		if v {
			return 1, ""
		}
		return 0, ""
	case json.Number:
		f, err := strconv.ParseFloat(string(v), 64)
		switch {
		case !strings.ContainsAny(string(v), ".eE") && math.Abs(f) >= maxExactInt && beyondExact(string(v)):
			return 0, CodeValueUnsafe
		case err != nil:
			return 0, CodeValueNotFinite
		}
		return f, ""
	}
	return 0, CodeValueType
}

func beyondExact(integer string) bool {
	n, _ := new(big.Int).SetString(integer, 10)
	return n.CmpAbs(big.NewInt(maxExactInt)) > 0
}

func (r reference) time(v any) (t int64, code string) {
	var ok bool
	switch v := v.(type) {
	case nil:
		return r.now, ""
	case string:
		t, ok = refTime(v)
	case json.Number:
		t, ok = refMicros(string(v), r.unit)
	default:
		return 0, CodeTimeType
	}
	switch {
	case !ok || t < -maxExactInt:
		return 0, CodeTimeInvalid
	case t > r.now+r.opts.MaxFuture.Microseconds():
		return 0, CodeTimeFuture
	}
	return t, ""
}

var rfc3339 = regexp.MustCompile(`^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d)$`)

func refTime(s string) (int64, bool) {
	t, err := time.Parse(time.RFC3339Nano, strings.ToUpper(s))
	return t.Unix()*1e6 + int64(t.Nanosecond()/1000), err == nil && rfc3339.MatchString(s)
}

func refMicros(number, named string) (int64, bool) {
	f, err := strconv.ParseFloat(number, 64)
	if err != nil {
		return 0, false
	}
	unit := big.NewRat(1, 1000)
	switch abs := math.Abs(f); {
	case abs > 1e22:
		return 0, false
	case named == "s" || named == "" && abs < 1e11:
		unit = big.NewRat(1e6, 1)
	case named == "ms" || named == "" && abs < 1e14:
		unit = big.NewRat(1e3, 1)
	case named == "us" || named == "" && abs < 1e17:
		unit = big.NewRat(1, 1)
	}
	if math.Abs(f) < 1e-9 {
		return 0, true
	}
	exact, _ := new(big.Rat).SetString(number)
	exact.Mul(exact, unit)
	whole := new(big.Int).Quo(exact.Num(), exact.Denom())
	return whole.Int64(), whole.IsInt64()
}

// depth is how deep arrays and objects nest in valid JSON.
func depth(frame []byte) int {
	dec := json.NewDecoder(bytes.NewReader(frame))
	dec.UseNumber()
	deepest, now := 0, 0
	for {
		token, err := dec.Token()
		if err == io.EOF {
			return deepest
		}
		switch token {
		case json.Delim('{'), json.Delim('['):
			now++
			deepest = max(deepest, now)
		case json.Delim('}'), json.Delim(']'):
			now--
		}
	}
}
