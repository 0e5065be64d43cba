package plan

import (
	"strings"

	"weir/telemetry"
)

// Pattern is a pattern of series, or of devices, as a file gives it.
type Pattern struct {
	telemetry.Pattern
	segments []string
}

// Patterns are one pattern or a list of them.
type Patterns []Pattern

// UnmarshalText checks a pattern.
func (p *Pattern) UnmarshalText(text []byte) error {
	parsed, err := telemetry.ParsePattern(string(text))
	if err != nil {
		return err
	}
	*p = Pattern{parsed, strings.Split(string(text), "/")}
	return nil
}

// MarshalText writes the pattern as it was given.
func (p Pattern) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// spelled reports whether the pattern names the metric rather than taking any.
func (p *Pattern) spelled() bool {
	last := p.segments[len(p.segments)-1]
	return last != "+" && last != "#"
}

// wild visits the segments of path that wildcards of p stand for; path is one that p matches. plus is the
// wildcard's number, from 1, and 0 for segments under "#".
func (p *Pattern) wild(path string, visit func(plus int, segment string)) {
	plus, rest := 0, path
	for _, s := range p.segments {
		if s == "#" {
			for segment := range strings.SplitSeq(rest, "/") {
				if segment != "" {
					visit(0, segment)
				}
			}
			return
		}
		var segment string
		segment, rest, _ = strings.Cut(rest, "/")
		if s == "+" {
			plus++
			visit(plus, segment)
		}
	}
}

// count is the number of "+" in the pattern.
func (p *Pattern) count() int {
	n := 0
	for _, s := range p.segments {
		if s == "+" {
			n++
		}
	}
	return n
}

// covers reports whether every path that any of q selects is selected by one of p.
func (p Patterns) covers(q Patterns) bool {
	for _, other := range q {
		covered := false
		for _, pattern := range p {
			if pattern.Covers(other.Pattern) {
				covered = true
				break
			}
		}
		if !covered {
			return false
		}
	}
	return true
}

// meet reports whether some path of series is selected by one of p and one of q.
func (p Patterns) meet(q Patterns) bool {
	for _, a := range p {
		for _, b := range q {
			if meet(a.segments, b.segments, anySegment) {
				return true
			}
		}
	}
	return false
}

// taking says which segments a wildcard takes.
type taking func(segment string, first bool) bool

// anySegment is MQTT's rule: no wildcard takes a reserved first segment.
func anySegment(segment string, first bool) bool { return !first || !reserved(segment) }

// noReserved is the rule of groups: no wildcard takes a reserved segment.
func noReserved(segment string, _ bool) bool { return !reserved(segment) }

func reserved(segment string) bool { return strings.HasPrefix(segment, "_") }

// meet reports whether some path is selected by both. "#" may stand in the middle, too. takes is the rule for
// wildcards of a; those of b take what MQTT lets them.
func meet(a, b []string, takes taking) bool { return meetFrom(a, b, true, takes) }

func meetFrom(a, b []string, first bool, takes taking) bool {
	switch {
	case len(a) == 0 && len(b) == 0:
		return true
	case len(a) > 0 && a[0] == "#":
		if meetFrom(a[1:], b, first, takes) {
			return true
		}
		return len(b) > 0 && (wildcard(b[0]) || takes(b[0], first)) && meetFrom(a, b[1:], first && b[0] == "#", takes)
	case len(b) > 0 && b[0] == "#":
		if meetFrom(a, b[1:], first, takes) {
			return true
		}
		return len(a) > 0 && (wildcard(a[0]) || anySegment(a[0], first)) && meetFrom(a[1:], b, false, takes)
	case len(a) == 0 || len(b) == 0:
		return false
	case a[0] == "+":
		return (wildcard(b[0]) || takes(b[0], first)) && meetFrom(a[1:], b[1:], false, takes)
	case b[0] == "+":
		return anySegment(a[0], first) && meetFrom(a[1:], b[1:], false, takes)
	}
	return a[0] == b[0] && meetFrom(a[1:], b[1:], false, takes)
}

func wildcard(segment string) bool { return segment == "+" || segment == "#" }
