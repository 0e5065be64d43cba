package app

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	"weir/backtest"
)

const hotPlan = `
pipelines:
  - match: "plant1/+/temperature"
    rules: [{name: hot, kind: threshold, above: 90, severity: critical}]
`

// backtest asks for one and returns its lines.
func (r *running) backtest(query, file string) (status int, lines []backtest.Line) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.URL()+"v1/backtest"+query, strings.NewReader(file))
	must(r.t, err)
	res, err := asking(r.t).Do(req)
	must(r.t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	must(r.t, err)
	if res.StatusCode != http.StatusOK {
		return res.StatusCode, nil
	}
	contract, err := theContract()
	must(r.t, err)
	for line := range bytes.Lines(text) {
		var content any
		must(r.t, json.Unmarshal(line, &content))
		if err := contract.doc.Components.Schemas["BacktestLine"].Value.VisitJSON(content, openapi3.EnableJSONSchema2020()); err != nil {
			r.t.Errorf("not as documented: %v: %s", err, line)
		}
		var l backtest.Line
		must(r.t, json.Unmarshal(line, &l))
		lines = append(lines, l)
	}
	return res.StatusCode, lines
}

// raised are the alerts as rule, series and source time of the raise.
type raised struct {
	rule, series string
	at           int64
}

func TestABacktestOfThePlanInForceTellsWhatWasRaised(t *testing.T) {
	c := onDisk(t)
	c.PipelinesFile = filepath.Join(t.TempDir(), "plans.yaml")
	replaceFile(t, c.PipelinesFile, hotPlan)
	r := start(t, c)
	r.eventually("the plan is in force", func() bool { out := r.declared(); return out.follows(hashOf(t, hotPlan)) })
	d, dev := r.dashboard("plant1/#"), r.dial("v1/ingest")
	const series = "plant1/press7/temperature"
	readings := wave("temperature", 400)
	for i := range readings {
		if i%100 >= 90 {
			readings[i].Value = 95
		}
	}
	for i := 0; i < len(readings); i += 20 {
		dev.deliver(t, envelope{Device: "plant1/press7", Session: "boot", Seq: uint64(i), Readings: readings[i : i+20]})
	}
	for d.count(series) < 400 {
		d.step()
	}
	before := r.metric("weir_pipeline_readings_total")
	status, lines := r.backtest("", hotPlan)
	if status != http.StatusOK || len(lines) == 0 || lines[len(lines)-1].Totals == nil {
		t.Fatalf("%d, %+v", status, lines)
	}
	var tried []raised
	for _, l := range lines {
		if l.Alert != nil {
			tried = append(tried, raised{l.Alert.Rule, l.Alert.Series, l.Alert.From})
		}
	}
	// Alerts and rows come by different topics: the last of these may be there before the last of those.
	live := func() (out []raised) {
		for _, a := range d.alerts {
			if x := (raised{a.Rule, a.Series, a.StartedTime}); !slices.Contains(out, x) {
				out = append(out, x)
			}
		}
		return out
	}
	for len(live()) < len(tried) {
		d.step()
	}
	told := live()
	byTime := func(a, b raised) int { return strings.Compare(a.rule, b.rule)*10 + int(a.at-b.at) }
	slices.SortFunc(told, byTime)
	slices.SortFunc(tried, byTime)
	if !slices.Equal(told, tried) {
		t.Errorf("live %v, in the backtest %v", told, tried)
	}
	if totals := lines[len(lines)-1].Totals; totals.Readings != 400 {
		t.Errorf("%d readings took part", totals.Readings)
	}
	// Another plan, and a time of which only a part is over.
	later := time.Now().Add(time.Hour).UTC().Format(time.RFC3339Nano)
	_, lines = r.backtest("?to="+later+"&series=plant1/press7/%23", strings.ReplaceAll(hotPlan, "above: 90", "above: 99"))
	if total := lines[len(lines)-1].Totals; total == nil || slices.ContainsFunc(total.Rules, func(r backtest.RuleTotal) bool { return r.Rule == "hot" }) {
		t.Errorf("of another plan: %+v", lines)
	}
	if out := r.declared(); !out.follows(hashOf(t, hotPlan)) || r.metric("weir_pipeline_readings_total") != before {
		t.Errorf("a backtest is not beside the pipeline: %+v", out)
	}
}

func TestABacktestThatMakesNoSenseIsRefused(t *testing.T) {
	r := start(t, memory())
	for query, want := range map[string]int{
		"?from=soon": 400, "?series=a//b": 400, "?colour=red": 400, "?from=2000000000&to=1": 400,
	} {
		if status, _ := r.backtest(query, ""); status != want {
			t.Errorf("%s: %d, want %d", query, status, want)
		}
	}
	if status, _ := r.backtest("", "colour: red\n"); status != http.StatusUnprocessableEntity {
		t.Errorf("a file with a fault: %d", status)
	}
	if status, _ := r.backtest("", "# "+strings.Repeat("x", backtest.MaxPlanBytes)); status != http.StatusRequestEntityTooLarge {
		t.Errorf("a file that is too large: %d", status)
	}
}
