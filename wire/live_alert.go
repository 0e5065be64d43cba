package wire

import (
	"encoding/json"
	"math"

	"weir/telemetry"
)

// alertJSON reads null as NaN.
type alertJSON struct {
	telemetry.Alert
	Value *float64 `json:"value"`
	Score *float64 `json:"score"`
	Lo    *float64 `json:"lo"`
	Hi    *float64 `json:"hi"`
}

func (a *alertJSON) alert() telemetry.Alert {
	out := a.Alert
	out.Value, out.Score, out.Lo, out.Hi = deref(a.Value), deref(a.Score), deref(a.Lo), deref(a.Hi)
	return out
}

func deref(f *float64) float64 {
	if f == nil {
		return math.NaN()
	}
	return *f
}

func decodeAlertJSON(raw []byte) (telemetry.Alert, error) {
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

// AppendAlertJSON appends an alert as a JSON object. Numbers that are not finite are null.
func AppendAlertJSON(dst []byte, a *telemetry.Alert) []byte {
	dst = stringField(dst, `{"id":`, a.ID)
	dst = stringField(dst, `,"rule":`, a.Rule)
	dst = stringField(dst, `,"series":`, a.Series)
	dst = stringField(dst, `,"phase":`, string(a.Phase))
	dst = intField(dst, `,"version":`, int64(a.Version))
	dst = intField(dst, `,"raised":`, int64(a.Raised))
	dst = intField(dst, `,"started_ts":`, a.StartedTime)
	dst = intField(dst, `,"ts":`, a.Time)
	dst = numberField(dst, `,"value":`, a.Value)
	dst = numberField(dst, `,"score":`, a.Score)
	dst = numberField(dst, `,"lo":`, a.Lo)
	dst = numberField(dst, `,"hi":`, a.Hi)
	dst = stringField(dst, `,"detector":`, a.Detector)
	dst = stringField(dst, `,"summary":`, a.Summary)
	return append(dst, '}')
}
