package devices

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"weir/auth"
	"weir/telemetry"
	"weir/wire"
)

const fullMeta = `{"display_name":"Press 7","description":"left of\nthe door","location":{"lat":52.5,"lon":13.4,"name":"Hall 2"},` +
	`"time_zone":"Europe/Berlin","expected_interval":"1m30s","tags":{"line":"3"},` +
	`"metrics":{"temperature":{"unit":"°C","display_name":"Oil","min":-20,"max":120.5,"expected_interval":2},"door":{"labels":{"open":1,"closed":0}}}}`

func TestMetadataIsReadAndWrittenAlike(t *testing.T) {
	m, refusal := DecodeMeta([]byte(fullMeta), "")
	if refusal != nil {
		t.Fatal(refusal)
	}
	if m.ExpectedInterval.Seconds() != 90 || m.Metrics["temperature"].Max != 120.5 || m.Metrics["door"].Labels["open"] != 1 {
		t.Errorf("%+v", m)
	}
	text, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	again, refusal := DecodeMeta(text, "")
	if refusal != nil {
		t.Fatal(refusal)
	}
	if second, _ := json.Marshal(again); string(second) != string(text) {
		t.Errorf("%s\nbecame\n%s", text, second)
	}
}

func TestMetadataIsRefusedWithCodeAndPath(t *testing.T) {
	many := func(n int, field string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `%s"k%d":%s`, map[bool]string{true: ",", false: ""}[i > 0], i, field)
		}
		return b.String()
	}
	for _, c := range []struct{ text, code, path string }{
		{`[]`, wire.CodeFieldType, ""},
		{`{`, wire.CodeJSONSyntax, ""},
		{`{} {}`, wire.CodeJSONSyntax, ""},
		{``, wire.CodeJSONSyntax, ""},
		{"{\"display_name\":\"\xff\"}", wire.CodeJSONUTF8, ""},
		{`{"display_name":"a","display_name":"b"}`, wire.CodeJSONSyntax, "display_name"},
		{`{"colour":1}`, wire.CodeFieldUnknown, "colour"},
		{`{"display_name":7}`, wire.CodeFieldType, "display_name"},
		{`{"display_name":null}`, wire.CodeFieldType, "display_name"},
		{`{"display_name":"` + strings.Repeat("x", 129) + `"}`, wire.CodeFieldRange, "display_name"},
		{`{"display_name":"a\u0007"}`, wire.CodeFieldRange, "display_name"},
		{`{"location":{"lat":1}}`, wire.CodeFieldMissing, "location.lon"},
		{`{"location":{"lat":91,"lon":0}}`, wire.CodeFieldRange, "location.lat"},
		{`{"location":{"lat":1,"lon":0,"alt":3}}`, wire.CodeFieldUnknown, "location.alt"},
		{`{"time_zone":"Mars/Olympus"}`, wire.CodeFieldRange, "time_zone"},
		{`{"time_zone":"Local"}`, wire.CodeFieldRange, "time_zone"},
		{`{"expected_interval":"soon"}`, wire.CodeFieldRange, "expected_interval"},
		{`{"expected_interval":-1}`, wire.CodeFieldRange, "expected_interval"},
		{`{"expected_interval":1e300}`, wire.CodeFieldRange, "expected_interval"},
		{`{"expected_interval":true}`, wire.CodeFieldType, "expected_interval"},
		{`{"expected_interval":"1ms"}`, wire.CodeFieldRange, "expected_interval"},
		{`{"tags":{"a":1}}`, wire.CodeFieldType, "tags.a"},
		{`{"tags":{"":"x"}}`, wire.CodeFieldRange, "tags."},
		{`{"tags":{` + many(65, `"v"`) + `}}`, wire.CodeFieldRange, "tags.k64"},
		{`{"metrics":{"a/b":{}}}`, telemetry.CodePathSegment, "metrics.a/b"},
		{`{"metrics":{"_a":{}}}`, telemetry.CodePathReserved, "metrics._a"},
		{`{"metrics":{"a":[]}}`, wire.CodeFieldType, "metrics.a"},
		{`{"metrics":{"a":{"min":2,"max":1}}}`, wire.CodeFieldRange, "metrics.a.max"},
		{`{"metrics":{"a":{"labels":{"open":"1"}}}}`, wire.CodeFieldType, "metrics.a.labels.open"},
		{`{"metrics":{"a":{"labels":{` + many(257, `1`) + `}}}}`, wire.CodeFieldRange, "metrics.a.labels.k256"},
		{`{"metrics":{` + many(1025, `{}`) + `}}`, wire.CodeFieldRange, "metrics.k1024"},
		{`{"description":"` + strings.Repeat("x", 64<<10) + `"}`, wire.CodeFrameTooLarge, ""},
	} {
		_, e := DecodeMeta([]byte(c.text), "")
		if e == nil || e.Code != c.code || e.Path != c.path {
			t.Errorf("%.80s: refused with %v, want %s at %q", c.text, e, c.code, c.path)
		}
		if c.path == "" {
			continue
		}
		if _, e := DecodeMeta([]byte(c.text), "payload.metadata"); e == nil || e.Path != "payload.metadata."+c.path {
			t.Errorf("%.80s: path %v", c.text, e)
		}
	}
}

func TestLabelsAreThoseOfTheNewestMetadata(t *testing.T) {
	r := open(t, options(newMemory(), "a"))
	describe(t, r, "p/d", `{"metrics":{"door":{"labels":{"open":1}}}}`)
	if r.Labels("p/d", "door")["open"] != 1 || r.Labels("p/d", "other") != nil || r.Labels("p/x", "door") != nil {
		t.Error("labels are not those declared")
	}
	describe(t, r, "p/d", `{}`)
	if r.Labels("p/d", "door") != nil {
		t.Error("labels that are not declared any more")
	}
	if n := testing.AllocsPerRun(100, func() { r.Labels("p/d", "door") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestAHelloThatSaysNothingNewIsNotWritten(t *testing.T) {
	table := newMemory()
	r := open(t, options(table, "a"))
	hello := func(meta string) *wire.Error {
		return r.Hello(t.Context(), auth.Everybody(), "p/d", json.RawMessage(`{"device":"p/d","metadata":`+meta+`}`))
	}
	for range 5 {
		if e := hello(`{"tags":{"b":"1","a":"2"}}`); e != nil {
			t.Fatal(e)
		}
	}
	if n := table.written("meta/p/d"); n != 1 {
		t.Errorf("%d records, want 1", n)
	}
	if e := hello(`{"tags":{}}`); e == nil || e.Code != wire.CodeLimitDevice {
		t.Errorf("metadata changed twice in a second: %v", e)
	}
	if e := hello(`{"tag":{}}`); e == nil || e.Code != wire.CodeFieldUnknown || e.Path != "payload.metadata.tag" {
		t.Errorf("%v", e)
	}
	for payload, code := range map[string]string{
		`{"wills":1}`: wire.CodeFieldUnknown, `{"will":{"text":1}}`: wire.CodeFieldType,
		`{"will":{"readings":[]}}`: wire.CodeFieldUnknown, // nobody submits
		`[]`:                       wire.CodeFieldType,
	} {
		if e := r.Hello(t.Context(), auth.Everybody(), "p/d", json.RawMessage(payload)); e == nil || e.Code != code {
			t.Errorf("%s: %v", payload, e)
		}
	}
}

func TestWillsMustBeReadingsThatWouldBeTaken(t *testing.T) {
	o := options(newMemory(), "a")
	o.Submit = new(submitted).take
	r := open(t, o)
	for payload, path := range map[string]string{
		`{"will":{"readings":[{"metric":"up","value":"x"}]}}`:             "payload.will.readings[0].value",
		`{"will":{"readings":[{"device":"q","metric":"up","value":1}]}}`:  "payload.will.readings[0].device",
		`{"will":{"readings":7}}`:                                         "payload.will.readings",
		`{"will":{"readings":[{"metric":"up","value":1,"ts":"tomorr"}]}}`: "payload.will.readings[0].ts",
	} {
		if e := r.Hello(t.Context(), auth.Everybody(), "p/d", json.RawMessage(payload)); e == nil || e.Path != path {
			t.Errorf("%s: %v, want a refusal at %s", payload, e, path)
		}
	}
}

func FuzzMetadata(f *testing.F) {
	f.Add([]byte(fullMeta))
	f.Add([]byte(`{"metrics":{"a":{"labels":{"x":1e308}}},"expected_interval":"0.1s"}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, refusal := DecodeMeta(raw, "")
		if refusal != nil {
			return
		}
		text, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if _, refusal := DecodeMeta(text, ""); refusal != nil && refusal.Code != wire.CodeFrameTooLarge {
			t.Fatalf("%s is not taken back: %v", text, refusal)
		}
	})
}
