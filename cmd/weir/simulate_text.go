package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"weir/sim"
)

// simulateLine makes the progress line of simulate; it remembers the counts of the line before for the
// rate.
type simulateLine struct {
	start  time.Time
	at     time.Time
	before int64
}

func (l *simulateLine) text(now time.Time, c sim.Counts) string {
	since := l.at
	if since.IsZero() {
		since = l.start
	}
	rate := 0.0
	if seconds := now.Sub(since).Seconds(); seconds > 0 {
		rate = float64(c.Receipted()-l.before) / seconds
	}
	l.at, l.before = now, c.Receipted()
	text := fmt.Sprintf("%6s  sent %s  receipted %s  %s/s  rejected %s  reconnects %s",
		now.Sub(l.start).Round(time.Second), grouped(c.Sent), grouped(c.Receipted()), grouped(int64(rate+0.5)),
		grouped(c.Rejected), grouped(c.Reconnects))
	if c.Connected < c.Running {
		text += fmt.Sprintf("  connected %d of %d", c.Connected, c.Running)
	}
	if c.Problem != nil {
		text += "  trying again: " + c.Problem.Error()
	}
	return text
}

// summary is what simulate has done, for the end.
func summary(c sim.Counts, took time.Duration) string {
	var b strings.Builder
	fmt.Fprintf(&b, "sent %s readings in %s frames in %v: %s accepted",
		grouped(c.Sent), grouped(c.Frames), took.Round(time.Second/10), grouped(c.Accepted))
	part := func(n int64, what string) {
		if n > 0 {
			fmt.Fprintf(&b, ", %s %s", grouped(n), what)
		}
	}
	part(c.Duplicate, "duplicate")
	part(c.Late, "late")
	part(c.Rejected, "rejected"+codes(c.Codes))
	part(c.Unsure, "without a receipt")
	part(c.Skipped, "never sent because the server was away or too slow")
	part(c.Resent, "frames resent")
	return b.String()
}

// codes lists rejections by code, the most frequent first.
func codes(counts map[string]int64) string {
	type entry struct {
		code string
		n    int64
	}
	var list []entry
	for code, n := range counts {
		list = append(list, entry{code, n})
	}
	slices.SortFunc(list, func(a, b entry) int {
		if a.n != b.n {
			return int(b.n - a.n)
		}
		return strings.Compare(a.code, b.code)
	})
	var parts []string
	for _, e := range list {
		parts = append(parts, fmt.Sprintf("%s %s", e.code, grouped(e.n)))
	}
	if len(parts) == 0 {
		return ""
	}
	return " (" + strings.Join(parts, ", ") + ")"
}

// grouped writes n with a comma between thousands.
func grouped(n int64) string {
	digits := fmt.Sprint(n)
	sign := ""
	if n < 0 {
		sign, digits = "-", digits[1:]
	}
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return sign + digits
}
