package wire

import (
	"encoding/json"
	"maps"
	"math"
	"slices"
	"strconv"

	"weir/telemetry"
)

// alertJSON reads null as NaN, and a limit that is missing too: earlier servers sent none.
type alertJSON struct {
	telemetry.Alert
	Value   *float64     `json:"value"`
	Score   *float64     `json:"score"`
	Lo      *float64     `json:"lo"`
	Hi      *float64     `json:"hi"`
	Limit   *float64     `json:"limit"`
	Samples []sampleJSON `json:"samples"`
}

type sampleJSON struct {
	Time  int64    `json:"ts"`
	Value *float64 `json:"value"`
}

func (a *alertJSON) alert() telemetry.Alert {
	out := a.Alert
	out.Value, out.Score, out.Lo, out.Hi, out.Limit = deref(a.Value), deref(a.Score), deref(a.Lo), deref(a.Hi), deref(a.Limit)
	for _, s := range a.Samples {
		out.Samples = append(out.Samples, telemetry.Sample{Time: s.Time, Value: deref(s.Value)})
	}
	return out
}

func deref(f *float64) float64 {
	if f == nil {
		return math.NaN()
	}
	return *f
}

// DecodeAlertJSON reads what AppendAlertJSON writes. A number that is null is NaN.
func DecodeAlertJSON(raw []byte) (telemetry.Alert, error) {
	var a alertJSON
	err := json.Unmarshal(raw, &a)
	return a.alert(), err
}

func decodeAlertsJSON(raw []byte) ([]telemetry.Alert, error) {
	var list []alertJSON
	if err := json.Unmarshal(raw, &list); err != nil || len(list) == 0 {
		return nil, err
	}
	alerts := make([]telemetry.Alert, len(list))
	for i := range list {
		alerts[i] = list[i].alert()
	}
	return alerts, nil
}

// AppendAlertJSON appends an alert as a JSON object. Numbers that are not finite are null; what there is none of is
// left out, as far as it is no number.
func AppendAlertJSON(dst []byte, a *telemetry.Alert) []byte {
	dst = stringField(dst, `{"id":`, a.ID)
	dst = stringField(dst, `,"rule":`, a.Rule)
	dst = stringField(dst, `,"series":`, a.Series)
	dst = stringField(dst, `,"phase":`, string(a.Phase))
	dst = optionalField(dst, `,"reason":`, string(a.Reason))
	dst = optionalField(dst, `,"severity":`, string(a.Severity))
	dst = intField(dst, `,"version":`, int64(a.Version))
	dst = intField(dst, `,"raised":`, int64(a.Raised))
	dst = intField(dst, `,"started_ts":`, a.StartedTime)
	dst = intField(dst, `,"ts":`, a.Time)
	dst = numberField(dst, `,"value":`, a.Value)
	dst = numberField(dst, `,"score":`, a.Score)
	dst = numberField(dst, `,"lo":`, a.Lo)
	dst = numberField(dst, `,"hi":`, a.Hi)
	dst = numberField(dst, `,"limit":`, a.Limit)
	dst = stringField(dst, `,"detector":`, a.Detector)
	dst = stringField(dst, `,"summary":`, a.Summary)
	dst = labelsField(dst, `,"labels":`, a.Labels)
	dst = labelsField(dst, `,"annotations":`, a.Annotations)
	dst = appendEvidence(dst, a)
	dst = appendMarks(dst, a)
	return append(dst, '}')
}

func appendEvidence(dst []byte, a *telemetry.Alert) []byte {
	dst = listField(dst, `,"samples":`, a.Samples, func(dst []byte, s telemetry.Sample) []byte {
		dst = intField(dst, `{"ts":`, s.Time)
		return append(numberField(dst, `,"value":`, s.Value), '}')
	})
	dst = uintField(dst, `,"quality":{"n":`, a.Quality.N)
	dst = uintField(dst, `,"late":`, a.Quality.Late)
	dst = uintField(dst, `,"invalid":`, a.Quality.Invalid)
	dst = intField(dst, `,"gap_us":`, a.Quality.Gap)
	dst = uintField(dst, `},"flaps":{"count":`, uint64(a.Flaps.Count))
	dst = intField(dst, `,"period_us":`, a.Flaps.Period)
	return append(dst, '}')
}

// appendMarks appends what people did to the alert, and what keeps it from being news.
func appendMarks(dst []byte, a *telemetry.Alert) []byte {
	if a.Marked != nil {
		dst = appendNote(append(dst, `,"acknowledged":`...), *a.Marked)
	}
	dst = optionalField(dst, `,"assignee":`, a.Assignee)
	dst = listField(dst, `,"comments":`, a.Comments, appendNote)
	dst = listField(dst, `,"silences":`, a.Silences, appendString)
	dst = optionalField(dst, `,"inhibited_by":`, a.Inhibited)
	return optionalField(dst, `,"link":`, a.Link)
}

func appendNote(dst []byte, n telemetry.Note) []byte {
	dst = stringField(dst, `{"by":`, n.By)
	dst = intField(dst, `,"time":`, n.Time)
	return append(optionalField(dst, `,"text":`, n.Text), '}')
}

func uintField(dst []byte, name string, value uint64) []byte {
	return strconv.AppendUint(append(dst, name...), value, 10)
}

func optionalField(dst []byte, name, s string) []byte {
	if s == "" {
		return dst
	}
	return stringField(dst, name, s)
}

func labelsField(dst []byte, name string, labels map[string]string) []byte {
	if len(labels) == 0 {
		return dst
	}
	dst = append(dst, name...)
	separator := byte('{')
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		dst = appendString(append(dst, separator), key)
		dst = appendString(append(dst, ':'), labels[key])
		separator = ','
	}
	return append(dst, '}')
}

func listField[T any](dst []byte, name string, list []T, one func([]byte, T) []byte) []byte {
	if len(list) == 0 {
		return dst
	}
	dst = append(dst, name...)
	separator := byte('[')
	for _, item := range list {
		dst = one(append(dst, separator), item)
		separator = ','
	}
	return append(dst, ']')
}
