package main

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"weir/sim"
)

func weir(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	var out, err strings.Builder
	code = run(ctx, args, &out, &err)
	return code, out.String(), err.String()
}

func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	return l.Addr().String()
}

func TestHelpNamesTheCommands(t *testing.T) {
	for _, args := range [][]string{{}, {"--help"}} {
		code, out, _ := weir(t, args...)
		for _, command := range []string{"simulate", "tail", "bench", "version"} {
			if !strings.Contains(out, command) {
				t.Errorf("weir %v does not name %s:\n%s", args, command, out)
			}
		}
		if code != exitOK {
			t.Errorf("weir %v: exit code %d", args, code)
		}
	}
}

func TestVersionIsPrinted(t *testing.T) {
	for _, args := range [][]string{{"version"}, {"--version"}} {
		code, out, _ := weir(t, args...)
		if code != exitOK || !strings.HasPrefix(out, "weir ") || !strings.Contains(out, "go1.") {
			t.Errorf("weir %v: exit code %d, %q", args, code, out)
		}
	}
}

func TestBuildNamesVersionAndCommit(t *testing.T) {
	info := &debug.BuildInfo{
		Main:     debug.Module{Version: "v1.2.3"},
		Settings: []debug.BuildSetting{{Key: "vcs.revision", Value: "0123456789abcdef"}, {Key: "vcs.modified", Value: "true"}},
	}
	if got := (build{}).with(info).String(); !strings.HasPrefix(got, "weir v1.2.3 commit 0123456789ab (modified) go") {
		t.Errorf("%q", got)
	}
	if got := (build{version: "v9"}).with(info).String(); !strings.HasPrefix(got, "weir v9 commit") {
		t.Errorf("the linker's version does not win: %q", got)
	}
}

func TestMistakesAreToldWithWhatToDoNext(t *testing.T) {
	nobody := closedPort(t)
	empty := t.TempDir()
	for name, c := range map[string]struct {
		args []string
		code int
		want []string
	}{
		"unknown command":      {[]string{"simulat"}, exitUsage, []string{"simulat", "weir --help"}},
		"unknown flag":         {[]string{"simulate", "--device", "5"}, exitUsage, []string{"--device", "weir simulate --help"}},
		"bad log level":        {[]string{"version", "--log-level", "loud"}, exitUsage, []string{"log-level", "debug"}},
		"no pattern":           {[]string{"tail"}, exitUsage, []string{"pattern", "weir tail --help"}},
		"bad pattern":          {[]string{"tail", "a/#/b"}, exitFailed, []string{`"a/#/b"`, "whole last segment"}},
		"nobody listens":       {[]string{"simulate", "--url", "ws://" + nobody + "/v1/ingest"}, exitFailed, []string{nobody, "is `weir serve` running?", "--url"}},
		"nobody listens, tail": {[]string{"tail", "#", "--url", "ws://" + nobody + "/v1/live"}, exitFailed, []string{nobody, "is `weir serve` running?", "--url"}},
		"address of a page":    {[]string{"simulate", "--url", "http://" + nobody}, exitFailed, []string{"ws://"}},
		"bad rate":             {[]string{"simulate", "--rate=-1"}, exitFailed, []string{"--rate: must be above 0"}},
		"nothing to send":      {[]string{"simulate", "--devices", "0"}, exitFailed, []string{"--devices", "--host", "--replay"}},
		"empty folder":         {[]string{"simulate", "--replay", empty}, exitFailed, []string{empty, "*.csv"}},
		"no folder":            {[]string{"simulate", "--replay", filepath.Join(empty, "none")}, exitUsage, []string{"none"}},
	} {
		code, _, text := weir(t, c.args...)
		if code != c.code {
			t.Errorf("%s: exit code %d, want %d", name, code, c.code)
		}
		for _, want := range c.want {
			if !strings.Contains(text, want) {
				t.Errorf("%s: %q lacks %q", name, text, want)
			}
		}
	}
}

func TestFleetIsTheDefaultUnlessSomethingElseIsAskedFor(t *testing.T) {
	three := 3
	for name, c := range map[string]struct {
		cmd  simulateCmd
		want int
	}{
		"nothing asked":  {simulateCmd{}, 50},
		"host":           {simulateCmd{Host: true}, 0},
		"replay":         {simulateCmd{Replay: "dir"}, 0},
		"host and fleet": {simulateCmd{Host: true, Devices: &three}, 3},
	} {
		if got := c.cmd.fleet().Devices; got != c.want {
			t.Errorf("%s: %d devices, want %d", name, got, c.want)
		}
	}
}

func TestReplayedFilesBecomeSources(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.csv"), []byte("timestamp,value\n2014-04-01 00:00:00,1\n2014-04-01 00:05:00,x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := simulateCmd{Replay: dir, Speed: 300}
	var notes strings.Builder
	sources, err := cmd.sources(&notes)
	if err != nil || len(sources) != 1 || sources[0].Device() != "replay/a" {
		t.Errorf("%v, error %v", sources, err)
	}
	if !strings.Contains(notes.String(), "1 series with 1 rows") || !strings.Contains(notes.String(), "without 1 rows") {
		t.Errorf("notes %q", notes.String())
	}
}

func TestProgressLineShowsTheRateSinceTheLineBefore(t *testing.T) {
	start := time.Now()
	line := simulateLine{start: start}
	line.text(start.Add(time.Second), sim.Counts{Accepted: 1000})
	got := line.text(start.Add(3*time.Second), sim.Counts{
		Sent: 1_234_567, Accepted: 4500, Rejected: 500, Reconnects: 1, Running: 2, Connected: 1, Problem: os.ErrClosed,
	})
	for _, want := range []string{"sent 1,234,567", "receipted 5,000", "2,000/s", "rejected 500", "reconnects 1", "connected 1 of 2", "trying again"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q lacks %q", got, want)
		}
	}
}

func TestSummaryLeavesNothingOut(t *testing.T) {
	got := summary(sim.Counts{
		Sent: 10, Frames: 4, Accepted: 5, Duplicate: 1, Late: 1, Rejected: 2, Unsure: 1, Skipped: 7,
		Codes: map[string]int64{"ts_future": 2},
	}, 1500*time.Millisecond)
	want := "sent 10 readings in 4 frames in 1.5s: 5 accepted, 1 duplicate, 1 late, 2 rejected (ts_future 2), 1 without a receipt, 7 never sent because the server was away or too slow"
	if got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestGroupedPutsCommasBetweenThousands(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", -1234567: "-1,234,567"} {
		if got := grouped(n); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
}
