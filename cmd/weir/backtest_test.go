package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"weir/wire"
)

func TestABacktestIsShownAsATable(t *testing.T) {
	var query, body string
	lines := []string{
		`{"progress":{"time_us":1,"records":1,"series":1}}`,
		`{"alert":{"id":"0-1","rule":"hot","series":"p/a/x","severity":"critical","phase":"resolved","from_ts":1700000000000000,"to_ts":1700000030000000,"raised_us":1700000000000000,"duration_us":30000000,"transitions":2,"flaps":0,"summary":"p/a/x is 95, above 90","silenced":true,"inhibited":false}}`,
		`{"totals":{"time_us":2,"records":5,"series":1,"first_us":1700000000000000,"last_us":1700000100000000,"readings":5,"refused":{"late":2},"surplus":0,"repeated_records":0,"dead_letters":2,"dead_letters_by_code":[{"code":"pipeline_panic","records":2,"example":{"device":"p/a","path":"","message":"index out of range","time_us":1700000000000000}}],"rules":[{"rule":"hot","alerts":1,"series":1,"open":0,"flapping":0,"duration_us":30000000}],"open_before":1,"alerts_untold":0}}`,
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		query = r.URL.Query().Encode()
		text := make([]byte, 1<<10)
		n, _ := r.Body.Read(text)
		body = string(text[:n])
		for _, l := range lines {
			fmt.Fprintln(w, l)
		}
	}))
	t.Cleanup(server.Close)
	file := pipelinesFile(t, "pipelines: []\n")
	args := []string{"backtest", file, "--url", server.URL, "--from", "1700000000", "--to", "1700000200", "--series", "p/#"}
	code, out, stderr := weir(t, args...)
	if code != exitOK || query != "from=1700000000000000&series=p%2F%23&to=1700000200000000" || body != "pipelines: []\n" {
		t.Errorf("%d, asked with %s and %q: %s", code, query, body, stderr)
	}
	for _, want := range []string{
		"2023-11-14 22:13:20  30s  critical  hot   p/a/x   resolved, silenced  2", "p/a/x is 95, above 90", "1 alert was open at the beginning",
		"5 readings from 2023-11-14 22:13:20 to 2023-11-14 22:15:00, 1 series; refused: late 2", "2 records would go to the dead letters",
		"pipeline_panic 2, such as of p/a at 2023-11-14 22:13:20: index out of range",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in\n%s", want, out)
		}
	}
	if code, out, _ = weir(t, append(args, "--json")...); code != exitOK || strings.Count(out, "\n") != 2 {
		t.Errorf("%d, as JSON:\n%s", code, out)
	}
	lines = lines[:2]
	if code, _, stderr = weir(t, args...); code != exitFailed || !strings.Contains(stderr, "ended before its end") {
		t.Errorf("%d: an answer without its end: %s", code, stderr)
	}
	lines = append(lines, `{"error":{"code":"overloaded","message":"too much"}}`)
	if code, _, stderr = weir(t, args...); code != exitFailed || !strings.Contains(stderr, "too much") {
		t.Errorf("%d: an answer that is an error: %s", code, stderr)
	}
}

func TestABacktestThatIsRefusedSaysWhy(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		wire.Refuse(w, wire.NewError(wire.CodeOverloaded, ""))
	}))
	t.Cleanup(server.Close)
	file := pipelinesFile(t, "pipelines: []\n")
	if code, _, stderr := weir(t, "backtest", file, "--url", server.URL); code != exitFailed || !strings.Contains(stderr, "overloaded") {
		t.Errorf("%d %s", code, stderr)
	}
	if code, _, stderr := weir(t, "backtest", file, "--from", "yesterday"); code != exitFailed || !strings.Contains(stderr, "--from") {
		t.Errorf("%d %s", code, stderr)
	}
	if code, out, _ := weir(t, "backtest", pipelinesFile(t, "colour: red\n")); code != exitFailed || !strings.Contains(out, "line 1") {
		t.Errorf("%d %s", code, out)
	}
}

func TestTimesOfABacktestMayBeAgo(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	for text, want := range map[string]int64{"": 7, "1h": now.Unix() - 3600, "-90s": now.Unix() - 90, "2023-11-14T00:00:00Z": 1_699_920_000} {
		if text != "" {
			want *= 1e6
		}
		if got, err := backtestTime("--from", text, now, 7); err != nil || got != want {
			t.Errorf("%q: %d, %v; want %d", text, got, err, want)
		}
	}
}
