package wire

import (
	"encoding/hex"
	"encoding/json"
	"math"
	"testing"

	"weir/telemetry"
)

func TestGoldenLiveProto(t *testing.T) {
	type binary struct {
		Name    string          `json:"name"`
		Hex     string          `json:"hex"`
		Message json.RawMessage `json:"message"`
	}
	var server, client []binary
	var decoder LiveDecoder
	add := func(name string, frame, text []byte) {
		server = append(server, binary{name, hex.EncodeToString(frame), text})
		if _, err := decoder.DecodeProto(frame); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	one, many, none := sampleUpdate(8192, 8193, 1), sampleUpdate(4096, 8192, 3), sampleUpdate(7, 9, 0)
	one.Late, many.Invalid, none.Avg = 2, 300, math.NaN()
	rows := []Row{{I: 0, Update: &many}, {I: 1, Update: &one}, {I: 300, Update: &none}}
	limit := 80.5
	entries := []Entry{
		{I: 0, Series: "plant1/press7/temperature", Meta: &Meta{Unit: "°C", Tags: map[string]string{"line": "3"}, Max: &limit}},
		{I: 1, Series: "plant1/press8/temperature"}, {I: 300, Series: "plant1/press9/temperature"},
	}
	some, _ := ParseColumns([]string{"max", "state", "last_ts", "score"})
	early, _ := ParseColumns([]string{"first_ts", "last", "worst"})
	for _, view := range []struct {
		name    string
		number  int
		columns ColumnSet
	}{{"all columns", 17, 0}, {"some columns", 18, some}, {"others", 300, early}} {
		sub := &Subscribed{
			ID: "a", View: view.number, MaxHz: 0.5, Columns: view.columns, Dictionary: entries[:2], Rows: rows[:2],
			Alerts: []telemetry.Alert{sampleAlert()}, Cursor: "AQ", PushTime: serverTime,
		}
		add("subscribed: "+view.name, sub.AppendProto(nil), sub.Append(nil))
		series := &SeriesMsg{View: view.number, Added: entries[2:], Changed: entries[:1], Removed: []int{1}}
		add("series: "+view.name, series.AppendProto(nil), series.Append(nil))
		updates := &Updates{View: view.number, Cursor: "AQE", PushTime: serverTime, Rows: rows, Left: []uint32{2, 500}}
		add("updates: "+view.name, updates.AppendProto(nil, view.columns), updates.appendColumns(view.columns))
	}
	resumed := &Subscribed{ID: "ä \"b\"", View: 19, Resumed: true, Left: []uint32{4}, Cursor: "AQI", PushTime: serverTime}
	add("subscribed: resumed, nothing missed", resumed.AppendProto(nil), resumed.Append(nil))
	anew := &Subscribed{ID: "a", View: 20, AlertsResumed: true, Alerts: []telemetry.Alert{sampleAlert()}, Cursor: "AQI", PushTime: serverTime}
	add("subscribed: anew, with the alerts missed", anew.AppendProto(nil), anew.Append(nil))
	nothing := &Updates{View: 19, PushTime: serverTime, Left: []uint32{0}}
	add("updates: no rows", nothing.AppendProto(nil, 0), nothing.Append(nil))
	pong := (&Pong{Payload: []byte(`{"t":1}`)}).Append(nil)
	add("any other message", AppendServerJSON(nil, pong), pong)
	ask := (&Unsubscribe{ID: "a"}).Append(nil)
	client = append(client, binary{"a message", hex.EncodeToString(AppendClientJSON(nil, ask)), ask})
	golden(t, "live_proto.json", listOf("server", server), listOf("client", client))
}
