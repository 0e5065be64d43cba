package wire

import "testing"

func TestTelegrafMetricsAreToldFromReadings(t *testing.T) {
	const metric = `{"fields":{"usage_idle":1.5,"usage_user":2},"name":"cpu","tags":{"cpu":"cpu0","host":"a"},"timestamp":1760000000}`
	const want = "a cpu_usage_idle.cpu0 1.5@0; a cpu_usage_user.cpu0 2@0"
	for frame, want := range map[string]string{
		metric:                              want,
		`[` + metric + `]`:                  want,
		`{"metrics":[` + metric + `]}`:      want,
		`{"metrics":[` + metric + `,5,{}]}`: want + "; !reading_type metrics[1]; !reading_type metrics[2]",
		`[` + metric + `,{"fields":[]}]`:    want + "; !reading_type [1]",
		`{"fields":{"value":1},"name":"m"}`: "!device_missing tags",
		`{"fields":{"value":1},"tags":{}}`:  "!metric_missing name",
		`{"fields":{"value":1},"name":"m","tags":{"host":"a"},"timestamp":1760000000123}`: "a m 1@123000",
		`{"fields":{"v\n":"x","w":null,"x":[1],"y":true},"name":"m","tags":{"host":"a"}}`: `!value_type fields.v` + "\n" + `; !value_type fields.w; !value_type fields.x; a m_y 1@0`,
		`{"metrics":[{"fields":{"v":1},"name":"m","tags":{"host":"a"},"timestamp":"x"}]}`: "!ts_invalid metrics[0].timestamp",
		`{"metrics":[]}`: "",
		`{"fields":{"value":1,"gauge":2},"name":"m","tags":{"host":"a"}}`:                          "a m_value 1@0; a m_gauge 2@0",
		`{"fields":{"v":1},"name":"m","tags":{"host":"a","n":0,"ok":true,"none":null,"list":[1]}}`: "a m_v.n=0.ok=true 1@0",
		`{"fields":{},"name":"m"}`:                                                       "",
		`{"fields":5,"name":"m"}`:                                                        "!device_missing device",
		`{"device":"d","metric":"m","value":1,"fields":{"v":1}}`:                         "d m 1@0",
		`{"metrics":[],"device":"d","readings":[{"metric":"m","value":1}]}`:              "d m 1@0",
		`[{"device":"d","metric":"m","value":1,"fields":{"v":1}}]`:                       "d m 1@0",
		`{"metrics":[` + metric + `],"ts_unit":"ms","backlog":true}`:                     "a cpu_usage_idle.cpu0 1.5@-1758240000000000; a cpu_usage_user.cpu0 2@-1758240000000000",
		`{"metrics":[{"fields":{"v":9007199254740993},"name":"m","tags":{"host":"a"}}]}`: "!value_integer_unsafe metrics[0].fields.v",
	} {
		if got := decodeAs(t, FormatJSON, testOptions(), frame); got != want {
			t.Errorf("%s:\n got %s\nwant %s", frame, got, want)
		}
	}
}

func TestEnvelopeSaysUnitAndBacklog(t *testing.T) {
	for frame, want := range map[string]string{
		`{"ts_unit":"s","device":"d","metric":"m","value":1,"ts":1760000000}`:                       "d m 1@0",
		`{"device":"d","metric":"m","value":1,"ts":1760000000000000,"ts_unit":"us"}`:                "d m 1@0",
		`{"device":"d","readings":[{"metric":"m","value":1,"ts":1}],"ts_unit":"ms"}`:                "d m 1@-1759999999999000",
		`{"ts_unit":"ms","device":"d","readings":[{"metric":"m","value":1,"ts":1}]}`:                "d m 1@-1759999999999000",
		`{"ts_unit":"ms","device":"d","readings":[{"metric":"m","value":1,"ts":1}],"ts_unit":"us"}`: "d m 1@-1759999999999999",
		`{"ts_unit":"ns","device":"d","readings":[{"metric":"m","value":1,"ts":1999}]}`:             "d m 1@-1759999999999999",
		`{"ts_unit":"s","device":"d","metric":"m","value":1,"ts":"2025-10-09T08:53:20Z"}`:           "d m 1@0",
		`{"ts_unit":"h","device":"d","readings":[]}`:                                                "error ts_unit_unknown ts_unit",
		`{"ts_unit":1,"device":"d","readings":[]}`:                                                  "error ts_unit_unknown ts_unit",
		`{"ts_unit":null,"backlog":null,"device":"d","readings":[]}`:                                "",
		`{"backlog":1,"device":"d","readings":[]}`:                                                  "error field_type backlog",
	} {
		if got := decodeAs(t, FormatJSON, testOptions(), frame); got != want {
			t.Errorf("%s:\n got %s\nwant %s", frame, got, want)
		}
	}
	d := NewDecoder(testOptions())
	for _, backlog := range []string{"true", "false", "null"} {
		f, err := d.Decode([]byte(`{"device":"d","readings":[{"metric":"m","value":1}],"backlog":` + backlog + `}`))
		if err != nil || f.Backlog != (backlog == "true") {
			t.Errorf("backlog %s: %v, %+v", backlog, err, f)
		}
	}
}

func TestLabelsStandForNumbers(t *testing.T) {
	opts := testOptions()
	opts.Labels = func(device, metric string) map[string]float64 {
		if device == "a" && metric == "door" {
			return map[string]float64{"open": 1, "closed": 0}
		}
		return nil
	}
	for frame, want := range map[string]string{
		`{"value":"open","metric":"door","device":"a"}`: "a door 1@0",
		`{"device":"a","readings":[{"metric":"door","value":"closed"},{"metric":"door","value":"x"},{"metric":"m","value":"open"},{"metric":"m","value":5}]}`: "a door 0@0; !value_type readings[1].value; !value_type readings[2].value; a m 5@0",
		`{"fields":{"value":"open"},"name":"door","tags":{"host":"a"}}`:                                                                                       "a door 1@0",
	} {
		if got := decodeAs(t, FormatJSON, opts, frame); got != want {
			t.Errorf("%s:\n got %s\nwant %s", frame, got, want)
		}
	}
	if got := decodeAs(t, FormatInflux, opts, "door,host=a value=\"op\\en\"\ndoor,host=a gauge=\"closed\"\ndoor,host=a value=\"open\""); got != "!value_type line 1.value; a door 0@0; a door 1@0" {
		t.Error(got)
	}
}
