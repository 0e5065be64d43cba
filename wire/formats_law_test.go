package wire

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"
	"pgregory.net/rapid"

	"weir/telemetry"
	"weir/wire/weirpb"
)

// sent is a reading as a device means it.
type sent struct {
	device, metric string
	time           int64
	value          float64
}

func drawSent(t *rapid.T) []sent {
	devices := rapid.SliceOfNDistinct(rapid.StringMatching(`[a-z][a-z0-9]{0,5}(/[a-z][a-z0-9 ]{0,5}){0,3}`), 1, 3, rapid.ID).Draw(t, "devices")
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) sent {
		return sent{
			rapid.SampledFrom(devices).Draw(t, "device"), rapid.StringMatching(`[a-z][a-z0-9]{0,8}`).Draw(t, "metric"),
			rapid.Int64Range(serverTime-1e15, serverTime+6e8).Draw(t, "time"), rapid.Float64().Draw(t, "value"),
		}
	}), 1, 30).Draw(t, "readings")
}

func number64(f float64) json.Number { return json.Number(strconv.FormatFloat(f, 'e', -1, 64)) }

func seconds(micros int64) json.Number {
	return json.Number(fmt.Sprintf("%d.%06d", micros/1e6, micros%1e6))
}

// encoders write the same readings in every format.
var encoders = map[string]struct {
	format Format
	encode func(t testing.TB, readings []sent) []byte
}{
	"json": {FormatJSON, func(t testing.TB, readings []sent) []byte {
		var list []any
		for _, r := range readings {
			list = append(list, map[string]any{"device": r.device, "metric": r.metric, "ts": r.time, "value": number64(r.value)})
		}
		return marshalJSON(t, list)
	}},
	"telegraf": {FormatJSON, func(t testing.TB, readings []sent) []byte {
		var list []any
		for _, r := range readings {
			list = append(list, map[string]any{
				"name": r.metric, "tags": map[string]string{"host": r.device},
				"fields": map[string]any{"value": number64(r.value)}, "timestamp": r.time,
			})
		}
		return marshalJSON(t, map[string]any{"metrics": list, "ts_unit": "us"})
	}},
	"senml+json": {FormatSenMLJSON, func(t testing.TB, readings []sent) []byte {
		var list []any
		for _, r := range readings {
			list = append(list, map[string]any{"bn": r.device + ":", "n": r.metric, "t": seconds(r.time), "v": number64(r.value)})
		}
		return marshalJSON(t, list)
	}},
	"senml+cbor": {FormatSenMLCBOR, func(t testing.TB, readings []sent) []byte {
		var list []any
		for _, r := range readings {
			list = append(list, map[int]any{-2: r.device + ":", 0: r.metric, 6: float64(r.time) / 1e6, 2: r.value})
		}
		b, err := cbor.Marshal(list)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}},
	"influx": {FormatInflux, func(_ testing.TB, readings []sent) []byte {
		var b []byte
		for _, r := range readings {
			b = fmt.Appendf(b, "%s,host=%s value=%s %d\n", r.metric, strings.ReplaceAll(r.device, " ", `\ `), number64(r.value), r.time*1000)
		}
		return b
	}},
	"columns": {FormatColumns, func(t testing.TB, readings []sent) []byte {
		frame := &weirpb.DeviceFrame{}
		for _, r := range readings {
			frame.Batches = append(frame.Batches, batchOf(r.device, r.metric, r.time, r.value))
		}
		return []byte(marshal(t, frame))
	}},
}

func marshalJSON(t testing.TB, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestTheSameReadingsAreTheSameInEveryFormat(t *testing.T) {
	decoders := map[string]FrameDecoder{}
	for name, e := range encoders {
		decoders[name] = NewFrameDecoder(e.format, testOptions())
	}
	auto := NewFrameDecoder(FormatAuto, testOptions())
	rapid.Check(t, func(rt *rapid.T) {
		readings := drawSent(rt)
		want := frameOf(readings)
		for name, e := range encoders {
			encoded := e.encode(t, readings)
			if f, ok := DetectFormat(encoded); !ok || f != e.format {
				rt.Fatalf("%s is taken for %v: %q", name, f, encoded)
			}
			for _, d := range []FrameDecoder{decoders[name], auto} {
				got, err := d.Decode(encoded)
				if err != nil {
					rt.Fatalf("%s: %v in %s", name, err, encoded)
				}
				if !reflect.DeepEqual(got.Batches, want.Batches) || !reflect.DeepEqual(got.Index, want.Index) || len(got.Rejected) > 0 ||
					got.Total != want.Total {
					rt.Fatalf("%s: %s\n got %+v\nwant %+v", name, encoded, got, want)
				}
			}
		}
	})
}

// frameOf is what a decoder has to make of readings.
func frameOf(readings []sent) *Frame {
	f := &Frame{Total: len(readings)}
	at := map[string]int{}
	for i, r := range readings {
		b, ok := at[r.device]
		if !ok {
			b = len(f.Batches)
			at[r.device] = b
			f.Batches = append(f.Batches, telemetry.Batch{Device: r.device, Ingest: serverTime})
			f.Index = append(f.Index, nil)
		}
		f.Batches[b].Readings = append(f.Batches[b].Readings, telemetry.Reading{Metric: r.metric, Time: r.time, Value: r.value})
		f.Index[b] = append(f.Index[b], i)
	}
	return f
}

func TestEveryFormatAllocatesNothingForFramesLikeTheOnesBefore(t *testing.T) {
	var readings []sent
	for i := range 100 {
		readings = append(readings, sent{"plant/" + strconv.Itoa(i%3), "m" + strconv.Itoa(i%7), serverTime + int64(i), float64(i) / 8})
	}
	for name, e := range encoders {
		frame := e.encode(t, readings)
		d := NewFrameDecoder(e.format, testOptions())
		decode := func() {
			f, err := d.Decode(frame)
			if err != nil || len(f.Rejected) > 0 {
				t.Fatal(err, f)
			}
		}
		decode()
		if n := testing.AllocsPerRun(20, decode); n != 0 {
			t.Errorf("%s: %v allocations for 100 readings", name, n)
		}
	}
}

func TestDetectionOfFrames(t *testing.T) {
	for frame, want := range map[string]string{
		"": "auto", " ": "auto", "5": "auto", `"x"`: "auto", "hello world": "auto", "\x89PNG\r\n\x1a\n": "senml+cbor", "PK\x03\x04": "auto",
		" {": "json", "[": "json", "[]": "json", "[{}]": "json", `[{"x":1}]`: "json", `[{"device":"a","v":1}]`: "json",
		`[{"x":1,"bn":"a"}]`: "senml+json", ` [ { "v" : 1}]`: "senml+json", `[{"n":"a","value":1}]`: "senml+json", `[{"fields":{},"n":1}]`: "json",
		"\x80": "senml+cbor", "\x9f\xff": "senml+cbor", "m v=1": "influx", "\n# c\nm,host=a v=1 5": "influx", `m\ x=1`: "auto", `m\ x y=1`: "influx",
		"a=b": "auto", "Jitter v=1": "influx", "Bx,host=b v=1": "influx", "*x v=1": "influx", "m \x01=1": "auto", "m =1": "auto",
	} {
		f, ok := DetectFormat([]byte(frame))
		if f.String() != want || ok != (want != "auto") {
			t.Errorf("%q is %s, %v; want %s", frame, f, ok, want)
		}
	}
	if got := decodeAs(t, FormatAuto, testOptions(), "hello"); got != "error format_unknown" {
		t.Error(got)
	}
}

func TestFormatsByName(t *testing.T) {
	for f := FormatJSON; f <= FormatColumns; f++ {
		if got, ok := FormatOfSubprotocol(f.Subprotocol()); !ok || got != f {
			t.Errorf("%s: subprotocol %s is of %s", f, f.Subprotocol(), got)
		}
		if got, ok := ParseFormat(f.String()); !ok || got != f {
			t.Errorf("%s is parsed as %s", f, got)
		}
	}
	for text, want := range map[string]string{
		"": "auto true", "application/json": "json true", "application/json; charset=utf-8": "json true", "APPLICATION/SenML+JSON": "senml+json true",
		"application/sensml+cbor": "senml+cbor true", "application/x-protobuf": "columns true", "application/vnd.weir.columns+protobuf": "columns true",
		"text/plain; charset=utf-8": "auto true", "application/x-www-form-urlencoded": "auto true", "image/png": "auto false", ";": "auto false",
	} {
		if f, ok := FormatOfContentType(text); fmt.Sprint(f, ok) != want {
			t.Errorf("%q: %s %v, want %s", text, f, ok, want)
		}
	}
	for _, subprotocol := range []string{"", "mqtt", "weir.v1.auto", "weir.v1.", "weir.v2.json"} {
		if f, ok := FormatOfSubprotocol(subprotocol); ok {
			t.Errorf("%q is taken for %s", subprotocol, f)
		}
	}
}
