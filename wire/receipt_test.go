package wire

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"weir/telemetry"
)

func TestReceiptIsWrittenAsTheProtocolShowsIt(t *testing.T) {
	r := Receipt{
		Frame: 1, Seq: 812, HasSeq: true, Accepted: 37, Duplicate: 1,
		Rejected: []Rejection{{Index: 4, Code: CodeValueNotFinite, Path: "readings[4].value"}}, Credit: 40,
	}
	const want = `{"type":"receipt","payload":{"frame":1,"seq":812,"accepted":37,"duplicate":1,"late":0,"rejected":[` +
		`{"index":4,"code":"value_not_finite","path":"readings[4].value"}],"credit":40,"retry_after_ms":0}}`
	if got := string(r.Append(nil)); got != want {
		t.Errorf("written as %s", got)
	}
	r = Receipt{Frame: 3, Rejected: []Rejection{}, Err: &Error{Code: CodeJSONSyntax, Message: "m", Path: "readings[4]"}}
	const whole = `{"type":"receipt","payload":{"frame":3,"accepted":0,"duplicate":0,"late":0,"rejected":[],"credit":0,` +
		`"retry_after_ms":0,"error":{"code":"json_syntax","message":"m","path":"readings[4]"}}}`
	if got := string(r.Append(nil)); got != whole {
		t.Errorf("written as %s", got)
	}
}

func TestReceiptsReadBack(t *testing.T) {
	count := rapid.IntRange(0, 5000)
	rapid.Check(t, func(t *rapid.T) {
		in := &Receipt{
			Frame: rapid.Uint64Range(0, 3).Draw(t, "frame"), HasSeq: rapid.Bool().Draw(t, "has seq"),
			Accepted: count.Draw(t, "accepted"), Duplicate: count.Draw(t, "duplicate"), Late: count.Draw(t, "late"),
			Credit: count.Draw(t, "credit"), RetryAfter: rapid.Int64Range(0, 1e6).Draw(t, "retry"), Rejected: []Rejection{},
		}
		if in.HasSeq {
			in.Seq = rapid.Uint64().Draw(t, "seq")
		}
		for i := range rapid.IntRange(0, 3).Draw(t, "rejected") {
			in.Rejected = append(in.Rejected, Rejection{i, rapid.String().Draw(t, "code"), "p", rapid.String().Draw(t, "message")})
		}
		if rapid.Bool().Draw(t, "refused") {
			in.Err = NewError(CodeJSONDepth, "readings[0]")
		}
		for _, text := range [][]byte{in.Append(nil), in.AppendPayload(nil)} {
			got, err := DecodeReceipt(text)
			if err != nil || !reflect.DeepEqual(got, in) {
				t.Fatalf("%s is read as %+v, %v", text, got, err)
			}
		}
	})
}

func FuzzDecodeReceipt(f *testing.F) {
	f.Add((&Receipt{Frame: 1, HasSeq: true, Rejected: []Rejection{{}}, Err: &Error{}}).Append(nil))
	f.Add([]byte(`{"type":"updates","payload":{}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := DecodeReceipt(text)
		if err == nil && !json.Valid(r.Append(nil)) {
			t.Fatalf("%q became %s", text, r.Append(nil))
		}
	})
}

func TestWriteErrorAnswersWithABody(t *testing.T) {
	w := httptest.NewRecorder()
	WriteError(w, 400, NewError(CodeFieldType, "x.y"))
	var body ErrorBody
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil || w.Code != 400 || *body.Error != *NewError(CodeFieldType, "x.y") {
		t.Errorf("status %d, body %s, %v", w.Code, w.Body, err)
	}
	if got := w.Header().Get("Content-Type"); got != "application/json" {
		t.Errorf("content type %q", got)
	}
}

func TestAsErrorHidesInnerDetail(t *testing.T) {
	e := NewError(CodeFieldType, "x")
	if got := AsError(fmt.Errorf("decode: %w", e)); got != e {
		t.Errorf("a wrapped error became %v", got)
	}
	if got := AsError(errors.New("secret path")); *got != *NewError(CodeInternal, "") {
		t.Errorf("another error became %v", got)
	}
}

func TestCodesAreInTheTableOnceAndComplete(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range Codes() {
		if seen[c.Code] || c.Meaning == "" || c.Status < 400 || c.Scope == "" {
			t.Errorf("code %+v", c)
		}
		seen[c.Code] = true
	}
	for v := notReading; v <= readingsType; v++ {
		if !seen[verdictCodes[v]] {
			t.Errorf("verdict %d has the code %q", v, verdictCodes[v])
		}
	}
	for _, code := range []string{telemetry.CodePathEmpty, telemetry.CodePatternForm} {
		if !seen[code] {
			t.Errorf("code %q of package telemetry is missing", code)
		}
	}
}

func TestCloseCodesTellWhatToDo(t *testing.T) {
	for _, c := range CloseCodes() {
		want := c.Action
		switch {
		case c.Code >= 4200 && c.Code < 4300:
			want = ActionStop
		case c.Code >= 4100 && c.Code < 4200:
			want = ActionToken
		case c.Code >= 4000 && c.Code < 4100:
			want = ActionReconnect
		case c.Code >= 4300:
			t.Errorf("code %d is in no range", c.Code)
		}
		// A reason has to fit a close frame.
		if c.Action != want || len(c.Reason) == 0 || len(c.Reason) > 123 {
			t.Errorf("close code %+v, want action %s", c, want)
		}
	}
}

func TestLatestKeysReadBack(t *testing.T) {
	for _, c := range []struct {
		key  string
		kind LatestKind
		name string
	}{
		{SeriesKey("plant1/a/b"), LatestSeries, "plant1/a/b"},
		{AlertKey("3-5f"), LatestAlert, "3-5f"},
		{MarkerKey, LatestMarker, ""},
		{"", LatestUnknown, ""},
		{"s/", LatestUnknown, ""},
		{"x/y", LatestUnknown, ""},
		{"\x00fence", LatestUnknown, ""},
	} {
		if kind, name := ParseLatestKey([]byte(c.key)); kind != c.kind || name != c.name {
			t.Errorf("key %q is %d %q", c.key, kind, name)
		}
	}
}

func TestTopicsAreNamedOnceAndBounded(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range TopicSpecs() {
		if seen[s.Name] || s.Compact == (s.Retention > 0) || s.Compact == (s.RetentionBytes > 0) {
			t.Errorf("topic %+v", s)
		}
		seen[s.Name] = true
	}
}
