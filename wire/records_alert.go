package wire

import (
	"fmt"
	"maps"
	"math"
	"slices"

	"weir/telemetry"
	"weir/wire/weirpb"
)

// AppendAlert appends the record of an alert. Equal alerts have equal records.
func AppendAlert(dst []byte, a *telemetry.Alert) []byte {
	m := weirpb.Alert{
		Id: a.ID, Rule: a.Rule, Series: a.Series, Phase: string(a.Phase), Reason: string(a.Reason), Severity: string(a.Severity),
		Version: int64(a.Version), Raised: int64(a.Raised), StartedTime: a.StartedTime, Time: a.Time,
		Value: a.Value, Score: a.Score, Lo: a.Lo, Hi: a.Hi, Detector: a.Detector, Summary: a.Summary,
		Labels: labelList(a.Labels), Annotations: labelList(a.Annotations),
		Assignee: a.Assignee, Silences: a.Silences, InhibitedBy: a.Inhibited, Link: a.Link,
	}
	if !math.IsNaN(a.Limit) {
		m.Limit = &a.Limit
	}
	before := int64(0)
	for _, s := range a.Samples {
		m.SampleTimeDelta = append(m.SampleTimeDelta, s.Time-before)
		m.SampleValue = append(m.SampleValue, s.Value)
		before = s.Time
	}
	if q := a.Quality; q != (telemetry.Quality{}) {
		m.Quality = &weirpb.AlertQuality{N: q.N, Late: q.Late, Invalid: q.Invalid, Gap: q.Gap}
	}
	if f := a.Flaps; f != (telemetry.Flaps{}) {
		m.Flaps = &weirpb.AlertFlaps{Count: f.Count, Period: f.Period}
	}
	if a.Marked != nil {
		m.Acknowledged = noteMessage(a.Marked)
	}
	for i := range a.Comments {
		m.Comments = append(m.Comments, noteMessage(&a.Comments[i]))
	}
	return appendMessage(dst, &m)
}

// DecodeAlert reads the record of an alert. What a record of an earlier version lacks is empty, a limit NaN.
func DecodeAlert(b []byte) (telemetry.Alert, error) {
	var m weirpb.Alert
	if err := m.UnmarshalVT(b); err != nil {
		return telemetry.Alert{}, fmt.Errorf("decode alert: %w: %w", ErrRecord, err)
	}
	if len(m.SampleTimeDelta) != len(m.SampleValue) {
		return telemetry.Alert{}, fmt.Errorf("decode alert: %w: %d times of %d samples", ErrRecord, len(m.SampleTimeDelta), len(m.SampleValue))
	}
	a := telemetry.Alert{
		ID: m.Id, Rule: m.Rule, Series: m.Series, Phase: telemetry.Phase(m.Phase),
		Reason: telemetry.Reason(m.Reason), Severity: telemetry.Severity(m.Severity),
		Version: telemetry.Version(m.Version), Raised: telemetry.Version(m.Raised),
		StartedTime: m.StartedTime, Time: m.Time,
		Value: m.Value, Score: m.Score, Lo: m.Lo, Hi: m.Hi, Limit: deref(m.Limit), Detector: m.Detector, Summary: m.Summary,
		Labels: labelMap(m.Labels), Annotations: labelMap(m.Annotations),
		Assignee: m.Assignee, Silences: m.Silences, Inhibited: m.InhibitedBy, Link: m.Link,
	}
	at := int64(0)
	for i, value := range m.SampleValue {
		at += m.SampleTimeDelta[i]
		a.Samples = append(a.Samples, telemetry.Sample{Time: at, Value: value})
	}
	if q := m.Quality; q != nil {
		a.Quality = telemetry.Quality{N: q.N, Late: q.Late, Invalid: q.Invalid, Gap: q.Gap}
	}
	if f := m.Flaps; f != nil {
		a.Flaps = telemetry.Flaps{Count: f.Count, Period: f.Period}
	}
	if m.Acknowledged != nil {
		note := noteOf(m.Acknowledged)
		a.Marked = &note
	}
	for _, c := range m.Comments {
		a.Comments = append(a.Comments, noteOf(c))
	}
	return a, nil
}

// labelList has the labels by name: a map has no order of its own, and a replay must write the same bytes.
func labelList(labels map[string]string) []*weirpb.AlertLabel {
	var out []*weirpb.AlertLabel
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		out = append(out, &weirpb.AlertLabel{Name: name, Value: labels[name]})
	}
	return out
}

func labelMap(list []*weirpb.AlertLabel) map[string]string {
	if len(list) == 0 {
		return nil
	}
	out := make(map[string]string, len(list))
	for _, l := range list {
		out[l.Name] = l.Value
	}
	return out
}

func noteMessage(n *telemetry.Note) *weirpb.AlertNote {
	return &weirpb.AlertNote{By: n.By, Time: n.Time, Text: n.Text}
}

func noteOf(m *weirpb.AlertNote) telemetry.Note {
	return telemetry.Note{By: m.By, Time: m.Time, Text: m.Text}
}
