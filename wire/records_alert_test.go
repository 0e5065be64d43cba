package wire

import (
	"encoding/hex"
	"encoding/json"
	"math"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"weir/telemetry"
)

// sampleAlert has everything that an alert may have.
func sampleAlert() telemetry.Alert {
	return telemetry.Alert{
		ID: "3-5f2a", Rule: "deviation", Series: "plant1/press7/temperature", Phase: telemetry.Acknowledged, Version: 4097,
		Reason: telemetry.Acked, Severity: telemetry.Critical,
		Raised: 4096, StartedTime: 1_760_000_000_000_000, Time: 1_760_000_001_000_000, Value: 99.5, Score: 0.97,
		Lo: 18.25, Hi: 24.5, Limit: 80, Detector: "ewma", Summary: "temperature is 75 above the expected band",
		Labels: map[string]string{"team": "press shop", "line": "3"}, Annotations: map[string]string{"runbook": "https://wiki/press"},
		Samples: []telemetry.Sample{{Time: 1_760_000_000_000_000, Value: 21.5}, {Time: 1_760_000_001_000_000, Value: 99.5}},
		Quality: telemetry.Quality{N: 1200, Late: 3, Invalid: 1, Gap: 1_000_000},
		Flaps:   telemetry.Flaps{Count: 4, Period: 600_000_000},
		Marked:  &telemetry.Note{By: "alice", Time: 1_760_000_002_000_000, Text: "looking"}, Assignee: "bob",
		Comments: []telemetry.Note{{By: "alice", Time: 1_760_000_002_500_000, Text: "the \"fan\" is off"}},
		Silences: []string{"maintenance-7"}, Inhibited: "3-11aa", Link: "#/series/plant1/press7/temperature?at=1760000001000000",
	}
}

func drawAlert(t *rapid.T) telemetry.Alert {
	text := rapid.StringN(0, 20, -1)
	number := rapid.OneOf(rapid.Float64(), rapid.Just(math.NaN()), rapid.Just(math.Inf(-1)))
	note := rapid.Custom(func(t *rapid.T) telemetry.Note {
		return telemetry.Note{By: text.Draw(t, "by"), Time: rapid.Int64().Draw(t, "time"), Text: text.Draw(t, "text")}
	})
	labels := func(name string) map[string]string {
		m := rapid.MapOfN(text, text, 0, 5).Draw(t, name)
		if len(m) == 0 {
			return nil
		}
		return m
	}
	a := telemetry.Alert{
		ID: text.Draw(t, "id"), Rule: text.Draw(t, "rule"), Series: text.Draw(t, "series"), Detector: text.Draw(t, "detector"),
		Phase:  rapid.SampledFrom([]telemetry.Phase{telemetry.Firing, telemetry.Acknowledged, telemetry.Flapping, telemetry.Resolved}).Draw(t, "phase"),
		Reason: telemetry.Reason(text.Draw(t, "reason")), Severity: telemetry.Severity(text.Draw(t, "severity")),
		Version: telemetry.Version(rapid.Int64().Draw(t, "version")), Raised: telemetry.Version(rapid.Int64().Draw(t, "raised")),
		StartedTime: rapid.Int64().Draw(t, "started"), Time: rapid.Int64().Draw(t, "time"),
		Value: number.Draw(t, "value"), Score: number.Draw(t, "score"), Lo: number.Draw(t, "lo"), Hi: number.Draw(t, "hi"), Limit: number.Draw(t, "limit"),
		Summary: text.Draw(t, "summary"), Labels: labels("labels"), Annotations: labels("annotations"),
		Quality: telemetry.Quality{
			N: rapid.Uint64().Draw(t, "n"), Late: rapid.Uint64().Draw(t, "late"), Invalid: rapid.Uint64().Draw(t, "invalid"), Gap: rapid.Int64().Draw(t, "gap"),
		},
		Flaps:    telemetry.Flaps{Count: rapid.Uint32().Draw(t, "count"), Period: rapid.Int64().Draw(t, "period")},
		Assignee: text.Draw(t, "assignee"), Inhibited: text.Draw(t, "inhibited"), Link: text.Draw(t, "link"),
		Silences: listOrNil(rapid.SliceOfN(text, 0, 3).Draw(t, "silences")),
		Comments: listOrNil(rapid.SliceOfN(note, 0, 3).Draw(t, "comments")),
		Samples: listOrNil(rapid.SliceOfN(rapid.Custom(func(t *rapid.T) telemetry.Sample {
			return telemetry.Sample{Time: rapid.Int64().Draw(t, "at"), Value: number.Draw(t, "of")}
		}), 0, 5).Draw(t, "samples")),
	}
	if rapid.Bool().Draw(t, "marked") {
		n := note.Draw(t, "mark")
		a.Marked = &n
	}
	return a
}

func listOrNil[T any](list []T) []T {
	if len(list) == 0 {
		return nil
	}
	return list
}

// sameAlert compares two alerts, NaN being equal to NaN. Without infinities what is not finite counts as NaN, as it does
// in JSON.
func sameAlert(a, b telemetry.Alert, infinities bool) bool {
	canonical := func(a *telemetry.Alert) []uint64 {
		var out []uint64
		numbers := []*float64{&a.Value, &a.Score, &a.Lo, &a.Hi, &a.Limit}
		samples := append([]telemetry.Sample(nil), a.Samples...)
		for i := range samples {
			numbers = append(numbers, &samples[i].Value)
		}
		for _, f := range numbers {
			if math.IsNaN(*f) || !infinities && math.IsInf(*f, 0) {
				*f = math.NaN()
			}
			out = append(out, math.Float64bits(*f+0)) // a record knows no negative zero
			*f = 0
		}
		a.Samples = listOrNil(samples)
		return out
	}
	x, y := canonical(&a), canonical(&b)
	return reflect.DeepEqual(x, y) && reflect.DeepEqual(a, b)
}

func TestAlertsReadBackFromRecordsAndFromJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawAlert(t)
		record := AppendAlert([]byte("x"), &want)[1:]
		got, err := DecodeAlert(record)
		if err != nil || !sameAlert(got, want, true) {
			t.Fatalf("record of\n%+v is read as\n%+v, %v", want, got, err)
		}
		if again := AppendAlert(nil, &got); string(again) != string(record) {
			t.Fatal("the record of an equal alert differs")
		}
		text := AppendAlertJSON(nil, &want)
		got, err = DecodeAlertJSON(text)
		if err != nil || !json.Valid(text) || !sameAlert(got, want, false) {
			t.Fatalf("%s\nis read as\n%+v, %v", text, got, err)
		}
	})
}

func TestAnAlertsJSONHasTheNamesOfItsFields(t *testing.T) {
	a := sampleAlert()
	direct, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	var x, y map[string]any
	if err := json.Unmarshal(direct, &x); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(AppendAlertJSON(nil, &a), &y); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(x, y) {
		t.Errorf("encoding/json has\n%v, the record's JSON\n%v", x, y)
	}
}

// The record and the message were written before alerts carried severity, limit, samples and what people did.
func TestAlertsOfEarlierVersionsAreRead(t *testing.T) {
	record, err := hex.DecodeString("0a06332d356632611209646576696174696f6e1a19706c616e74312f7072657373372f74656d706572617475726522066669" +
		"72696e67288120308020388080b8f6de96900340c084f5f6de969003490000000000e05840510ad7a3703d0aef3f59000000" +
		"00004032406100000000008038406a0465776d61722974656d70657261747572652069732037352061626f76652074686520" +
		"65787065637465642062616e64")
	if err != nil {
		t.Fatal(err)
	}
	want := telemetry.Alert{
		ID: "3-5f2a", Rule: "deviation", Series: "plant1/press7/temperature", Phase: telemetry.Firing, Version: 4097,
		Raised: 4096, StartedTime: 1_760_000_000_000_000, Time: 1_760_000_001_000_000, Value: 99.5, Score: 0.97,
		Lo: 18.25, Hi: 24.5, Limit: math.NaN(), Detector: "ewma", Summary: "temperature is 75 above the expected band",
	}
	if got, err := DecodeAlert(record); err != nil || !sameAlert(got, want, true) {
		t.Errorf("record: %+v, %v", got, err)
	}
	const message = `{"id":"3-5f2a","rule":"deviation","series":"plant1/press7/temperature","phase":"firing","version":4097,"raised":4096` +
		`,"started_ts":1760000000000000,"ts":1760000001000000,"value":99.5,"score":0.97,"lo":18.25,"hi":24.5,"detector":"ewma","summary":"temperature is 75 above the expected band"}`
	if got, err := DecodeAlertJSON([]byte(message)); err != nil || !sameAlert(got, want, true) {
		t.Errorf("message: %+v, %v", got, err)
	}
}

func TestAlertRecordsWithUnpairedSamplesAreRefused(t *testing.T) {
	a := telemetry.Alert{ID: "1-a", Limit: math.NaN()}
	record := append(AppendAlert(nil, &a), 0xa2, 0x01, 0x01, 0x02) // one time, no value
	if got, err := DecodeAlert(record); err == nil {
		t.Errorf("read as %+v", got)
	}
}
