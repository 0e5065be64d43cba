package backtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"weir/kafka"
	"weir/pipeline"
	"weir/pipeline/plan"
	"weir/telemetry"
	"weir/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const epoch = int64(1_700_000_000_000_000) // µs

// records is a Source.
type records []kafka.Record

func (r *records) Next(context.Context) (*kafka.Record, error) {
	if len(*r) == 0 {
		return nil, io.EOF
	}
	first := (*r)[0]
	*r = (*r)[1:]
	return &first, nil
}

// reading is one of a device at so many seconds after epoch.
func (r *records) reading(series string, seconds, value float64) {
	device, metric, _ := telemetry.SplitSeries(series)
	at := epoch + int64(seconds*1e6)
	b := telemetry.Batch{Device: device, Ingest: at, Readings: []telemetry.Reading{{Metric: metric, Time: at, Value: value}}}
	*r = append(*r, kafka.Record{Time: at / 1000, Key: []byte(device), Value: wire.AppendReadingBatch(nil, &b)})
}

func (r *records) control(seconds float64, c wire.Control) {
	c.Time = epoch + int64(seconds*1e6)
	*r = append(*r, kafka.Record{Time: c.Time / 1000, Value: wire.AppendControl(nil, &c)})
}

func parse(t *testing.T, text string) *plan.Plan {
	t.Helper()
	p, err := plan.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func options(t *testing.T, text string) Options {
	return Options{Config: pipeline.DefaultConfig(), Plan: parse(t, text), Live: true}
}

func at(seconds float64) int64 { return epoch + int64(seconds*1e6) }

// spells are the alerts as rule, series, and seconds from raise to end.
func spells(list []Alert) string {
	var out []string
	for _, a := range list {
		end := "open"
		if a.To != nil {
			end = fmt.Sprint((*a.To - epoch) / second)
		}
		out = append(out, fmt.Sprintf("%s %s %d-%s", a.Rule, a.Series, (a.From-epoch)/second, end))
	}
	return strings.Join(out, ", ")
}

// hotRule has one rule, and that without the detector's.
const hotRule = `
pipelines:
  - match: "p/#"
    rules: off
  - match: "p/#"
    rules: [{name: hot, kind: threshold, above: 90}]
`

func heats() *records {
	src := new(records)
	for i, v := range []float64{20, 95, 96, 20, 20, 99, 98, 97, 20, 95} {
		src.reading("p/a/x", float64(10*i), v)
		src.reading("p/b/x", float64(10*i)+1, 20)
	}
	return src
}

func TestWhatWouldHaveFiredIsToldWithItsBeginAndEnd(t *testing.T) {
	totals, alerts, err := Run(t.Context(), options(t, hotRule), heats())
	if err != nil {
		t.Fatal(err)
	}
	if got := spells(alerts); got != "hot p/a/x 10-30, hot p/a/x 50-80, hot p/a/x 90-open" {
		t.Errorf("alerts %s", got)
	}
	if first := alerts[0]; first.Duration != 20*second || first.Transitions != 2 || first.Summary == "" || first.Raised != at(10) {
		t.Errorf("%+v", first)
	}
	want := RuleTotal{Rule: "hot", Alerts: 3, Series: 1, Open: 1, Duration: 51 * second}
	if len(totals.Rules) != 1 || totals.Rules[0] != want {
		t.Errorf("totals %+v, want %+v", totals.Rules, want)
	}
	if totals.Readings != 20 || totals.Records != 20 || totals.First != at(0) || totals.Last != at(91) || totals.Series != 2 {
		t.Errorf("totals %+v", totals)
	}
}

func TestWhatComesBeforeWarmsAndWhatComesAfterIsLeftOut(t *testing.T) {
	o := options(t, hotRule)
	o.From, o.To = at(15), at(65)
	totals, alerts, err := Run(t.Context(), o, heats())
	if err != nil {
		t.Fatal(err)
	}
	if got := spells(alerts); got != "hot p/a/x 50-open" || totals.Before != 1 {
		t.Errorf("alerts %s, %d open before", got, totals.Before)
	}
}

func TestStoredTicksAndWhatAPlanLedToMakeNoDifference(t *testing.T) {
	text := `
pipelines:
  - match: "p/#"
    rules: off
  - match: "p/#"
    rules: [{name: gone, kind: absence, for: 30s}]
`
	absent := func(stored bool) string {
		src := new(records)
		src.reading("p/a/x", 0, 1)
		if stored {
			src.control(5, wire.Control{Kind: wire.ControlPlan, Text: hotRule})
			src.control(30.2, wire.Control{Kind: wire.ControlTick})
			src.control(31, wire.Control{Kind: wire.ControlAlert, Device: "p/a", Alert: &telemetry.AlertCommand{Alert: "0-1", Series: "p/a/x", Action: telemetry.ActionComment, Text: "x"}})
		}
		src.reading("p/b/x", 100, 1)
		src.reading("p/a/x", 101, 1)
		_, alerts, err := Run(t.Context(), options(t, text), src)
		if err != nil {
			t.Fatal(err)
		}
		return spells(alerts)
	}
	without, with := absent(false), absent(true)
	if without != with || !strings.HasPrefix(with, "gone p/a/x 30-1") {
		t.Errorf("with stored ticks %q, without %q", with, without)
	}
}

func TestMembersOfAGroupFindEachOther(t *testing.T) {
	src := new(records)
	for i := range 12 {
		src.reading("p/a/x", float64(i), 10)
		src.reading("p/b/x", float64(i)+0.5, 30)
	}
	src.reading("p/a/x", 60, 10)
	o := options(t, `
pipelines:
  - match: "p/_all/x"
    rules: [{name: high, kind: threshold, above: 15}]
groups:
  - {match: "p/+/x", as: p/_all/x, every: 5s, functions: [mean]}
`)
	values := 0
	o.Update = func(u *telemetry.Update) {
		if u.Series == "p/_all/x" {
			values++
			if u.Last != 20 && u.N > 0 && u.Last != 10 {
				t.Errorf("the group's mean is %g", u.Last)
			}
		}
	}
	_, alerts, err := Run(t.Context(), o, src)
	if err != nil {
		t.Fatal(err)
	}
	if values == 0 || !strings.Contains(spells(alerts), "high p/_all/x") {
		t.Errorf("%d values of the group; alerts %s", values, spells(alerts))
	}
}

func TestOnlyAdmittedDevicesTakePartAndSeriesAreBounded(t *testing.T) {
	o := options(t, hotRule)
	pattern, err := telemetry.ParsePattern("p/b/+")
	if err != nil {
		t.Fatal(err)
	}
	o.Admit = Admitting(o.Plan, pattern, nil)
	totals, alerts, err := Run(t.Context(), o, heats())
	if err != nil || totals.Series != 1 || totals.Readings != 10 || len(alerts) != 0 {
		t.Errorf("%v, %+v, %s", err, totals, spells(alerts))
	}
	o = options(t, hotRule)
	o.MaxSeries = 1
	if _, _, err := Run(t.Context(), o, heats()); !errors.Is(err, ErrTooManySeries) {
		t.Errorf("two series where one may be: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := Run(ctx, options(t, hotRule), heats()); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestRecordsThatCannotBeAppliedAreCountedByCodeWithAnExample(t *testing.T) {
	src := heats()
	for range 2 {
		*src = append(*src, kafka.Record{Time: at(100) / 1000, Key: []byte("p/a"), Value: []byte("nonsense")})
	}
	totals, _, err := Run(t.Context(), options(t, hotRule), src)
	if err != nil || totals.Letters != 2 || len(totals.ByCode) != 1 {
		t.Fatalf("%v, %+v", err, totals)
	}
	got := totals.ByCode[0]
	if got.Code != wire.CodeRecordMalformed || got.Records != 2 || got.Example.Device != "p/a" || got.Example.Message == "" || got.Example.Time != at(100) {
		t.Errorf("%+v, %+v", got, got.Example)
	}
	l := make(letters)
	l.take(&wire.DeadLetter{Code: wire.CodePipelinePanic, Device: "q/hidden", Message: "theirs"}, 1, false)
	l.take(&wire.DeadLetter{Code: wire.CodePipelinePanic, Device: "p/a", Message: "nil\nstack"}, 2, true)
	if got := l.totals()[0]; got.Records != 2 || *got.Example != (Letter{Device: "p/a", Message: "nil", Time: 2}) {
		t.Errorf("of a panic %+v, %+v", got, got.Example)
	}
}

func TestDevicesAreAdmittedByWhatTheirSeriesMayBe(t *testing.T) {
	grouped := parse(t, `groups: [{match: "p/+/x", as: p/_all/x}]`)
	for _, c := range []struct {
		plan    *plan.Plan
		pattern string
		device  string
		want    bool
	}{
		{plan.Default(), "#", "p/a", true},
		{plan.Default(), "p/#", "p/a/b", true},
		{plan.Default(), "p/+/x", "p/a", true},
		{plan.Default(), "p/+/x", "q/a", false},
		{plan.Default(), "p/+/x", "p/a/b", false},
		{plan.Default(), "p/a/+", "p/b", false},
		{plan.Default(), "+/a/x", "q/a", true},
		{grouped, "p/a/x", "p/b", true},
		{grouped, "p/a/x", "q/b", false},
		{grouped, "#", "q/b", true},
		{grouped, "+/a/x", "q/b", true},
	} {
		pattern, err := telemetry.ParsePattern(c.pattern)
		if err != nil {
			t.Fatal(err)
		}
		if got := Admitting(c.plan, pattern, nil)(c.device); got != c.want {
			t.Errorf("%s for %s: %v", c.device, c.pattern, got)
		}
	}
}

func TestACSVFileIsRead(t *testing.T) {
	for name, c := range map[string]struct {
		text, want string
	}{
		"plain":       {"1700000000,1\n1700000001,2\n", "p/a/x=1 p/a/x=2"},
		"header":      {"timestamp,value,label\n2014-04-01 00:00:00,1.5,0\n2014-04-01 00:05:00,,0\n", "p/a/x=1.5"},
		"series":      {"timestamp,series,value\n1700000000,p/b/y,3\n", "p/b/y=3"},
		"no header":   {"1700000000,p/b/y,3\n1700000001,p/b/z,true\n", "p/b/y=3 p/b/z=1"},
		"other order": {"value,time\n7,1700000000\n", "p/a/x=7"},
		"labelled":    {"1700000000,4,0\n", "p/a/x=4"},
	} {
		src := NewCSV(strings.NewReader(c.text), "p/a/x")
		var got []string
		for {
			rec, err := src.Next(t.Context())
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			var columns wire.ReadingColumns
			if err := columns.Unmarshal(rec.Value); err != nil {
				t.Fatal(err)
			}
			got = append(got, fmt.Sprintf("%s/%s=%g", columns.Device, columns.Metrics[0], columns.Value[0]))
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: %v, want %s", name, got, c.want)
		}
	}
	for text, want := range map[string]string{
		"timestamp,value\nsoon,1\n":                 "line 2: timestamp",
		"1700000000,1\n1700000001,warm\n":           "line 2: value",
		"1700000000\n":                              "line 1: 1 columns",
		"timestamp,series,value\n1700000000,lone,1": "line 2: series",
	} {
		src := NewCSV(strings.NewReader(text), "p/a/x")
		var err error
		for err == nil {
			_, err = src.Next(t.Context())
		}
		if !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}
