package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"weir/backtest"
)

func scoreDir(t *testing.T, files map[string]string) (out, stderr string, code int) {
	t.Helper()
	in, out := t.TempDir(), filepath.Join(t.TempDir(), "out")
	for name, text := range files {
		path := filepath.Join(in, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var printed, failed strings.Builder
	code = run(t.Context(), []string{"score", "--in", in, "--out", out}, &printed, &failed)
	return out, failed.String(), code
}

func TestScoreWritesARowForEachRowAndMarksWhereAnAlertStarts(t *testing.T) {
	var b strings.Builder
	b.WriteString("Timestamp,Value,Label\n")
	for i := range 400 {
		v := fmt.Sprint(100 + i*37%5)
		switch i {
		case 50:
			v = ""
		case 300:
			v = "900"
		}
		fmt.Fprintf(&b, "%d,%s,0\n", 1_500_000_000+60*i, v)
	}
	out, stderr, code := scoreDir(t, map[string]string{"a/b/x.csv": b.String(), "notes.txt": "no series"})
	if code != exitOK {
		t.Fatal(stderr)
	}
	text, err := os.ReadFile(filepath.Join(out, "a/b/x.csv")) //nolint:gosec // a path of the test
	if err != nil {
		t.Fatal(err)
	}
	rows := strings.Split(strings.TrimSpace(string(text)), "\n")
	if len(rows) != 401 || rows[0] != "timestamp,value,anomaly_score,severity" {
		t.Fatalf("%d rows, the first is %q", len(rows), rows[0])
	}
	if rows[51] != "1500003000,,0,0" {
		t.Errorf("a missing value: %q", rows[51])
	}
	f := strings.Split(rows[301], ",")
	if f[1] != "900" || f[2] == "0" || f[2] != f[3] {
		t.Errorf("an alert starts: %q", rows[301])
	}
}

func TestScoreNamesFileAndLineOfWhatItCannotRead(t *testing.T) {
	for want, text := range map[string]string{
		`line 3: timestamp "yesterday"`: "timestamp,value\n2014-04-01 00:00:00,1\nyesterday,2\n",
		`line 2: value "high"`:          "timestamp,value\n2014-04-01 00:00:00,high\n",
		"line 2: 1 columns":             "timestamp,value\n2014-04-01 00:00:00\n",
	} {
		out, stderr, code := scoreDir(t, map[string]string{"bad.csv": text})
		if code != exitFailed || !strings.Contains(stderr, want) || !strings.Contains(stderr, "bad.csv") {
			t.Errorf("exit code %d, %q, want %q", code, stderr, want)
		}
		if _, err := os.Stat(filepath.Join(out, "bad.csv")); err == nil {
			t.Error("half a file is left behind")
		}
	}
}

func TestStampsAreTakenInAllForms(t *testing.T) {
	for _, text := range []string{
		"2014-04-01 00:00:00", "2014-04-01T00:00:00Z", "2014-04-01T02:00:00+02:00", "2014-04-01 00:00:00.000000",
		"1396310400", "1396310400000", "1396310400000000", "1396310400000000000", "2014-04-01",
	} {
		if at, err := backtest.ParseTime(text); err != nil || at != 1396310400000000 {
			t.Errorf("%s: %d, %v", text, at, err)
		}
	}
}
