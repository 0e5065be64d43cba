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
	"unicode"
	"unicode/utf8"

	sdk "weir/sdk/go"
	"weir/telemetry"
	"weir/wire"
)

// printer writes what happens as a person or a program wants to read it. The caller flushes.
type printer interface {
	// expect announces a series before its first update.
	expect(series string)
	// update prints what a row tells; snapshot says that it is the state at the time of connecting.
	update(u *telemetry.Update, received time.Time, snapshot bool)
	// left prints that a series is in the view no more.
	left(series string)
	alert(a *telemetry.Alert)
	resync(reason string)
	said(room string, e *sdk.RoomEvent)
	figures(f *figures, notes io.Writer)
	flush() error
}

// table prints aligned columns.
type table struct {
	out     *bufio.Writer
	columns []column
	times   bool // there are source times; else TIME is that of the arrival
	width   int  // of the series column, which only grows
	begun   bool
}

const (
	clockFormat    = "15:04:05.000"
	minSeriesWidth = 24
	maxSeriesWidth = 60
)

// newTable prints the usual columns, or all of those that were chosen.
func newTable(out io.Writer, columns []column, chosen bool) *table {
	t := &table{out: bufio.NewWriter(out), width: minSeriesWidth}
	for _, c := range columns {
		t.times = t.times || c.name == "last_ts"
		if c.text != nil && (chosen || c.shown) {
			t.columns = append(t.columns, c)
		}
	}
	return t
}

func (t *table) expect(series string) { t.width = min(max(t.width, len(series)), maxSeriesWidth) }

func (t *table) row(clock, series, age string, cell func(c *column) string) {
	var line strings.Builder
	fmt.Fprintf(&line, "%-12s  %-*s ", clock, t.width, series)
	for i := range t.columns {
		c := &t.columns[i]
		if c.width < 0 {
			line.WriteByte(' ') // between what ends here and what begins
		}
		fmt.Fprintf(&line, "%*s ", c.width, cell(c))
	}
	if t.times {
		fmt.Fprintf(&line, "%9s", age)
	}
	fmt.Fprintln(t.out, strings.TrimRight(line.String(), " "))
}

func (t *table) update(u *telemetry.Update, received time.Time, _ bool) {
	if !t.begun {
		t.begun = true
		t.row("TIME", "SERIES", "AGE", func(c *column) string { return c.header })
	}
	clock, old := "-", "-"
	switch {
	case !t.times:
		clock = received.Format(clockFormat)
	case u.N > 0:
		at := time.UnixMicro(u.LastTime)
		clock, old = at.Format(clockFormat), age(received.Sub(at))
	}
	t.row(clock, u.Series, old, func(c *column) string { return c.text(u) })
}

func (t *table) left(series string) {
	fmt.Fprintf(t.out, "%-12s  %-*s LEFT the view\n", "", t.width, series)
}

// resync is told in the notes.
func (t *table) resync(string) {}

func (t *table) alert(a *telemetry.Alert) {
	phase := string(a.Phase)
	if a.Severity != "" {
		phase = string(a.Severity) + " " + phase
	}
	if a.Phase == telemetry.Flapping {
		phase += fmt.Sprintf(" %d times in %s", a.Flaps.Count, time.Duration(a.Flaps.Period)*time.Microsecond)
	}
	if a.Marked != nil {
		phase += " by " + plain(a.Marked.By)
	}
	expected := fmt.Sprintf("expected %s to %s", number(a.Lo), number(a.Hi))
	if math.IsNaN(a.Lo) && math.IsNaN(a.Hi) && !math.IsNaN(a.Limit) {
		expected = "limit " + number(a.Limit)
	}
	fmt.Fprintf(t.out, "%-12s  %-*s ALERT %s: %s, %s, score %s  %s\n",
		time.UnixMicro(a.Time).Format(clockFormat), t.width, a.Series, phase, number(a.Value), expected, score(a.Score), plain(a.Summary))
}

// plain is what others wrote, without what a terminal would obey or begin a line with.
func plain(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsGraphic(r) {
			return r
		}
		return utf8.RuneError
	}, text)
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
	out     *bufio.Writer
	enc     *json.Encoder
	columns []column
	line    []byte
}

func newLines(out io.Writer, columns []column) *lines {
	buffered := bufio.NewWriter(out)
	return &lines{out: buffered, enc: json.NewEncoder(buffered), columns: columns}
}

func (l *lines) expect(string) {}

// update prints the names of the live protocol's columns. What is unknown is null.
func (l *lines) update(u *telemetry.Update, received time.Time, snapshot bool) {
	kind := `{"type":"update"`
	if snapshot {
		kind = `{"type":"snapshot"`
	}
	line := l.line[:0]
	line = append(line, kind...)
	line = appendField(line, "series", u.Series)
	for i := range l.columns {
		line = appendField(line, l.columns[i].name, l.columns[i].value(u))
	}
	line = appendField(line, "received_ts", received.UnixMicro())
	line = append(line, "}\n"...)
	_, _ = l.out.Write(line)
	l.line = line
}

func (l *lines) left(series string) {
	l.encode(struct {
		Type   string `json:"type"`
		Series string `json:"series"`
	}{"left", series})
}

func (l *lines) resync(reason string) {
	l.encode(struct {
		Type   string `json:"type"`
		Reason string `json:"reason"`
	}{"resync", reason})
}

func (l *lines) alert(a *telemetry.Alert) {
	line := append([]byte(`{"type":"alert",`), wire.AppendAlertJSON(nil, a)[1:]...) // without its brace
	_, _ = l.out.Write(append(line, '\n'))
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
