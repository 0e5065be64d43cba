package wire

import (
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"weir/telemetry"
)

func pattern(t interface{ Fatal(...any) }, text string) telemetry.Pattern {
	p, err := telemetry.ParsePattern(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestClientMessagesReadBack(t *testing.T) {
	columns, unknown := ParseColumns([]string{"last", "max", "version"})
	if unknown >= 0 || strings.Join(columns.Names(), " ") != "i version since n last max" {
		t.Errorf("columns %v, %d", columns.Names(), unknown)
	}
	subscribe := Subscribe{
		ID: "a \"b\"", Patterns: []telemetry.Pattern{pattern(t, "plant1/#"), pattern(t, "+/x")}, MaxHz: 12.5, HasMaxHz: true,
		Columns: columns, Filter: "max > 90 && unit == \"°C\"", Order: "-score", Limit: 50, Points: 300, WindowMS: 60_000, Cursor: "c",
	}
	got, err := DecodeClientMessage(subscribe.Append(nil))
	if err != nil || got.Type != TypeSubscribe || !reflect.DeepEqual(got.Subscribe, subscribe) || got.SubscriptionID() != subscribe.ID {
		t.Errorf("subscribe: %+v, %v", got, err)
	}
	unsubscribe := Unsubscribe{ID: "a"}
	got, err = DecodeClientMessage(unsubscribe.Append(nil))
	if err != nil || got.Unsubscribe != unsubscribe || got.SubscriptionID() != "a" {
		t.Errorf("unsubscribe: %+v, %v", got, err)
	}
	auth := Auth{Token: "weir_a_\"b\""}
	got, err = DecodeClientMessage(auth.Append(nil))
	if err != nil || got.Auth != auth {
		t.Errorf("auth: %+v, %v", got, err)
	}
	credit := Credit{Frames: 12}
	if got, err = DecodeClientMessage(credit.Append(nil)); err != nil || got.Credit != credit {
		t.Errorf("credit: %+v, %v", got, err)
	}
	if got, err = DecodeClientMessage((&AskStats{}).Append(nil)); err != nil || got.Type != TypeStats {
		t.Errorf("stats: %+v, %v", got, err)
	}
	ping := Ping{Payload: []byte(`{"t":[1,2]}`)}
	got, err = DecodeClientMessage(ping.Append(nil))
	if err != nil || string(got.Ping.Payload) != string(ping.Payload) {
		t.Errorf("ping: %+v, %v", got, err)
	}
	pong := Pong{Payload: []byte(`{"t":1}`)}
	if got, err = DecodeClientMessage(pong.Append(nil)); err != nil || string(got.Pong.Payload) != string(pong.Payload) {
		t.Errorf("pong: %+v, %v", got, err)
	}
	for text, want := range map[string]string{
		`{"payload":{"patterns":["a"],"id":"x"},"type":"subscribe"}`: "x",
		`{"type":"app_ping"}`: "",
		`{"type":"stats"}`:    "",
	} {
		if got, err := DecodeClientMessage([]byte(text)); err != nil || got.SubscriptionID() != want {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
}

func subscribeWith(fields string) string {
	return `{"type":"subscribe","payload":{"id":"a","patterns":["b"],` + fields + `}}`
}

func TestClientMessagesAreRefusedWithCodeAndPath(t *testing.T) {
	many := `["a"` + strings.Repeat(`,"a"`, MaxPatterns) + `]`
	for message, want := range map[string]string{
		``:                                         "json_syntax",
		`[]`:                                       "field_type",
		`{"type":"subscribe"`:                      "json_syntax",
		`{"type":"subscribe"} {}`:                  "json_syntax",
		`{"payload":{}}`:                           "field_missing type",
		`{"type":5}`:                               "field_type type",
		`{"type":"subscribe","x":1}`:               "field_unknown x",
		`{"type":"publish","payload":{}}`:          "message_type type",
		`{"type":"subscribe"}`:                     "field_missing payload",
		`{"type":"subscribe","payload":[]}`:        "field_type payload",
		`{"type":"subscribe","payload":{}}`:        "field_missing payload.id",
		`{"type":"unsubscribe","payload":{}}`:      "field_missing payload.id",
		`{"type":"unsubscribe","payload":{"x":1}}`: "field_unknown payload.x",
		`{"type":"subscribe","payload":{"id":""}}`: "field_range payload.id",
		`{"type":"subscribe","payload":{"id":"` + strings.Repeat("x", 65) + `"}}`:               "field_range payload.id",
		`{"type":"subscribe","payload":{"id":7}}`:                                               "field_type payload.id",
		`{"type":"subscribe","payload":{"id":"a"}}`:                                             "field_missing payload.patterns",
		`{"type":"subscribe","payload":{"id":"a","patterns":[]}}`:                               "field_missing payload.patterns",
		`{"type":"subscribe","payload":{"id":"a","patterns":"b"}}`:                              "field_type payload.patterns",
		`{"type":"subscribe","payload":{"id":"a","patterns":["b",7]}}`:                          "field_type payload.patterns[1]",
		`{"type":"subscribe","payload":{"id":"a","patterns":["b","c/#/d"]}}`:                    "pattern_malformed payload.patterns[1]",
		`{"type":"subscribe","payload":{"id":"a","patterns":` + many + `}}`:                     "patterns_too_many payload.patterns",
		`{"type":"subscribe","payload":{"id":"a","patterns":["b"],"max_hz":"20"}}`:              "field_type payload.max_hz",
		`{"type":"subscribe","payload":{"id":"a","patterns":["b"],"max_hz":-1}}`:                "field_range payload.max_hz",
		`{"type":"subscribe","payload":{"id":"a","patterns":["b"],"max_hz":1e999}}`:             "field_range payload.max_hz",
		`{"type":"subscribe","payload":{"id":"a","patterns":["b"],"pattern":["c"]}}`:            "field_unknown payload.pattern",
		`{"type":"app_ping","payload":` + strings.Repeat("[", 8) + strings.Repeat("]", 8) + `}`: "json_depth payload",
		`{"type":"auth"}`:                              "field_missing payload",
		`{"type":"auth","payload":{}}`:                 "field_missing payload.token",
		`{"type":"auth","payload":{"token":""}}`:       "field_missing payload.token",
		`{"type":"auth","payload":{"token":7}}`:        "field_type payload.token",
		`{"type":"auth","payload":{"key":"weir_a_b"}}`: "field_unknown payload.key",
		`{"type":"auth","payload":{"token":"` + strings.Repeat("x", MaxTokenBytes+1) + `"}}`: "field_range payload.token",
		"{\"type\":\"\xff\"}":                         "json_utf8 type",
		`{"type":"credit","payload":{}}`:              "field_missing payload.frames",
		`{"type":"credit","payload":{"frames":-1}}`:   "field_range payload.frames",
		`{"type":"credit","payload":{"frames":1.5}}`:  "field_range payload.frames",
		`{"type":"credit","payload":{"frames":"1"}}`:  "field_type payload.frames",
		`{"type":"credit","payload":{"frame":1}}`:     "field_unknown payload.frame",
		`{"type":"stats","payload":{"every":1}}`:      "field_unknown payload.every",
		subscribeWith(`"fields":["last","lsat"]`):     "field_value payload.fields[1]",
		subscribeWith(`"fields":["last",7]`):          "field_type payload.fields[1]",
		subscribeWith(`"fields":"last"`):              "field_type payload.fields",
		subscribeWith(`"filter":""`):                  "field_range payload.filter",
		subscribeWith(`"filter":7`):                   "field_type payload.filter",
		subscribeWith(`"order":"worst"`):              "field_missing payload.limit",
		subscribeWith(`"order":"i","limit":5`):        "field_value payload.order",
		subscribeWith(`"order":"--last","limit":5`):   "field_value payload.order",
		subscribeWith(`"limit":0`):                    "field_range payload.limit",
		subscribeWith(`"limit":1001`):                 "field_range payload.limit",
		subscribeWith(`"limit":2.5`):                  "field_range payload.limit",
		subscribeWith(`"points":300`):                 "field_missing payload.window_ms",
		subscribeWith(`"window_ms":300`):              "field_missing payload.points",
		subscribeWith(`"points":1,"window_ms":300`):   "field_range payload.points",
		subscribeWith(`"points":300,"window_ms":1e9`): "field_range payload.window_ms",
		subscribeWith(`"cursor":5`):                   "field_type payload.cursor",
	} {
		_, err := DecodeClientMessage([]byte(message))
		var e *Error
		if !errors.As(err, &e) || strings.TrimSpace(e.Code+" "+e.Path) != want || e.Message == "" {
			t.Errorf("%s: %v, want %s", message, err, want)
		}
	}
	_, err := DecodeClientMessage([]byte(subscribeWith(`"fields":["lsat"]`)))
	if err == nil || !strings.Contains(err.Error(), "first_ts, last_ts, last, min") {
		t.Errorf("who misspells a column is told: %v", err)
	}
	got, err := DecodeClientMessage([]byte(`{"type":"subscribe","payload":{"id":"a","patterns":["#/b"]}}`))
	if err == nil || got.SubscriptionID() != "a" {
		t.Errorf("a refused message is of subscription %q, %v", got.SubscriptionID(), err)
	}
}

func drawRows(t *rapid.T) ([]Entry, []Row) {
	us := drawUpdates(t)
	entries, rows := []Entry{}, []Row{}
	for i := range us {
		u := &us[i]
		u.EmitTime = rapid.Int64().Draw(t, "emit")
		entries = append(entries, Entry{I: 7 * i, Series: u.Series})
		rows = append(rows, Row{I: 7 * i, Update: u})
	}
	return entries, rows
}

// sameRows compares rows; what is not finite has come through JSON as NaN.
func sameRows(got, want []Row) bool {
	return slices.EqualFunc(got, want, func(a, b Row) bool {
		x, y := *a.Update, *b.Update
		for _, f := range []*float64{&y.Last, &y.Min, &y.Max, &y.Sum, &y.Avg, &y.Lo, &y.Hi, &y.Score} {
			if math.IsInf(*f, 0) {
				*f = math.NaN()
			}
		}
		return a.I == b.I && sameUpdate(x, y)
	})
}

func TestRowsReadBackThroughSubscriptionsUpdatesAndSnapshots(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		entries, rows := drawRows(t)
		var d LiveDecoder
		subscribed := Subscribed{ID: "a", View: 17, MaxHz: 20, Dictionary: entries, Rows: rows, Cursor: "c", PushTime: 9}
		text := subscribed.Append(nil)
		m, err := d.Decode(text)
		if err != nil || !json.Valid(text) {
			t.Fatalf("%s: %v", text, err)
		}
		if got := m.(*Subscribed); !sameRows(got.Rows, rows) || got.ID != "a" || got.View != 17 || got.MaxHz != 20 ||
			got.Cursor != "c" || got.PushTime != 9 || !slices.Equal(got.Dictionary, entries) {
			t.Fatalf("%s is read as %+v", text, got)
		}
		updates := Updates{View: 17, Cursor: rapid.SampledFrom([]string{"", "\"c"}).Draw(t, "cursor"), PushTime: 10, Rows: rows}
		updates.Left = rapid.SliceOfN(rapid.Uint32(), 0, 3).Draw(t, "left")
		text = updates.Append(nil)
		if m, err = d.Decode(text); err != nil || !json.Valid(text) {
			t.Fatalf("%s: %v", text, err)
		}
		if got := m.(*Updates); !sameRows(got.Rows, rows) || got.View != 17 || got.Cursor != updates.Cursor || got.PushTime != 10 || !slices.Equal(got.Left, updates.Left) {
			t.Fatalf("%s is read as %+v", text, got)
		}
		// The same in another order and spacing takes the general way.
		if m, err = d.Decode(reordered(t, text)); err != nil || !sameRows(m.(*Updates).Rows, rows) {
			t.Fatalf("%s, reordered: %v", text, err)
		}
		snapshot := Snapshot{Epoch: "e", Cursor: "c", ServerTime: 5, Dictionary: entries, Rows: rows, Alerts: []telemetry.Alert{sampleAlert()}}
		got, err := DecodeSnapshot(snapshot.Append(nil))
		if err != nil || !sameRows(got.Rows, rows) || got.Epoch != "e" || got.Cursor != "c" || got.ServerTime != 5 ||
			!reflect.DeepEqual(got.Alerts, snapshot.Alerts) {
			t.Fatalf("snapshot %+v, %v", got, err)
		}
	})
}

// reordered is a message with the fields of all its objects sorted, indented.
func reordered(t *rapid.T, text []byte) []byte {
	var v map[string]any
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	// encoding/json would round large versions; they are kept as text.
	var raw struct {
		Payload struct {
			Rows json.RawMessage `json:"rows"`
		} `json:"payload"`
	}
	if err := json.Unmarshal(text, &raw); err != nil {
		t.Fatal(err)
	}
	v["payload"].(map[string]any)["rows"] = raw.Payload.Rows
	out, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func sampleMeta() *Meta {
	lowest := -40.5
	return &Meta{
		Unit: "°C", Name: "Temperature \"1\"", DeviceName: "Press", Tags: map[string]string{"line": "7", "a": "b"},
		Labels: map[string]float64{"off": 0, "on": 1}, Min: &lowest, IntervalMS: 1000,
	}
}

func TestRowsOfChosenColumnsReadBackWhateverTheOrderOfFields(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		entries, rows := drawRows(t)
		set, _ := ParseColumns(rapid.SliceOf(rapid.SampledFrom(columns)).Draw(t, "columns"))
		m := Subscribed{ID: "a", View: 17, Columns: set, Dictionary: entries, Rows: rows}
		var straight, turned LiveDecoder
		read := func(d *LiveDecoder, text []byte) []Row {
			switch m, err := d.Decode(text); m := m.(type) {
			case *Subscribed:
				if m.Columns != set {
					t.Fatalf("columns %v, want %v", m.Columns.Names(), set.Names())
				}
				return m.Rows
			case *Updates:
				return m.Rows
			default:
				t.Fatalf("%s: %v", text, err)
				return nil
			}
		}
		text := m.Append(nil)
		later := AppendUpdatesHead(nil, 17, "", 5)
		for _, r := range rows {
			later = set.AppendRow(later, r.I, r.Update)
		}
		later = AppendUpdatesTail(later)
		for _, got := range [][]Row{
			read(&straight, text), read(&turned, reordered(t, text)), read(&straight, later), read(&turned, reordered(t, later)),
		} {
			if len(got) != len(rows) {
				t.Fatalf("%d rows, want %d", len(got), len(rows))
			}
			for i := range got {
				if string(set.AppendRow(nil, 0, got[i].Update)) != string(set.AppendRow(nil, 0, rows[i].Update)) || got[i].I != rows[i].I {
					t.Fatalf("%+v, want %+v", got[i].Update, rows[i].Update)
				}
			}
		}
	})
}

func TestServerMessagesReadBack(t *testing.T) {
	alert := sampleAlert()
	for _, m := range []ServerMessage{
		&Welcome{Protocol: LiveProtocol, Epoch: "e\n", Session: "s", ServerTime: 5, HeartbeatMS: 15000, Insecure: true, Read: []string{"#"}},
		&SeriesMsg{View: 3, Added: []Entry{{I: 0, Series: "a/b"}, {I: 1, Series: "c/d"}}},
		&SeriesMsg{View: 3, Changed: []Entry{{I: 5, Series: "a/b", Meta: sampleMeta()}}},
		&SeriesMsg{View: 3, Removed: []int{5, 7}},
		&Subscribed{ID: "a", View: 3, Resumed: true, Dictionary: []Entry{{I: 0, Series: "a/b"}}, Left: []uint32{0, 4}},
		&Subscribed{ID: "a", View: 3, AlertsResumed: true, Dictionary: []Entry{{I: 0, Series: "a/b"}}, Alerts: []telemetry.Alert{alert}},
		&Stats{RTTMS: 12.5, Subscriptions: []SubscriptionStats{
			{ID: "a\n", View: 1, Frames: 2, Rows: 3, Readings: 4, Merged: 5, Held: 6, Depth: 7, LagMS: 8.5, Stalls: 9}, {ID: "b"},
		}},
		&AlertMsg{alert},
		&Resync{View: 3, Reason: "epoch"},
		&ErrorMsg{Error: *NewError(CodeFieldRange, "payload.id"), ID: "a"},
		&ErrorMsg{Error: *NewError(CodeJSONSyntax, "")},
		&Draining{ReconnectAfterMS: 100, JitterMS: 900},
		&Pong{Payload: []byte(`[1]`)},
		&Authenticated{Subject: "a\n", Roles: []string{"viewer", "x"}, Read: []string{"p/#"}, ExpiresAt: time.Unix(1760000000, 0).UTC()},
		&Authenticated{Subject: "a", Roles: []string{"device"}},
		&TokenExpiring{ExpiresAt: time.Unix(1760000000, 0).UTC()},
		&Other{Type: "novelty", Payload: []byte(`{"x":1}`)},
	} {
		text := m.Append(nil)
		var d LiveDecoder
		got, err := d.Decode(text)
		if err != nil || !json.Valid(text) || !reflect.DeepEqual(got, m) {
			t.Errorf("%s is read as %+v, %v", text, got, err)
		}
	}
	alert.Lo, alert.Hi = math.NaN(), math.Inf(1)
	var d LiveDecoder
	m, err := d.Decode((&AlertMsg{alert}).Append(nil))
	if err != nil || !math.IsNaN(m.(*AlertMsg).Lo) || !math.IsNaN(m.(*AlertMsg).Hi) {
		t.Errorf("an alert without a band: %+v, %v", m, err)
	}
}

func TestLiveDecoderRefusesBrokenMessages(t *testing.T) {
	const row = `[0,1,0,0,0,0,null,null,null,null,null,null,null,null,null,0,0,0,0,0]`
	for name, text := range map[string]string{
		"no JSON":            `{"type":"updates","payload":{"view":1,"rows":[[`,
		"no payload":         `{"type":"welcome"}`,
		"data after it":      `{"type":"updates","payload":{"view":1,"rows":[]}}x`,
		"unclosed":           `{"type":"updates","payload":{"view":1,"rows":[]}`,
		"unknown series":     `{"type":"updates","payload":{"view":1,"rows":[` + strings.Replace(row, "0", "9", 1) + `]}}`,
		"unknown view":       `{"type":"updates","payload":{"view":2,"rows":[` + row + `]}}`,
		"short row":          `{"type":"updates","payload":{"view":1,"rows":[[0,1]]}}`,
		"fraction":           `{"type":"updates","payload":{"view":1,"rows":[` + strings.Replace(row, "1", "1.5", 1) + `]}}`,
		"negative count":     `{"type":"updates","payload":{"view":1,"rows":[` + strings.Replace(row, "1,0,0", "1,0,-1", 1) + `]}}`,
		"no array":           `{"type":"updates","payload":{"view":1,"rows":{}}}`,
		"other columns":      `{"type":"subscribed","payload":{"view":1,"columns":["i","since"],"dictionary":[],"rows":[]}}`,
		"a column twice":     `{"type":"subscribed","payload":{"view":1,"columns":["i","version","since","n","last","last"],"dictionary":[],"rows":[]}}`,
		"three columns":      `{"type":"subscribed","payload":{"view":1,"columns":["i","version","since"],"dictionary":[],"rows":[]}}`,
		"left is no array":   `{"type":"updates","payload":{"view":1,"rows":[],"left":5}}`,
		"left is negative":   `{"type":"updates","payload":{"view":1,"rows":[],"left":[-1]}}`,
		"view of wrong type": `{"type":"resync","payload":{"view":"x"}}`,
	} {
		var d LiveDecoder
		d.learn(1, []Entry{{I: 0, Series: "a/b"}})
		if _, err := d.Decode([]byte(`{"type":"updates","payload":{"view":1,"rows":[` + row + `]}}`)); err != nil {
			t.Fatal(err)
		}
		if m, err := d.Decode([]byte(text)); err == nil {
			t.Errorf("%s: read as %+v", name, m)
		}
	}
}

func TestLiveDecoderSkipsColumnsOfANewerServer(t *testing.T) {
	columns := strings.Replace(columnsJSON, `"emit_ts"`, `"emit_ts","trend"`, 1)
	text := `{"type":"subscribed","payload":{"id":"a","view":1,"columns":` + columns + `,"dictionary":[{"i":0,"series":"a/b"}],"rows":[` +
		`[0,1,0,0,0,0,null,null,null,null,null,null,null,null,null,0,0,0,0,5,{"up":true}]]}}`
	var d LiveDecoder
	m, err := d.Decode([]byte(text))
	if err != nil || m.(*Subscribed).Rows[0].Update.EmitTime != 5 {
		t.Errorf("%+v, %v", m, err)
	}
}

func TestColumnsAreWrittenAsTheyAreNamed(t *testing.T) {
	text, err := json.Marshal(Columns())
	if err != nil || string(text) != columnsJSON || len(columns) != rowCells {
		t.Errorf("columns %s, %v", text, err)
	}
}

func FuzzDecodeClientMessage(f *testing.F) {
	for _, seed := range []string{
		``, `{"type":"subscribe","payload":{"id":"a","patterns":["plant1/#"],"max_hz":20}}`,
		`{"type":"unsubscribe","payload":{"id":"a"}}`, `{"type":"app_ping","payload":{"t":1}}`, `{"type":"app_pong"}`, `{"payload":null,"type":"\u0061"}`,
		`{"type":"auth","payload":{"token":"weir_a_b"}}`, `{"type":"credit","payload":{"frames":12}}`, `{"type":"stats"}`,
		subscribeWith(`"fields":["last","max"],"filter":"max > 90","order":"worst","limit":50,"points":300,"window_ms":60000,"cursor":"c"`),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, message []byte) {
		m, err := DecodeClientMessage(message)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || messageOf(e.Code) == e.Code {
				t.Fatalf("error %v is not in the table of codes", err)
			}
			return
		}
		if !json.Valid(message) {
			t.Fatalf("accepted %q", message)
		}
		var again []byte
		switch m.Type {
		case TypeSubscribe:
			again = m.Subscribe.Append(nil)
		case TypeUnsubscribe:
			again = m.Unsubscribe.Append(nil)
		case TypeAuth:
			again = m.Auth.Append(nil)
		case TypeCredit:
			again = m.Credit.Append(nil)
		case TypeStats:
			again = (&AskStats{}).Append(nil)
		case TypePong:
			again = m.Pong.Append(nil)
		default:
			again = m.Ping.Append(nil)
		}
		if got, err := DecodeClientMessage(again); err != nil || !reflect.DeepEqual(got, m) {
			t.Fatalf("%q became %s: %+v, %v", message, again, got, err)
		}
	})
}

func FuzzLiveDecoder(f *testing.F) {
	us := flush(2, 2)
	rows := []Row{{0, &us[0]}, {1, &us[1]}}
	entries := []Entry{{I: 0, Series: us[0].Series}, {I: 1, Series: us[1].Series}}
	for _, m := range []ServerMessage{
		&Subscribed{View: 1, Dictionary: entries, Rows: rows, Alerts: []telemetry.Alert{sampleAlert()}},
		&Updates{View: 1, Rows: rows}, &SeriesMsg{View: 1, Added: entries}, &AlertMsg{sampleAlert()}, &Welcome{}, &Pong{Payload: []byte("1")},
	} {
		f.Add(m.Append(nil))
	}
	f.Fuzz(func(t *testing.T, message []byte) {
		var d LiveDecoder
		d.learn(1, entries)
		m, err := d.Decode(message)
		if err != nil {
			return
		}
		if !json.Valid(message) {
			t.Fatalf("accepted %q", message)
		}
		if again := m.Append(nil); !json.Valid(again) {
			t.Fatalf("%q became %s", message, again)
		}
	})
}

func FuzzDecodeSnapshot(f *testing.F) {
	us := flush(1, 2)
	s := Snapshot{Epoch: "e", Dictionary: []Entry{{I: 0, Series: us[0].Series}}, Rows: []Row{{0, &us[0]}}, Alerts: []telemetry.Alert{sampleAlert()}}
	f.Add(s.Append(nil))
	f.Fuzz(func(t *testing.T, body []byte) {
		s, err := DecodeSnapshot(body)
		if err != nil {
			return
		}
		if !json.Valid(body) {
			t.Fatalf("accepted %q", body)
		}
		if again, err := DecodeSnapshot(s.Append(nil)); err != nil || !sameRows(again.Rows, s.Rows) {
			t.Fatalf("%q became %+v, %v", body, again, err)
		}
	})
}

func BenchmarkLiveDecoder(b *testing.B) {
	const n = 100
	us := flush(n, 20)
	m := Updates{View: 1, PushTime: serverTime}
	var d LiveDecoder
	for i := range us {
		d.learn(1, []Entry{{I: i, Series: us[i].Series}})
		m.Rows = append(m.Rows, Row{I: i, Update: &us[i]})
	}
	frame := m.Append(nil)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.Decode(frame); err != nil {
			b.Fatal(err)
		}
	}
	perItem(b, n, len(frame))
}
