package app

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"weir/auth"
	"weir/pipeline"
	"weir/pipeline/plan"
	"weir/telemetry"
)

const secretive = `
pipelines:
  - name: secret-entry
    match: ["plant/+/t", "plant/+/u"]
    windows: [{name: 1m, size: 1m, functions: [max]}]
  - {name: other-entry, match: "plant/+/t.1m.max", unit: C}
derived:
  - {match: "plant/+", as: secret_power, expr: "t * hidden_volts"}
groups:
  - {match: "plant/+/t", as: "plant/_secret/all"}
`

func whoReads(t *testing.T, role string, patterns ...string) *auth.Principal {
	t.Helper()
	p := &auth.Principal{Subject: "x", Roles: []string{role}}
	for _, text := range patterns {
		pattern, err := telemetry.ParsePattern(text)
		must(t, err)
		p.Read = append(p.Read, pattern)
	}
	return p
}

func TestASeriesTellsNothingOfWhatTheAskerMayNotRead(t *testing.T) {
	declared, err := plan.Parse([]byte(secretive))
	must(t, err)
	told := func(name string, p *auth.Principal) (*pipeline.Inspection, string) {
		x := &pipeline.Inspection{
			Series: name, Leads: []string{"plant/a/t.1m.max", "plant/a/secret_power", "plant/_secret/all"}, Treatment: declared.Explain(name),
		}
		redact(x, p)
		text, err := json.Marshal(x)
		must(t, err)
		return x, string(text)
	}

	x, text := told("plant/a/t", whoReads(t, auth.RoleViewer, "plant/a/t", "plant/a/t.1m.max"))
	if strings.Contains(text, "secret") || strings.Contains(text, "other-entry") || strings.Contains(text, "plant/+") || strings.Contains(text, "hidden") {
		t.Errorf("a viewer of one series is told %s", text)
	}
	if !slices.Equal(x.Leads, []string{"plant/a/t.1m.max"}) || !slices.Equal(x.Treatment.Outputs, x.Leads) || len(x.Treatment.Settings) == 0 {
		t.Errorf("a viewer of one series and its maximum is told %s", text)
	}
	for _, name := range []string{"plant/a/t.1m.max", "plant/a/secret_power", "plant/_secret/all"} {
		if x, text := told(name, whoReads(t, auth.RoleViewer, name)); strings.Contains(text, "plant/a/t\"") ||
			strings.Contains(text, "hidden") || strings.Contains(text, "other-entry") || x.Treatment.Made == "" {
			t.Errorf("a viewer of %s alone is told %s", name, text)
		}
	}

	x, text = told("plant/a/t", whoReads(t, auth.RoleViewer, "plant/#"))
	if len(x.Leads) != 3 || len(x.Treatment.Groups) != 1 || !slices.Equal(x.Treatment.Derived, []string{"plant/a/secret_power"}) ||
		strings.Contains(text, "secret-entry") || strings.Contains(text, "hidden") {
		t.Errorf("a viewer of all is told %s", text)
	}
	x, text = told("plant/a/t", whoReads(t, auth.RoleOperator, "plant/#"))
	if len(x.Treatment.Entries) != 1 || x.Treatment.Entries[0].Name != "secret-entry" || !strings.Contains(text, "hidden_volts") || len(x.Leads) != 3 {
		t.Errorf("an operator is told %s", text)
	}
}

func TestAViewerOfOneSeriesIsNotToldOfOthersOverHTTP(t *testing.T) {
	s := startSecured(t)
	file := []byte("pipelines: [{name: secret-entry, match: \"t1/+/x\", windows: [{name: 1m, size: 1m, functions: [max]}]}]")
	must(t, os.WriteFile(filepath.Join(s.dir, plansFile), file, 0o600))
	s.mint("device1", "t1", auth.RoleDevice, nil, []string{"t1/d1"})
	s.mint("narrow", "t1", auth.RoleViewer, []string{"t1/d1/x"}, nil)
	status, text := s.ask("device1", "POST", "/v1/readings", `{"device":"t1/d1","session":"b","seq":1,"readings":[{"metric":"x","value":1}]}`)
	if status != http.StatusOK {
		t.Fatalf("%d %s", status, text)
	}
	var x pipeline.Inspection
	s.eventually("an operator is told of the entry and what it makes", func() bool {
		_, text = s.ask("operator1", "GET", "/v1/series/t1/d1/x", "")
		return strings.Contains(string(text), "secret-entry") && strings.Contains(string(text), "t1/d1/x.1m.max")
	})
	_, text = s.ask("narrow", "GET", "/v1/series/t1/d1/x", "")
	must(t, json.Unmarshal(text, &x))
	if strings.Contains(string(text), "secret-entry") || strings.Contains(string(text), "t1/d1/x.1m.max") || len(x.Treatment.Settings) == 0 {
		t.Errorf("%s", text)
	}
}
