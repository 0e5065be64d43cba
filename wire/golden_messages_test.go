package wire

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"testing"
	"time"
	"unicode/utf8"

	"weir/telemetry"
)

type namedMessage struct {
	Name    string          `json:"name"`
	Message json.RawMessage `json:"message"`
}

func TestGoldenReceipts(t *testing.T) {
	var messages, bodies []namedMessage
	add := func(name string, r Receipt) {
		for _, text := range [][]byte{r.Append(nil), r.AppendPayload(nil)} {
			if _, err := DecodeReceipt(text); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		messages = append(messages, namedMessage{name, r.Append(nil)})
		r.Frame = 0
		bodies = append(bodies, namedMessage{name, r.AppendPayload(nil)})
	}
	rejected := func(index int, code, path string) Rejection { return Rejection{index, code, path, messageOf(code)} }
	add("all accepted", Receipt{Frame: 1, Seq: 812, HasSeq: true, Accepted: 37, Credit: 40})
	add("no seq", Receipt{Frame: 2, Accepted: 1, Credit: 40})
	add("some rejected", Receipt{
		Frame: 3, Seq: 0, HasSeq: true, Accepted: 36, Duplicate: 1, Late: 2, Credit: 39, RetryAfter: 250,
		Rejected: []Rejection{rejected(4, CodeValueNotFinite, "readings[4].value"), rejected(5, CodeReadingType, "readings[5]")},
	})
	add("all rejected", Receipt{Frame: 4, Rejected: []Rejection{rejected(0, CodeMetricMissing, "metric")}, Credit: 40})
	add("not understood", Receipt{Frame: 5, Credit: 40, Err: &Error{
		Code: CodeJSONSyntax, Path: "readings[4].value", Message: "an unknown word at byte 17",
	}})
	add("not stored", Receipt{Frame: 6, Seq: 813, HasSeq: true, RetryAfter: 1000, Err: NewError(CodeNotStored, "")})
	golden(t, "receipts.json", listOf("messages", messages), listOf("bodies", bodies))
}

func TestGoldenLive(t *testing.T) {
	u := sampleUpdate(4096, 8192, 3)
	rows := []Row{{I: 0, Update: &u}}
	entries := []Entry{{I: 0, Series: u.Series}}
	alerts := []telemetry.Alert{sampleAlert()}
	expires := time.UnixMicro(serverTime)
	var server, client []json.RawMessage
	for _, m := range []ServerMessage{
		&Welcome{Protocol: LiveProtocol, Epoch: "6f1c", Session: "s1", ServerTime: serverTime, HeartbeatMS: 15000, Read: []string{"plant1/#"}},
		&Subscribed{
			ID: "a", View: 17, MaxHz: 20, Dictionary: entries, Rows: rows, Alerts: alerts, Cursor: "6f1c.1.2", PushTime: serverTime,
		},
		&SeriesMsg{View: 17, Added: []Entry{{I: 1, Series: "plant1/press8/temperature"}}},
		&Updates{View: 17, Cursor: "6f1c.1.3", PushTime: serverTime, Rows: rows},
		&Updates{View: 17, PushTime: serverTime, Rows: []Row{rows[0], rows[0]}},
		&AlertMsg{alerts[0]},
		&Resync{View: 17, Reason: "epoch"},
		&ErrorMsg{Error: *NewError(telemetry.CodePatternForm, "payload.patterns[0]"), ID: "a"},
		&Draining{ReconnectAfterMS: 500, JitterMS: 2000},
		&Pong{Payload: []byte(`{"t":1}`)},
		&Ping{Payload: []byte(`{"t":1}`)},
		&Pong{Payload: []byte(`{"t":1}`)},
		&Authenticated{Subject: "alice", Roles: []string{"viewer"}, Read: []string{"plant1/#", "plant2/+/temperature"}, ExpiresAt: expires},
		&Authenticated{Subject: "k4f7", Roles: []string{"device"}},
		&Authenticated{Subject: "k4f7", Roles: []string{"device"}, ExpiresAt: expires, AccessToken: "a.b.c", RefreshToken: "d.e.f", RefreshExpiresAt: expires},
		&TokenExpiring{ExpiresAt: expires},
	} {
		server = append(server, m.Append(nil))
	}
	for _, m := range roomAnswers() {
		server = append(server, m.Append(nil))
	}
	for _, m := range []ServerMessage{
		&Subscribe{ID: "a", Patterns: []telemetry.Pattern{pattern(t, "plant1/#")}, MaxHz: 20, HasMaxHz: true},
		&Subscribe{ID: "b", Patterns: []telemetry.Pattern{pattern(t, "plant1/+/temperature"), pattern(t, "plant2/#")}},
		&Unsubscribe{ID: "a"},
		&Ping{Payload: []byte(`{"t":1}`)},
		&Auth{Token: "weir_k4f7_secret"},
	} {
		text := m.Append(nil)
		if _, err := DecodeClientMessage(text); err != nil {
			t.Errorf("%s: %v", text, err)
		}
		client = append(client, text)
	}
	for _, r := range roomRequests() {
		client = append(client, r.Append(nil, r.kind))
	}
	golden(t, "live.json", listOf("server", server), listOf("client", client))
}

type frameCase struct {
	Name string `json:"name"`
	// Frame is the text, Base64 stands for it if it is not valid UTF-8.
	Frame         string      `json:"frame,omitempty"`
	Base64        string      `json:"base64,omitempty"`
	DefaultDevice string      `json:"default_device,omitempty"`
	Session       string      `json:"session,omitempty"`
	Seq           *uint64     `json:"seq,omitempty"`
	Batches       []frameRows `json:"batches,omitempty"`
	Rejected      []Rejection `json:"rejected,omitempty"`
	Error         *Error      `json:"error,omitempty"`
}

type frameRows struct {
	Device   string         `json:"device"`
	Readings []frameReading `json:"readings"`
}

type frameReading struct {
	Index  int     `json:"index"`
	Metric string  `json:"metric"`
	Time   int64   `json:"ts"`
	Value  float64 `json:"value"`
}

func TestGoldenFrames(t *testing.T) {
	var cases []frameCase
	for _, c := range []frameCase{
		{Name: "one reading", Frame: `{"device":"plant1/press7","metric":"temperature","ts":1760000000,"value":21.5}`},
		{Name: "one reading, numbered", Frame: `{"device":"a","session":"b7","seq":3,"metric":"m","value":1}`},
		{Name: "array", Frame: `[{"device":"a","metric":"m","ts":1760000000000,"value":1},{"device":"b","metric":"m","ts":"2025-10-09T08:53:20.25Z","value":true}]`},
		{Name: "envelope", Frame: `{"device":"plant1/press7","session":"b7","seq":812,"readings":[{"metric":"temperature","ts":1760000000123456,"value":21.5},{"metric":"pressure","ts":1760000000123456789,"value":-1e-3}]}`},
		{Name: "envelope, device named last", Frame: `{"readings":[{"metric":"m","value":1}],"device":"a"}`},
		{Name: "envelope, devices named inside", Frame: `{"readings":[{"device":"b","metric":"m","value":1},{"device":"a","metric":"m","value":2},{"device":"b","metric":"m","value":3}]}`},
		{Name: "device of the connection", DefaultDevice: "gateway/1", Frame: `{"readings":[{"metric":"m","value":1},{"device":"b","metric":"m","value":2}]}`},
		{Name: "no readings", Frame: `{"device":"a","readings":[]}`},
		{Name: "last of repeated fields counts", Frame: `{"device":5,"device":"a","metric":"m","value":1,"value":2,"unit":"°C"}`},
		{Name: "escapes", Frame: `{"device":"a\/\u00fc","metric":"\ud83d\ude00","value":1}`},
		{Name: "values at their bounds", Frame: `{"device":"a","readings":[{"metric":"m","value":9007199254740992},{"metric":"m","value":-0.0},{"metric":"m","value":1.7976931348623157e308},{"metric":"m","value":0.1}]}`},
		{Name: "values refused", Frame: `{"device":"a","readings":[{"metric":"m","value":1e999},{"metric":"m","value":NaN},{"metric":"m","value":-Infinity},{"metric":"m","value":9007199254740993},{"metric":"m","value":"1"},{"metric":"m","value":null},{"metric":"m"},{"metric":"m","value":5}]}`},
		{Name: "times refused", Frame: `{"device":"a","readings":[{"metric":"m","ts":1760000601,"value":1},{"metric":"m","ts":"soon","value":1},{"metric":"m","ts":[],"value":1},{"metric":"m","ts":-1e16,"value":1},{"metric":"m","ts":1760000600,"value":1}]}`},
		{Name: "names refused", Frame: `[{"device":"a/#","metric":"m","value":1},{"device":"a","metric":"m/n","value":1},{"device":"_weir","metric":"m","value":1},{"device":"a","metric":7,"value":1},{"metric":"m","value":1},{"device":"a","value":1},{"device":"","metric":"m","value":1},{"device":"a","metric":"\u0000","value":1}]`},
		{Name: "device named twice", Frame: `{"device":"a","readings":[{"device":"b","metric":"m","value":1}]}`},
		{Name: "not readings", Frame: `[1,"x",null,[]]`},
		{Name: "empty", Frame: " "},
		{Name: "neither object nor array", Frame: `"reading"`},
		{Name: "syntax", Frame: `{"device":"a","readings":[{"metric":"m","value":1},{"metric":"m","value":tru}]}`},
		{Name: "cut off", Frame: `{"device":"a","readings":[{"metric":"m","value":1}`},
		{Name: "data behind", Frame: `{"device":"a","metric":"m","value":1}{}`},
		{Name: "too deep", Frame: `{"device":"a","readings":[{"x":[[[[[[1]]]]]]}]}`},
		{Name: "invalid UTF-8", Frame: "{\"device\":\"a\xff\",\"metric\":\"m\",\"value\":1}"},
		{Name: "readings are no array", Frame: `{"device":"a","readings":{}}`},
		{Name: "session without seq", Frame: `{"device":"a","session":"s","readings":[]}`},
		{Name: "seq is no whole number", Frame: `{"device":"a","session":"s","seq":1.5,"readings":[]}`},
		{Name: "device of the envelope refused", Frame: `{"device":"a//b","readings":[{"metric":"m","value":1}]}`},
	} {
		opts := testOptions()
		opts.DefaultDevice = c.DefaultDevice
		f, err := NewDecoder(opts).Decode([]byte(c.Frame))
		c.fill(t, f, err)
		cases = append(cases, c)
	}
	golden(t, "frames.json", section{name: "now", value: int64(serverTime)}, listOf("frames", cases))
}

// fill adds what a frame came to.
func (c *frameCase) fill(t *testing.T, f *Frame, err error) {
	if !utf8.ValidString(c.Frame) {
		c.Base64, c.Frame = base64.StdEncoding.EncodeToString([]byte(c.Frame)), ""
	}
	if err != nil {
		if !errors.As(err, &c.Error) {
			t.Fatalf("%s: %v", c.Name, err)
		}
		return
	}
	c.Session, c.Rejected = f.Session, f.Rejected
	if f.HasSeq {
		c.Seq = &f.Seq
	}
	for i, b := range f.Batches {
		rows := frameRows{Device: b.Device}
		for j, r := range b.Readings {
			rows.Readings = append(rows.Readings, frameReading{f.Index[i][j], r.Metric, r.Time, r.Value})
		}
		c.Batches = append(c.Batches, rows)
	}
}

func TestGoldenRecords(t *testing.T) {
	type recordCase struct {
		Name    string `json:"name"`
		Message string `json:"message"`
		Hex     string `json:"hex"`
		Value   any    `json:"value"`
	}
	var cases []recordCase
	add := func(name, message string, record []byte, value any) {
		cases = append(cases, recordCase{name, message, hex.EncodeToString(record), value})
	}
	for _, c := range []struct {
		name string
		n    int
	}{{"one reading", 1}, {"readings of several metrics", 6}} {
		b := batch(c.n)
		add(c.name, "weir.v1.ReadingBatch", AppendReadingBatch(nil, b), b)
	}
	us := []telemetry.Update{sampleUpdate(-1, 3, 1), sampleUpdate(4096, 8192, 3), sampleUpdate(7, 9, 0)}
	us[1].Late = 2
	var values []goldenUpdate
	for i := range us {
		us[i].EmitTime = serverTime
		values = append(values, goldenOf(us[i]))
	}
	add("updates", "weir.v1.UpdateBatch", AppendUpdateBatch(nil, serverTime, us), values)
	add("one update", "weir.v1.UpdateBatch", AppendUpdateBatch(nil, serverTime, us[:1]), values[:1])
	alert, letter, marker := sampleAlert(), sampleDeadLetter(), Marker{Updates: 7, Alerts: 0, Readings: 1 << 40}
	add("alert", "weir.v1.Alert", AppendAlert(nil, &alert), alert)
	add("marker", "weir.v1.Marker", AppendMarker(nil, marker), marker)
	add("dead letter", "weir.v1.DeadLetter", AppendDeadLetter(nil, &letter), letter)
	golden(t, "records.json", listOf("records", cases))
}
