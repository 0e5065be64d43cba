package plan

import (
	"fmt"
	"slices"
	"testing"

	"weir/pipeline/detect"
)

const sample = `
pipelines:
  - name: temperatures
    match: ["plant1/+/temperature", "plant1/line3/#"]
    validate: {min: -40, max: 120, max_rate: 5/s, stuck_after: 10m}
    unit: °C
    time_zone: Europe/Berlin
    tags: {site: north}
    filter: value > 0 || rate > 1
    lateness: 5m
    average: {kind: simple, window: 1m}
    averages: [{kind: exponential, tau: 30s, as: "{metric}.ewma"}, {kind: median, samples: 5}]
    windows: [{name: 1m, kind: tumbling, size: 1m, functions: [mean, max, p99]}]
    detector: {sensitivity: 1.5, heads: [novelty, deviation]}
    rules:
      - {name: hot, kind: threshold, above: 90, for: 30s}
  - name: counters
    match: "plant1/+/energy"
    counter: true
    detector: off
derived:
  - match: "plant1/+"
    as: power
    expr: voltage * current
    max_age: 1m
groups:
  - match: "plant1/+/temperature"
    as: plant1/_all/temperature
    every: 10s
    functions: [mean, max]
limits: {series_per_device: 500, series_per_tenant: 100000}
`

func mustParse(t testing.TB, text string) *Plan {
	t.Helper()
	p, err := Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestASeriesIsTreatedAsItsEntriesSay(t *testing.T) {
	p := mustParse(t, sample)
	tr := p.Treat("plant1/oven/temperature")
	if fmt.Sprint(tr.Entries) != "[temperatures]" || tr.Checks.Min != -40 || tr.Checks.MaxRate != 5 || tr.Unit != "°C" ||
		tr.Zone.String() != "Europe/Berlin" || tr.Filter == nil || len(tr.Windows) != 1 || len(tr.Averages) != 2 || tr.Detect == nil {
		t.Errorf("%+v", tr)
	}
	if got := fmt.Sprint(tr.Outputs()); got != "[{metric}.ewma {metric}.median {metric}.1m.mean {metric}.1m.max {metric}.1m.p99]" {
		t.Error(got)
	}
	var rules []string
	for _, r := range tr.Rules {
		rules = append(rules, r.Name())
	}
	if fmt.Sprint(rules) != "[deviation hot]" {
		t.Error(rules)
	}
	if d := tr.spec.Detector; d.Sensitivity != 1.5 || d.Heads != (detect.Heads{Novelty: true, Deviation: true}) || !tr.Detect.Enabled() {
		t.Errorf("%+v", d)
	}
	if p.Treat("plant1/other/temperature") != tr {
		t.Error("series with the same settings have different treatments")
	}
	energy := p.Treat("plant1/oven/energy")
	if !energy.Counter || energy.Detect != nil || energy.Rate.Metric("energy") != "energy.rate" {
		t.Errorf("%+v", energy)
	}
	if rate := p.Treat("plant1/oven/energy.rate"); !rate.Published || rate.Detect != nil || len(rate.Rules) != 0 {
		t.Errorf("%+v", rate)
	}
	d := p.Device("plant1/oven")
	if len(d.Derived()) != 1 || !d.Outputs("power") || !d.Outputs("temperature.1m.p99") || !d.Outputs("energy.rate") || d.Outputs("temperature.rate") || d.Outputs("temperature") {
		t.Errorf("%+v", d)
	}
	m := d.Groups("temperature")
	if len(m) != 1 || m[0].Series != "plant1/_all/temperature" || fmt.Sprint(m[0].Group.Outputs(m[0].Series)) != "[plant1/_all/temperature plant1/_all/temperature.max]" {
		t.Errorf("%+v", m)
	}
	if m := p.Members("plant1/_all/temperature"); len(m) != 0 {
		t.Errorf("a group is a member of itself: %+v", m)
	}
	if all := p.Treat("plant1/_all/temperature"); fmt.Sprint(all.Entries) != "[temperatures]" {
		t.Errorf("the pattern of an entry does not match the group's series: %+v", all)
	}
	got := p.Unmatched(slices.Values([]string{"plant1/oven/temperature"}))
	if want := "[pipelines[0].match[1]: plant1/line3/# pipelines[1].match[0]: plant1/+/energy]"; fmt.Sprint(got) != want {
		t.Error(got)
	}
}

func TestWithoutAFileSeriesAreAveragedAndWatched(t *testing.T) {
	tr := Default().Treat("a/b")
	if tr.Detect == nil || len(tr.Rules) != 1 || tr.Rules[0].Name() != "deviation" || tr.Average.Window.String() != "1m0s" || len(tr.Entries) != 0 {
		t.Errorf("%+v", tr)
	}
}
