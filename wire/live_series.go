package wire

import (
	"maps"
	"slices"
	"strconv"
)

// Entry of a dictionary: rows name a series by I.
type Entry struct {
	I      int    `json:"i"`
	Series string `json:"series"`
	// Meta is nil if nothing is known. It is not changed once it is here.
	*Meta
}

// Meta is what is known of a series and its device.
type Meta struct {
	Unit string `json:"unit,omitempty"`
	// Name is what people call the metric, DeviceName the device.
	Name       string            `json:"name,omitempty"`
	DeviceName string            `json:"device_name,omitempty"`
	Tags       map[string]string `json:"tags,omitempty"`
	// Labels name values.
	Labels map[string]float64 `json:"labels,omitempty"`
	// Min and Max are the values that are possible.
	Min *float64 `json:"min,omitempty"`
	Max *float64 `json:"max,omitempty"`
	// IntervalMS is how often readings are expected; 0: it is not known.
	IntervalMS int64 `json:"interval_ms,omitempty"`
}

// SeriesMsg changes a view's dictionary. It precedes the first row of each series in Added; those in Changed were told of
// before, with other metadata; those in Removed exist no more.
type SeriesMsg struct {
	View    int     `json:"view"`
	Added   []Entry `json:"added,omitempty"`
	Changed []Entry `json:"changed,omitempty"`
	Removed []int   `json:"removed,omitempty"`
}

// Append appends the message.
func (m *SeriesMsg) Append(dst []byte) []byte {
	dst = head(dst, TypeSeries)
	dst = intField(dst, `{"view":`, int64(m.View))
	if len(m.Added) > 0 {
		dst = appendEntries(append(dst, `,"added":`...), m.Added)
	}
	if len(m.Changed) > 0 {
		dst = appendEntries(append(dst, `,"changed":`...), m.Changed)
	}
	if len(m.Removed) > 0 {
		dst = append(dst, `,"removed":`...)
		for i, idx := range m.Removed {
			dst = strconv.AppendInt(append(dst, "[,"[min(i, 1)]), int64(idx), 10)
		}
		dst = append(dst, ']')
	}
	return append(dst, "}}"...)
}

func appendEntries(dst []byte, entries []Entry) []byte {
	dst = append(dst, '[')
	for i := range entries {
		e := &entries[i]
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = intField(dst, `{"i":`, int64(e.I))
		dst = stringField(dst, `,"series":`, e.Series)
		if e.Meta != nil {
			dst = e.append(dst)
		}
		dst = append(dst, '}')
	}
	return append(dst, ']')
}

// append appends the fields that there are, each with a comma before it.
func (m *Meta) append(dst []byte) []byte {
	if m.Unit != "" {
		dst = stringField(dst, `,"unit":`, m.Unit)
	}
	if m.Name != "" {
		dst = stringField(dst, `,"name":`, m.Name)
	}
	if m.DeviceName != "" {
		dst = stringField(dst, `,"device_name":`, m.DeviceName)
	}
	if len(m.Tags) > 0 {
		dst = append(dst, `,"tags":`...)
		dst = appendMap(dst, m.Tags, appendString)
	}
	if len(m.Labels) > 0 {
		dst = append(dst, `,"labels":`...)
		dst = appendMap(dst, m.Labels, appendFloat)
	}
	if m.Min != nil {
		dst = numberField(dst, `,"min":`, *m.Min)
	}
	if m.Max != nil {
		dst = numberField(dst, `,"max":`, *m.Max)
	}
	if m.IntervalMS != 0 {
		dst = intField(dst, `,"interval_ms":`, m.IntervalMS)
	}
	return dst
}

// appendMap appends an object with its fields in order of their names.
func appendMap[V any](dst []byte, m map[string]V, value func(dst []byte, v V) []byte) []byte {
	separator := byte('{')
	for _, name := range slices.Sorted(maps.Keys(m)) {
		dst = append(appendString(append(dst, separator), name), ':')
		dst = value(dst, m[name])
		separator = ','
	}
	return append(dst, '}')
}
