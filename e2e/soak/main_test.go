//go:build soak

package soak

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

var (
	soakTime  = flag.Duration("soak.duration", time.Minute, "how long to break things, or to overload")
	soakSeed  = flag.Uint64("soak.seed", 1, "which faults come when")
	resultDir = flag.String("soak.results", "", "directory that the figures are written to; empty: none")
	commit    = flag.String("soak.commit", "unknown", "what the figures are of")
	command   = flag.String("soak.command", "", "how they were made")
)

// TestMain is a device if this process was started as one.
func TestMain(m *testing.M) {
	if text := os.Getenv(deviceEnv); text != "" {
		if err := beDevice(text); err != nil {
			fmt.Fprintln(os.Stderr, "device:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	flag.Parse()
	os.Exit(m.Run())
}

// weirBinary is the server under test.
func weirBinary(t *testing.T) string {
	t.Helper()
	binary := os.Getenv("WEIR_BIN")
	if binary == "" {
		t.Fatal("WEIR_BIN is not set: run a `make soak-…`, or build with `make build` and set it to bin/weir")
	}
	return binary
}

// about is what every result begins with.
type about struct {
	What    string  `json:"what"`
	Commit  string  `json:"commit"`
	Command string  `json:"command"`
	Date    string  `json:"date"`
	Machine string  `json:"machine"`
	Passed  bool    `json:"passed"`
	Seconds float64 `json:"seconds"`
}

func aboutNow(t *testing.T, what string, began time.Time) about {
	return about{
		What: what, Commit: *commit, Command: *command, Date: began.UTC().Format("2006-01-02T15:04Z"),
		Machine: fmt.Sprintf("%d CPUs, %s/%s, %s", runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version()),
		Passed:  !t.Failed(), Seconds: float64(time.Since(began).Milliseconds()) / 1000,
	}
}

// writeResult keeps a result as JSON, and as the table that people read.
func writeResult(t *testing.T, name string, result any, table string) {
	t.Helper()
	t.Log("\n" + table)
	if *resultDir == "" {
		return
	}
	text, err := json.MarshalIndent(result, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	for ending, body := range map[string]string{".json": string(text) + "\n", ".md": table} {
		if err := os.WriteFile(filepath.Join(*resultDir, name+ending), []byte(body), 0o644); err != nil {
			t.Error(err)
		}
	}
}

// markdown is a page with one table.
func markdown(a about, rows [][2]string) string {
	var b strings.Builder
	outcome := "passed"
	if !a.Passed {
		outcome = "FAILED"
	}
	fmt.Fprintf(&b, "# %s: %s\n\ncommit %s, %s, %s\n\n`%s`\n\n| | |\n|---|---|\n", a.What, outcome, a.Commit, a.Date, a.Machine, a.Command)
	for _, r := range rows {
		fmt.Fprintf(&b, "| %s | %s |\n", r[0], r[1])
	}
	return b.String()
}
