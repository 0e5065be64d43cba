package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"weir/pipeline"
)

func pipelinesFile(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "pipelines.yaml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

const smallPlan = `
pipelines:
  - name: all
    match: "plant1/#"
    unit: K
  - name: temperatures
    match: "plant1/+/temperature"
    unit: °C
    windows: [{size: 1m, functions: [mean]}]
    rules: [{name: hot, kind: threshold, above: 90}]
derived:
  - {match: "plant1/+", as: kelvin, expr: temperature + 273.15}
groups:
  - {match: "plant1/+/temperature", as: plant1/_all/temperature}
`

func TestAPlanThatIsRightIsCounted(t *testing.T) {
	code, out, stderr := weir(t, "pipeline", "validate", pipelinesFile(t, smallPlan))
	if code != exitOK || out != "ok: 2 pipelines, 1 derived series, 1 group, 1 rule\n" {
		t.Errorf("exit code %d, %q, %q", code, out, stderr)
	}
}

func TestEveryFaultOfAPlanIsALine(t *testing.T) {
	file := pipelinesFile(t, "pipelines:\n  - match: a/b\n    unit: x\n    filter: foo(1)\n    colour: red\n")
	code, out, stderr := weir(t, "pipeline", "validate", file)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if code != exitFailed || len(lines) != 2 || !strings.Contains(stderr, "has 2 faults") {
		t.Fatalf("exit code %d, %q, %q", code, out, stderr)
	}
	for i, want := range []string{"pipelines[0].filter (line 4): column 1: unknown function foo", "pipelines[0].colour (line 5): unknown key"} {
		if !strings.HasPrefix(lines[i], file+": "+want) {
			t.Errorf("%s, want %s", lines[i], want)
		}
	}
}

func TestAPlanThatIsNotThereIsAnError(t *testing.T) {
	code, out, stderr := weir(t, "pipeline", "validate", filepath.Join(t.TempDir(), "none.yaml"))
	if code != exitFailed || out != "" || !strings.Contains(stderr, "none.yaml") {
		t.Errorf("exit code %d, %q, %q", code, out, stderr)
	}
}

func TestExplainTellsWhereSettingsComeFrom(t *testing.T) {
	code, out, stderr := weir(t, "pipeline", "explain", pipelinesFile(t, smallPlan), "plant1/oven/temperature", "plant1/oven/temperature.1m.mean")
	if code != exitOK {
		t.Fatal(code, stderr)
	}
	squeezed := strings.Join(strings.Fields(out), " ")
	for _, want := range []string{
		"entry all line 3 by plant1/#", "entry temperatures line 6 by plant1/+/temperature", "unit °C from temperatures", "lateness pipeline.lateness of the server from default",
		"windows.1m.size 1m from temperatures", "rule hot", "publishes plant1/oven/temperature.1m.mean", "used by plant1/oven/kelvin = temperature + 273.15",
		"member of plant1/_all/temperature", "made average, window or rate of plant1/oven/temperature", "detector off from default",
	} {
		if !strings.Contains(squeezed, want) {
			t.Errorf("%q is missing in\n%s", want, out)
		}
	}
}

func TestExplainWritesJSON(t *testing.T) {
	code, out, stderr := weir(t, "pipeline", "explain", "", "a/b", "--json")
	var x struct {
		Series   string
		Entries  []any
		Settings []struct{ Name, From string }
	}
	if err := json.Unmarshal([]byte(out), &x); code != exitOK || err != nil || x.Series != "a/b" || x.Entries == nil || len(x.Settings) == 0 {
		t.Errorf("%d, %v, %s, %s", code, err, out, stderr)
	}
	for _, s := range x.Settings {
		if s.From != "default" {
			t.Errorf("%s comes from %s", s.Name, s.From)
		}
	}
}

func TestADryRunShowsWhatComesOut(t *testing.T) {
	plan := pipelinesFile(t, `
pipelines:
  - match: "plant1/+/temperature"
    validate: {max: 200}
    windows: [{size: 1m, functions: [count]}]
    rules: [{name: hot, kind: threshold, above: 90}, {name: gone, kind: absence, for: 2m}]
`)
	csv := filepath.Join(t.TempDir(), "in.csv")
	text := "timestamp,value\n"
	for i, v := range []string{"20", "95", "", "20", "300", "21", "22"} {
		text += fmt.Sprintf("2026-03-01 00:%02d:%02d,%s\n", i/3, i%3*20, v)
	}
	if err := os.WriteFile(csv, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"pipeline", "dry-run", plan, "--input", csv, "--series", "plant1/oven/temperature"}
	code, out, stderr := weir(t, args...)
	if code != exitOK {
		t.Fatal(code, out, stderr)
	}
	for _, want := range []string{
		"value  plant1/oven/temperature.1m.count  2", "alert  plant1/oven/temperature  hot firing", "hot resolved",
		"6 readings from 2026-03-01 00:00:00", "refused: range 1, no value 1",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in\n%s", want, out)
		}
	}
	if strings.Contains(out, "gone") {
		t.Errorf("the end of the file counts as silence:\n%s", out)
	}
	code, out, stderr = weir(t, append(args, "--after", "10m", "--json")...)
	if code != exitOK {
		t.Fatal(code, out, stderr)
	}
	fired := false
	for line := range strings.Lines(out) {
		var x struct {
			Alert *struct{ Rule string }
		}
		if err := json.Unmarshal([]byte(line), &x); err != nil {
			t.Errorf("%s: %v", line, err)
		}
		fired = fired || x.Alert != nil && x.Alert.Rule == "gone"
	}
	if !fired {
		t.Errorf("with ten minutes of silence behind the file nothing is absent:\n%s", out)
	}
	if code, _, stderr = weir(t, "pipeline", "dry-run", plan, "--input", plan); code != exitFailed || !strings.Contains(stderr, "line ") {
		t.Errorf("of a file that is no CSV: %d %s", code, stderr)
	}
}

// dryRun writes a CSV file and runs it through a plan.
func dryRun(t *testing.T, plan, rows string, args ...string) (code int, out, stderr string) {
	t.Helper()
	csv := filepath.Join(t.TempDir(), "in.csv")
	if err := os.WriteFile(csv, []byte(rows), 0o600); err != nil {
		t.Fatal(err)
	}
	return weir(t, append([]string{"pipeline", "dry-run", pipelinesFile(t, plan), "--input", csv}, args...)...)
}

func TestADryRunAsksForTheSeriesThatRowsDoNotName(t *testing.T) {
	code, out, stderr := dryRun(t, "pipelines: []\n", "timestamp,value\n1700000000,1\n")
	if code != exitFailed || !strings.Contains(stderr, "--series") || !strings.Contains(stderr, "timestamp,series,value") || strings.Contains(out, "reading") {
		t.Errorf("%d %s %s", code, out, stderr)
	}
	code, out, stderr = dryRun(t, "pipelines: []\n", "timestamp,series,value\n1700000000,p/a/x,1\n")
	if code != exitOK || !strings.Contains(out, "1 reading from") {
		t.Errorf("with a column for it: %d %s %s", code, out, stderr)
	}
}

func TestADryRunTellsOfRecordsThatCannotBeApplied(t *testing.T) {
	rows := "timestamp,series,value\n"
	for i := range pipeline.DefaultConfig().MaxSeriesPerDevice + 3 {
		rows += fmt.Sprintf("%d,p/a/m%d,1\n", 1_700_000_000+i, i)
	}
	code, out, stderr := dryRun(t, "pipelines: []\n", rows)
	if code != exitOK || strings.Contains(out, "none refused") ||
		!strings.Contains(out, "3 records would go to the dead letters") || !strings.Contains(out, "too_many_series 3, such as of p/a") {
		t.Errorf("%d %s %s", code, out, stderr)
	}
}

func TestADryRunRoundsForPeopleOnly(t *testing.T) {
	plan := `
derived:
  - {match: "p/+", as: sum, expr: a + b}
`
	rows := "timestamp,series,value\n1700000000,p/d/a,0.1\n1700000000,p/d/b,0.2\n"
	if code, out, stderr := dryRun(t, plan, rows); code != exitOK || !strings.Contains(out, "p/d/sum  0.3\n") {
		t.Errorf("%d %s %s", code, out, stderr)
	}
	if code, out, stderr := dryRun(t, plan, rows, "--json"); code != exitOK || !strings.Contains(out, `"value":0.30000000000000004`) {
		t.Errorf("%d %s %s", code, out, stderr)
	}
	for f, want := range map[float64]string{
		0.1 + 0.2: "0.3", 1234567: "1234567", 1234567.891: "1234568", 21.456789: "21.4568", -0.00001234567: "-1.23457e-05", 1e300: "1e+300", 0: "0",
	} {
		if got := figure(f); got != want {
			t.Errorf("%g: %s, want %s", f, got, want)
		}
	}
}
