package devices

import (
	"encoding/json"
	"math"
	"time"
	_ "time/tzdata" // the machine may have no time zones of its own
	"unicode/utf8"

	"weir/telemetry"
	"weir/wire"
)

// Bounds of metadata. Lengths of texts are in bytes.
const (
	MaxMetaBytes = 64 << 10
	MaxMetrics   = 1024
	MaxTags      = 64
	MaxLabels    = 256

	maxName        = 128
	maxDescription = 2048
	maxUnit        = 32
	maxZone        = 64
	maxTagKey      = 64
	maxTagValue    = 256
	maxLabel       = 64

	minInterval = 100 * time.Millisecond
	maxInterval = 31 * 24 * time.Hour
)

// DecodeMeta reads metadata strictly. path is what field paths begin with, such as payload.metadata; it may be
// empty.
func DecodeMeta(raw []byte, path string) (*Meta, *wire.Error) {
	if len(raw) > MaxMetaBytes {
		return nil, refuse(wire.CodeFrameTooLarge, path, "metadata is larger than 64 KiB")
	}
	if !utf8.Valid(raw) {
		return nil, wire.NewError(wire.CodeJSONUTF8, path)
	}
	m := &Meta{}
	err := eachField(raw, path, func(name, path string, v json.RawMessage) *wire.Error {
		switch name {
		case "display_name":
			return decodeText(&m.DisplayName, v, path, maxName)
		case "description":
			return decodeText(&m.Description, v, path, maxDescription)
		case "location":
			m.Location = &Location{Lat: math.NaN(), Lon: math.NaN()}
			return decodeLocation(m.Location, v, path)
		case "time_zone":
			return decodeZone(&m.TimeZone, v, path)
		case "expected_interval":
			return decodeInterval(&m.ExpectedInterval, v, path)
		case "tags":
			m.Tags = make(map[string]string)
			return decodeTags(m.Tags, v, path)
		case "metrics":
			m.Metrics = make(map[string]*Metric)
			return decodeMetrics(m.Metrics, v, path)
		}
		return wire.NewError(wire.CodeFieldUnknown, path)
	})
	if err != nil {
		return nil, err
	}
	return m, nil
}

func decodeLocation(l *Location, raw json.RawMessage, path string) *wire.Error {
	err := eachField(raw, path, func(name, path string, v json.RawMessage) *wire.Error {
		switch name {
		case "lat":
			return decodeNumber(&l.Lat, v, path, -90, 90)
		case "lon":
			return decodeNumber(&l.Lon, v, path, -180, 180)
		case "name":
			return decodeText(&l.Name, v, path, maxName)
		}
		return wire.NewError(wire.CodeFieldUnknown, path)
	})
	switch {
	case err != nil:
		return err
	case math.IsNaN(l.Lat):
		return wire.NewError(wire.CodeFieldMissing, join(path, "lat"))
	case math.IsNaN(l.Lon):
		return wire.NewError(wire.CodeFieldMissing, join(path, "lon"))
	}
	return nil
}

func decodeZone(to *string, raw json.RawMessage, path string) *wire.Error {
	if err := decodeText(to, raw, path, maxZone); err != nil {
		return err
	}
	if _, err := time.LoadLocation(*to); err != nil || *to == "Local" {
		return refuse(wire.CodeFieldRange, path, "time_zone must be an IANA name, such as Europe/Berlin")
	}
	return nil
}

func decodeTags(to map[string]string, raw json.RawMessage, path string) *wire.Error {
	return eachField(raw, path, func(name, path string, v json.RawMessage) *wire.Error {
		if len(to) == MaxTags {
			return refuse(wire.CodeFieldRange, path, "there may be 64 tags")
		}
		if err := checkText(name, path, maxTagKey); err != nil || name == "" {
			return refuse(wire.CodeFieldRange, path, "a tag's name has 1 to 64 bytes without control characters")
		}
		var value string
		err := decodeText(&value, v, path, maxTagValue)
		to[name] = value
		return err
	})
}

func decodeMetrics(to map[string]*Metric, raw json.RawMessage, path string) *wire.Error {
	return eachField(raw, path, func(name, path string, v json.RawMessage) *wire.Error {
		if len(to) == MaxMetrics {
			return refuse(wire.CodeFieldRange, path, "there may be 1,024 metrics")
		}
		if err := telemetry.CheckMetric(name); err != nil {
			return pathError(err, path)
		}
		m := &Metric{Min: math.NaN(), Max: math.NaN()}
		to[name] = m
		return decodeMetric(m, v, path)
	})
}

func decodeMetric(m *Metric, raw json.RawMessage, path string) *wire.Error {
	err := eachField(raw, path, func(name, path string, v json.RawMessage) *wire.Error {
		switch name {
		case "unit":
			return decodeText(&m.Unit, v, path, maxUnit)
		case "display_name":
			return decodeText(&m.DisplayName, v, path, maxName)
		case "min":
			return decodeNumber(&m.Min, v, path, -math.MaxFloat64, math.MaxFloat64)
		case "max":
			return decodeNumber(&m.Max, v, path, -math.MaxFloat64, math.MaxFloat64)
		case "expected_interval":
			return decodeInterval(&m.ExpectedInterval, v, path)
		case "labels":
			m.Labels = make(map[string]float64)
			return decodeLabels(m.Labels, v, path)
		}
		return wire.NewError(wire.CodeFieldUnknown, path)
	})
	if err == nil && m.Min > m.Max {
		return refuse(wire.CodeFieldRange, join(path, "max"), "max is below min")
	}
	return err
}

func decodeLabels(to map[string]float64, raw json.RawMessage, path string) *wire.Error {
	return eachField(raw, path, func(name, path string, v json.RawMessage) *wire.Error {
		if len(to) == MaxLabels {
			return refuse(wire.CodeFieldRange, path, "there may be 256 labels")
		}
		if err := checkText(name, path, maxLabel); err != nil || name == "" {
			return refuse(wire.CodeFieldRange, path, "a label has 1 to 64 bytes without control characters")
		}
		var value float64
		err := decodeNumber(&value, v, path, -math.MaxFloat64, math.MaxFloat64)
		to[name] = value
		return err
	})
}
