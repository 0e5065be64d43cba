package tail

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"weir/telemetry"
	"weir/wire"
)

// gap is a break in the chain of a series.
type gap struct {
	series      string
	seen, since telemetry.Version
}

// printer writes what happens as a person or a program wants to read it. The caller flushes.
type printer interface {
	// expect announces a series before its first update.
	expect(series string)
	// update prints what a row tells; snapshot says that it is the state at the time of connecting.
	update(u *telemetry.Update, received time.Time, snapshot bool)
	alert(a *telemetry.Alert)
	gap(g gap)
	flush() error
}

// table prints aligned columns.
type table struct {
	out   *bufio.Writer
	width int // of the series column, which only grows
	begun bool
}

const (
	clockFormat    = "15:04:05.000"
	minSeriesWidth = 24
	maxSeriesWidth = 60
)

func newTable(out io.Writer) *table { return &table{out: bufio.NewWriter(out), width: minSeriesWidth} }

func (t *table) expect(series string) { t.width = min(max(t.width, len(series)), maxSeriesWidth) }

func (t *table) row(clock, series, last, n, low, high, avg, state, score, age string) {
	line := fmt.Sprintf("%-12s  %-*s %11s %6s %11s %11s %11s  %-9s %5s %9s",
		clock, t.width, series, last, n, low, high, avg, state, score, age)
	fmt.Fprintln(t.out, strings.TrimRight(line, " "))
}

func (t *table) update(u *telemetry.Update, received time.Time, _ bool) {
	if !t.begun {
		t.begun = true
		t.row("TIME", "SERIES", "LAST", "N", "MIN", "MAX", "AVG", "STATE", "SCORE", "AGE")
	}
	if u.N == 0 {
		t.row("-", u.Series, "-", "0", "-", "-", number(u.Avg), u.State.String(), score(u.Score), "-")
		return
	}
	at := time.UnixMicro(u.LastTime)
	t.row(at.Format(clockFormat), u.Series, number(u.Last), strconv.FormatUint(u.N, 10), number(u.Min),
		number(u.Max), number(u.Avg), u.State.String(), score(u.Score), age(received.Sub(at)))
}

func (t *table) alert(a *telemetry.Alert) {
	phase := string(a.Phase)
	if a.Severity != "" {
		phase = string(a.Severity) + " " + phase
	}
	if a.Phase == telemetry.Flapping {
		phase += fmt.Sprintf(" %d times in %s", a.Flaps.Count, time.Duration(a.Flaps.Period)*time.Microsecond)
	}
	if a.Marked != nil {
		phase += " by " + a.Marked.By
	}
	expected := fmt.Sprintf("expected %s to %s", number(a.Lo), number(a.Hi))
	if math.IsNaN(a.Lo) && math.IsNaN(a.Hi) && !math.IsNaN(a.Limit) {
		expected = "limit " + number(a.Limit)
	}
	fmt.Fprintf(t.out, "%-12s  %-*s ALERT %s: %s, %s, score %s  %s\n",
		time.UnixMicro(a.Time).Format(clockFormat), t.width, a.Series, phase, number(a.Value), expected, score(a.Score), a.Summary)
}

func (t *table) gap(g gap) {
	fmt.Fprintf(t.out, "%-12s  %-*s GAP: version %d was the last, and this update begins after %d\n",
		"", t.width, g.series, g.seen, g.since)
}

func (t *table) flush() error { return t.out.Flush() }

// number prints six significant digits, which fit the column.
func number(f float64) string {
	if math.IsNaN(f) {
		return "-"
	}
	return strconv.FormatFloat(f, 'g', 6, 64)
}

func score(f float64) string {
	if math.IsNaN(f) {
		return "-"
	}
	return strconv.FormatFloat(f, 'f', 2, 64)
}

// age is the time from the newest reading to its arrival here; clocks may differ.
func age(d time.Duration) string {
	switch {
	case d < 10*time.Second && d > -10*time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < time.Hour && d > -time.Hour:
		return fmt.Sprintf("%.0f s", d.Seconds())
	}
	return fmt.Sprintf("%.0f h", d.Hours())
}

// lines prints one JSON object per line.
type lines struct {
	out *bufio.Writer
	enc *json.Encoder
}

func newLines(out io.Writer) *lines {
	buffered := bufio.NewWriter(out)
	return &lines{out: buffered, enc: json.NewEncoder(buffered)}
}

// updateLine has the names of the live protocol's columns. What is unknown is null.
type updateLine struct {
	Type       string            `json:"type"`
	Series     string            `json:"series"`
	Version    telemetry.Version `json:"version"`
	Since      telemetry.Version `json:"since"`
	N          uint64            `json:"n"`
	Late       uint64            `json:"late"`
	Invalid    uint64            `json:"invalid"`
	FirstTime  *int64            `json:"first_ts"`
	LastTime   *int64            `json:"last_ts"`
	Last       *float64          `json:"last"`
	Min        *float64          `json:"min"`
	Max        *float64          `json:"max"`
	Sum        *float64          `json:"sum"`
	Avg        *float64          `json:"avg"`
	Lo         *float64          `json:"lo"`
	Hi         *float64          `json:"hi"`
	State      string            `json:"state"`
	Score      *float64          `json:"score"`
	Worst      string            `json:"worst"`
	IngestTime int64             `json:"ingest_ts"`
	EmitTime   int64             `json:"emit_ts"`
	Received   int64             `json:"received_ts"`
}

func (l *lines) expect(string) {}

func (l *lines) update(u *telemetry.Update, received time.Time, snapshot bool) {
	line := updateLine{
		Type: "update", Series: u.Series, Version: u.Version, Since: u.Since,
		N: u.N, Late: u.Late, Invalid: u.Invalid,
		Avg: known(u.Avg), Lo: known(u.Lo), Hi: known(u.Hi),
		State: u.State.String(), Score: known(u.Score), Worst: u.Worst.String(),
		IngestTime: u.IngestTime, EmitTime: u.EmitTime, Received: received.UnixMicro(),
	}
	if snapshot {
		line.Type = "snapshot"
	}
	if u.N > 0 {
		line.FirstTime, line.LastTime = &u.FirstTime, &u.LastTime
		line.Last, line.Min, line.Max, line.Sum = known(u.Last), known(u.Min), known(u.Max), known(u.Sum)
	}
	l.encode(line)
}

func (l *lines) alert(a *telemetry.Alert) {
	line := append([]byte(`{"type":"alert",`), wire.AppendAlertJSON(nil, a)[1:]...) // without its brace
	_, _ = l.out.Write(append(line, '\n'))
}

func (l *lines) gap(g gap) {
	l.encode(struct {
		Type   string            `json:"type"`
		Series string            `json:"series"`
		Seen   telemetry.Version `json:"seen"`
		Since  telemetry.Version `json:"since"`
	}{"gap", g.series, g.seen, g.since})
}

// encode cannot fail: the lines hold no value that JSON lacks, and write errors stay until flush.
func (l *lines) encode(line any) { _ = l.enc.Encode(line) }

func (l *lines) flush() error { return l.out.Flush() }

// known is f, or null when it is not a finite number.
func known(f float64) *float64 {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return nil
	}
	return &f
}
