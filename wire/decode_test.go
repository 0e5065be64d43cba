package wire

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"

	"weir/telemetry"
)

// serverTime is the clock of the tests, 2025-10-09T08:53:20Z.
const serverTime = 1_760_000_000_000_000

func testOptions() DecoderOptions {
	return DecoderOptions{
		MaxReadings: telemetry.MaxReadingsPerRecord, MaxFuture: DefaultMaxFuture, Now: func() int64 { return serverTime },
	}
}

// outcomeOf puts what a Decoder says into the reference's form and checks what the form leaves out.
func outcomeOf(t *testing.T, f *Frame, err error) outcome {
	t.Helper()
	if err != nil {
		var e *Error
		if !errors.As(err, &e) || messageOf(e.Code) == e.Code || e.Message == "" {
			t.Fatalf("error %v is not in the table of codes", err)
		}
		return outcome{refused: true}
	}
	o := outcome{session: f.Session, readings: map[int]refReading{}, rejected: map[int]string{}}
	if f.HasSeq {
		o.seq = strconv.FormatUint(f.Seq, 10)
	}
	devices := map[string]bool{}
	for i, b := range f.Batches {
		if devices[b.Device] || len(b.Readings) == 0 || len(b.Readings) != len(f.Index[i]) {
			t.Fatalf("batch %d of %q has %d readings and %d positions", i, b.Device, len(b.Readings), len(f.Index[i]))
		}
		devices[b.Device] = true
		if b.Session != f.Session || b.Seq != f.Seq || b.Ingest != serverTime {
			t.Fatalf("batch %d is %+v", i, b)
		}
		before := -1
		for j, r := range b.Readings {
			at := f.Index[i][j]
			if at <= before || at >= f.Total {
				t.Fatalf("position %d follows %d of %d", at, before, f.Total)
			}
			before = at
			o.readings[at] = refReading{b.Device, r.Metric, r.Time, r.Value}
		}
	}
	for _, r := range f.Rejected {
		o.rejected[r.Index] = r.Code
	}
	if len(o.readings)+len(o.rejected) != f.Total {
		t.Fatalf("%d accepted and %d rejected of %d", len(o.readings), len(o.rejected), f.Total)
	}
	return o
}

// difference compares two outcomes. Times written with more digits than a Decoder keeps may be a little off.
func difference(got, want outcome) string {
	if got.refused != want.refused || got.session != want.session || strings.TrimLeft(got.seq, "0") != strings.TrimLeft(want.seq, "0") {
		return fmt.Sprintf("got %+v, want %+v", got, want)
	}
	if len(got.readings) != len(want.readings) {
		return fmt.Sprintf("accepted %v, want %v; rejected %v, want %v", got.readings, want.readings, got.rejected, want.rejected)
	}
	for i, code := range want.rejected {
		if got.rejected[i] != code {
			return fmt.Sprintf("reading %d: code %q, want %q", i, got.rejected[i], code)
		}
	}
	for i, w := range want.readings {
		g := got.readings[i]
		if d := g.time - w.time; d > -32 && d < 32 {
			g.time = w.time
		}
		if g != w || math.Signbit(g.value) != math.Signbit(w.value) {
			return fmt.Sprintf("reading %d: %+v, want %+v", i, g, w)
		}
	}
	return ""
}

func TestDecodeReadsThreeFormsAlike(t *testing.T) {
	const reading = `"metric":"temperature","ts":1760000000000,"value":21.5`
	for name, frame := range map[string]string{
		"reading":              `{"device":"plant1/press7",` + reading + `}`,
		"array":                `[{"device":"plant1/press7",` + reading + `}]`,
		"envelope":             `{"device":"plant1/press7","readings":[{` + reading + `}]}`,
		"envelope, late name":  `{"readings":[{` + reading + `}],"device":"plant1/press7"}`,
		"envelope, inner name": `{"readings":[{"device":"plant1/press7",` + reading + `}]}`,
		"white space":          " \n[ { \"device\" : \"plant1/press7\" ,\t" + strings.ReplaceAll(reading, ":", " :\r") + " } ] ",
		"escapes":              `[{"dev\u0069ce":"plant1\/press\u0037",` + reading + `}]`,
		"repeated fields":      `[{"device":5,"value":null,"device":"plant1/press7",` + reading + `}]`,
		"unknown fields":       `[{"x":{"y":[1,{}]},"device":"plant1/press7",` + reading + `,"unit":"°C","z":null}]`,
	} {
		f, err := NewDecoder(testOptions()).Decode([]byte(frame))
		if err != nil || len(f.Batches) != 1 {
			t.Errorf("%s: %v, %+v", name, err, f)
			continue
		}
		b := f.Batches[0]
		want := telemetry.Reading{Metric: "temperature", Time: 1_760_000_000_000_000, Value: 21.5}
		if b.Device != "plant1/press7" || b.Ingest != serverTime || len(b.Readings) != 1 || b.Readings[0] != want {
			t.Errorf("%s: %+v", name, b)
		}
	}
}

func TestDecodeGroupsReadingsByDevice(t *testing.T) {
	opts := testOptions()
	opts.DefaultDevice = "gateway/1"
	f, err := NewDecoder(opts).Decode([]byte(`[
		{"device":"b","metric":"m","value":0},{"device":"a","metric":"m","value":1},{"metric":"m","value":2},
		{"device":"b","metric":"m","value":3},{"device":"#","metric":"m","value":4},{"device":"a","metric":"n","value":5}]`))
	if err != nil {
		t.Fatal(err)
	}
	got := ""
	for i, b := range f.Batches {
		got += b.Device + ":"
		for j, r := range b.Readings {
			got += fmt.Sprintf(" %v@%d", r.Value, f.Index[i][j])
		}
		got += "; "
	}
	if want := "b: 0@0 3@3; a: 1@1 5@5; gateway/1: 2@2; "; got != want {
		t.Errorf("grouped %s, want %s", got, want)
	}
	if len(f.Rejected) != 1 || f.Rejected[0].Path != "[4].device" || f.Rejected[0].Code != telemetry.CodePathWildcard {
		t.Errorf("rejected %+v", f.Rejected)
	}
}

func TestDecodeNamesWhatIsWrongWithAFrame(t *testing.T) {
	deep := strings.Repeat("[", 9) + strings.Repeat("]", 9)
	for frame, want := range map[string]string{
		``:         "frame_empty",
		" \n":      "frame_empty",
		`5`:        "frame_type",
		`"x"`:      "frame_type",
		`nul`:      "json_syntax",
		"\x00":     "json_syntax",
		"\x89PNG":  "json_syntax",
		`{`:        "json_syntax",
		`{} x`:     "json_syntax",
		`[{}`:      "json_syntax [1]",
		`[{"a":1}`: "json_syntax [1]",
		`{"device":"a","readings":[{"metric":"m","value":1},{"metric":"m","value":tru}]}`: "json_syntax readings[1].value",
		`{"device":"a","readings":[{"metric":"m","value":01}]}`:                           "json_syntax readings[0].value",
		`{"device":"a","readings":[{"metric":"m","ts":NaN}]}`:                             "json_syntax readings[0].ts",
		`{"device":"a","readings":[{"metric":"m` + "\xff" + `"}]}`:                        "json_utf8 readings[0].metric",
		`{"device":"a","readings":[{"x\u0041":{"y":1e}}]}`:                                "json_syntax readings[0].xA",
		`{"device":"a","readings":[{"x":` + deep + `}]}`:                                  "json_depth readings[0].x",
		`{"device":"a","readings":[{"metric":"m" "value":1}]}`:                            "json_syntax readings[0]",
		`{"device":"a","readings":[1 2]}`:                                                 "json_syntax readings[1]",
		`{"device":"a","readings":{}}`:                                                    "readings_type readings",
		`{"device":"a","readings":null}`:                                                  "readings_type readings",
		`{"device":"a/#","readings":[]}`:                                                  "path_wildcard device",
		`{"device":7,"readings":[]}`:                                                      "device_type device",
		`{"device":"","readings":[]}`:                                                     "path_empty device",
		`{"session":"","seq":1,"readings":[]}`:                                            "session_invalid session",
		`{"session":"` + strings.Repeat("s", 65) + `","seq":1,"readings":[]}`:             "session_invalid session",
		`{"session":1,"seq":1,"readings":[]}`:                                             "session_invalid session",
		`{"session":"a","readings":[]}`:                                                   "seq_missing seq",
		`{"session":"a","seq":-1,"readings":[]}`:                                          "seq_invalid seq",
		`{"session":"a","seq":1.0,"readings":[]}`:                                         "seq_invalid seq",
		`{"session":"a","seq":"1","readings":[]}`:                                         "seq_invalid seq",
		`{"session":"a","seq":9223372036854775808,"readings":[]}`:                         "seq_invalid seq",
		`{"device":"a","readings":[{},{},{},{}]}`:                                         "readings_too_many readings",
		`[{},{},{},{}]`: "readings_too_many",
	} {
		opts := testOptions()
		opts.MaxReadings = 3
		_, err := NewDecoder(opts).Decode([]byte(frame))
		var e *Error
		if !errors.As(err, &e) || strings.TrimSpace(e.Code+" "+e.Path) != want {
			t.Errorf("frame %q: %v, want %s", frame, err, want)
		}
	}
}

func TestDecodeNamesWhatIsWrongWithAReading(t *testing.T) {
	for reading, want := range map[string]string{
		`5`:                                              "reading_type readings[1]",
		`null`:                                           "reading_type readings[1]",
		`{}`:                                             "metric_missing readings[1].metric",
		`{"metric":null,"value":1}`:                      "metric_missing readings[1].metric",
		`{"metric":7,"value":1}`:                         "metric_type readings[1].metric",
		`{"metric":"a/b","value":1}`:                     "path_segment_empty readings[1].metric",
		`{"metric":"_x","value":1}`:                      "path_reserved readings[1].metric",
		`{"metric":"a\u0001","value":1}`:                 "path_character readings[1].metric",
		`{"metric":"m","device":"b","value":1}`:          "device_conflict readings[1].device",
		`{"metric":"m"}`:                                 "value_missing readings[1].value",
		`{"metric":"m","value":null}`:                    "value_type readings[1].value",
		`{"metric":"m","value":"1"}`:                     "value_type readings[1].value",
		`{"metric":"m","value":[1]}`:                     "value_type readings[1].value",
		`{"metric":"m","value":1e999}`:                   "value_not_finite readings[1].value",
		`{"metric":"m","value":-1e999}`:                  "value_not_finite readings[1].value",
		`{"metric":"m","value":NaN}`:                     "value_not_finite readings[1].value",
		`{"metric":"m","value":Infinity}`:                "value_not_finite readings[1].value",
		`{"metric":"m","value":-Infinity}`:               "value_not_finite readings[1].value",
		`{"metric":"m","value":9007199254740993}`:        "value_integer_unsafe readings[1].value",
		`{"metric":"m","value":-9007199254740993}`:       "value_integer_unsafe readings[1].value",
		`{"metric":"m","value":18446744073709551616000}`: "value_integer_unsafe readings[1].value",
		`{"metric":"m","value":1,"ts":true}`:             "ts_type readings[1].ts",
		`{"metric":"m","value":1,"ts":"yesterday"}`:      "ts_invalid readings[1].ts",
		`{"metric":"m","value":1,"ts":1e300}`:            "ts_invalid readings[1].ts",
		`{"metric":"m","value":1,"ts":1e999}`:            "ts_invalid readings[1].ts",
		`{"metric":"m","value":1,"ts":-9.1e15}`:          "ts_invalid readings[1].ts",
		`{"metric":"m","value":1,"ts":1760000601}`:       "ts_future readings[1].ts",
	} {
		frame := `{"device":"a","readings":[{"metric":"m","value":1},` + reading + `,{"metric":"m","value":2}]}`
		f, err := NewDecoder(testOptions()).Decode([]byte(frame))
		if err != nil || len(f.Rejected) != 1 || len(f.Batches) != 1 || len(f.Batches[0].Readings) != 2 {
			t.Errorf("%s: %v, %+v", reading, err, f)
			continue
		}
		r := f.Rejected[0]
		if got := r.Code + " " + r.Path; got != want || r.Index != 1 || r.Message == "" {
			t.Errorf("%s: %+v, want %s", reading, r, want)
		}
	}
}

func TestDecodeAcceptsWhatIsJustAllowed(t *testing.T) {
	for value, want := range map[string]float64{
		"true": 1, "false": 0, "9007199254740992": 1 << 53, "-9007199254740992": -1 << 53, "1e300": 1e300,
		"18446744073709551616.0": 1 << 64, "5e-324": 5e-324, "1e-999": 0, "1.7976931348623157e308": math.MaxFloat64,
	} {
		f, err := NewDecoder(testOptions()).Decode([]byte(`{"device":"a","metric":"m","value":` + value + `}`))
		if err != nil || len(f.Batches) != 1 || f.Batches[0].Readings[0].Value != want {
			t.Errorf("value %s: %v, %+v", value, err, f)
		}
	}
	for ts, want := range map[string]int64{
		"null": serverTime, "1760000600": 1_760_000_600_000_000, "0": 0, "-1": -1_000_000,
		"1760000000.1234567": 1_760_000_000_123_456, "1760000000123.4567": 1_760_000_000_123_456,
		"1760000000123456.7": 1_760_000_000_123_456, "1760000000123456789": 1_760_000_000_123_456,
		"1.76e9": 1_760_000_000_000_000, `"2025-10-09T10:53:20.1234567+02:00"`: 1_760_000_000_123_456,
	} {
		f, err := NewDecoder(testOptions()).Decode([]byte(`{"device":"a","metric":"m","value":1,"ts":` + ts + `}`))
		if err != nil || len(f.Batches) != 1 || f.Batches[0].Readings[0].Time != want {
			t.Errorf("ts %s: %v, %+v", ts, err, f)
		}
	}
}

func TestDecodeFrameAtItsDepthBound(t *testing.T) {
	frame := `{"device":"a","readings":[{"x":` + strings.Repeat("[", 5) + strings.Repeat("]", 5) + `,"metric":"m","value":1}]}`
	if f, err := NewDecoder(testOptions()).Decode([]byte(frame)); err != nil || len(f.Batches) != 1 {
		t.Errorf("depth 8: %v, %+v", err, f)
	}
}

func TestDecoderForgetsAFrameBeforeTheNext(t *testing.T) {
	d := NewDecoder(testOptions())
	for _, frame := range []string{
		`{"device":"a","session":"s","seq":4,"readings":[{"metric":"m","value":1},{"metric":"n","ts":1,"value":2},{}]}`,
		`{"session":"s","seq":5,"readings":[{"metric":"m"},{"value":1},{"metric":"n","value":2}]}`,
		`[{"device":"x","metric":"m","value":1},{"device":"y","metric":"m","value":1}]`,
		`{"device":"a","readings":[{"metric":`,
		`{"metric":"m","value":1}`,
		`{"device":"a","metric":"m","value":1}`,
	} {
		f, err := d.Decode([]byte(frame))
		got := outcomeOf(t, f, err)
		f, err = NewDecoder(testOptions()).Decode([]byte(frame))
		if diff := difference(got, outcomeOf(t, f, err)); diff != "" {
			t.Errorf("frame %s, after others: %s", frame, diff)
		}
	}
}

func TestDecodeKeepsStringsApartFromTheFrame(t *testing.T) {
	frame := []byte(`{"device":"plant1/a","session":"boot","seq":1,"readings":[{"metric":"temperature","value":1}]}`)
	f, err := NewDecoder(testOptions()).Decode(frame)
	if err != nil {
		t.Fatal(err)
	}
	b := f.Batches[0]
	device, session, metric := b.Device, b.Session, b.Readings[0].Metric
	copy(frame, bytes.Repeat([]byte{'x'}, len(frame)))
	if device != "plant1/a" || session != "boot" || metric != "temperature" {
		t.Errorf("names became %q, %q, %q", device, session, metric)
	}
}

func TestDecodeAllocatesNothingForFramesLikeTheOnesBefore(t *testing.T) {
	for name, frame := range map[string][]byte{
		"envelope": envelope(100),
		"devices": []byte(`[{"device":"a","metric":"m","ts":"2025-10-09T08:53:20Z","value":0.30000000000000004},
			{"device":"b","metric":"m","ts":1760000000,"value":1e-7},{"device":"a","metric":"n","value":true}]`),
	} {
		d := NewDecoder(testOptions())
		decode := func() {
			if _, err := d.Decode(frame); err != nil {
				t.Fatal(err)
			}
		}
		decode()
		if n := testing.AllocsPerRun(20, decode); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func TestDecoderReleasesTheRoomOfAHugeFrame(t *testing.T) {
	d := NewDecoder(testOptions())
	for _, huge := range [][]byte{
		envelope(4096), []byte(`[` + strings.Repeat(`0,`, 4095) + `0]`),
		[]byte(`{"x":"\n` + strings.Repeat("x", 1<<19) + `","readings":[]}`),
	} {
		if _, err := d.Decode(huge); err != nil {
			t.Fatal(err)
		}
		d.Release() // no further frame may ever come
		if n := max(cap(d.items), cap(d.readings), cap(d.index), cap(d.frame.Rejected)); n > keepReadings {
			t.Errorf("keeps room for %d readings", n)
		}
		if n := cap(d.scan.scratch); n > keepScratch || d.scan.data != nil {
			t.Errorf("keeps %d bytes and %d of the frame", n, len(d.scan.data))
		}
		if d.frame.Batches != nil || d.sorted.ordinal != nil {
			t.Errorf("keeps %d batches", cap(d.frame.Batches))
		}
	}
}

func TestInternerBoundsWhatItKeeps(t *testing.T) {
	in := interner{check: telemetry.CheckMetric}
	for i := range 10 * maxInternNames {
		name := fmt.Sprintf("%0*d", 1+i%200, i)
		if s, v := in.get([]byte(name)); s != name || v != good {
			t.Fatalf("%q became %q, verdict %d", name, s, v)
		}
		if len(in.names) > maxInternNames || in.bytes > maxInternBytes {
			t.Fatalf("keeps %d names of %d bytes", len(in.names), in.bytes)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, seed := range frameSeeds() {
		f.Add([]byte(seed), "")
		f.Add([]byte(seed), "gateway/1")
	}
	d := NewDecoder(testOptions())
	f.Fuzz(func(t *testing.T, frame []byte, device string) {
		if telemetry.CheckDevice(device) != nil {
			device = ""
		}
		d.opts.DefaultDevice = device
		got, err := d.Decode(frame)
		var e *Error
		if errors.As(err, &e) && e.Code == CodeReadingsTooMany || notJSONNumber(frame) || d.isTelegraf() {
			return
		}
		want := reference{opts: d.opts, now: serverTime}.decode(frame)
		if diff := difference(outcomeOf(t, got, err), want); diff != "" {
			t.Fatalf("frame %q: %s (%v)", frame, diff, err)
		}
	})
}

// notJSONNumber reports whether frame may hold the words that a value may be although JSON has none.
func notJSONNumber(frame []byte) bool {
	return bytes.Contains(frame, []byte("NaN")) || bytes.Contains(frame, []byte("Infinity"))
}

func frameSeeds() []string {
	return []string{
		``, `{}`, `[]`, `[{}]`, string(envelope(3)), `{"device":"a","metric":"m","ts":1760000000,"value":21.5}`,
		`[{"device":"a","metric":"m","ts":"2025-10-09T08:53:20.5+01:00","value":true},{"device":"b","metric":"m"}]`,
		`{"device":"a","session":"s","seq":1,"readings":[{"metric":"m","value":1e999},{"metric":"\ud83d\ude00","value":-0}]}`,
		`{"readings":[{"device":"\ud800","metric":"a\/b","value":9007199254740993}],"x":[[[[[[[1]]]]]]]}`,
		`{"device":"a","device":null,"readings":[1,"x",null,{"metric":"m","value":1,"value":"x"}],"seq":18446744073709551615}`,
		`{"ts_unit":"s","device":"a","readings":[{"metric":"m","ts":1,"value":1}],"ts_unit":"ms","backlog":true}`,
		`{"ts_unit":"s","device":"a","readings":[{"metric":"m","ts":1,"value":1}],"ts_unit":null,"backlog":false}`,
		"{\"device\":\"\xff\"}", `{"device":"a","metric":"m","value":123456789012345678901234567890.5e-10,"ts":1760000000.123456789012}`,
	}
}
