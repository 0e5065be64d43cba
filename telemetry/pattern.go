package telemetry

import (
	"strings"
	"unicode/utf8"
)

// Pattern selects series by MQTT's rules: "+" stands for one segment, a last "#" for any number of
// segments including none, so that plant1/# matches plant1 too. As in MQTT, a wildcard in the first
// segment does not match a first segment that begins with "_" (Weir's own).
type Pattern struct {
	text     string
	segments []string
}

// ParsePattern checks and splits a pattern.
func ParsePattern(text string) (Pattern, error) {
	if text == "" {
		return Pattern{}, errPathEmpty
	}
	if len(text) > MaxPathBytes {
		return Pattern{}, errPathTooLong
	}
	if !utf8.ValidString(text) || strings.ContainsFunc(text, isControl) {
		return Pattern{}, errPathChar
	}
	segments := strings.Split(text, "/")
	if len(segments) > MaxPathSegments {
		return Pattern{}, errPathTooDeep
	}
	for i, s := range segments {
		switch {
		case s == "":
			return Pattern{}, errPathSegment
		case s == "+":
		case s == "#":
			if i != len(segments)-1 {
				return Pattern{}, errPatternForm
			}
		case strings.ContainsAny(s, "+#"):
			return Pattern{}, errPatternForm
		}
	}
	return Pattern{text: text, segments: segments}, nil
}

// isControl reports whether no path holds r.
func isControl(r rune) bool { return r < 0x20 || r == 0x7f }

// String is the pattern as it was written.
func (p Pattern) String() string { return p.text }

// Literal reports whether the pattern has no wildcard, so that it matches one path only.
func (p Pattern) Literal() bool { return !strings.ContainsAny(p.text, "+#") }

// Match reports whether the pattern selects path.
func (p Pattern) Match(path string) bool {
	reserved := strings.HasPrefix(path, "_")
	rest, more := path, true
	for i, s := range p.segments {
		if s == "#" {
			return i > 0 || !reserved
		}
		if !more {
			return false
		}
		var segment string
		segment, rest, more = strings.Cut(rest, "/")
		if s == "+" {
			if i == 0 && reserved {
				return false
			}
			continue
		}
		if s != segment {
			return false
		}
	}
	return !more
}

// Covers reports whether every path that other selects is selected by p, too.
func (p Pattern) Covers(other Pattern) bool {
	for i, s := range p.segments {
		if s == "#" {
			return i > 0 || !strings.HasPrefix(other.text, "_")
		}
		if i >= len(other.segments) {
			return false
		}
		o := other.segments[i]
		switch {
		case o == "#":
			return false
		case s == "+":
			if i == 0 && strings.HasPrefix(o, "_") {
				return false
			}
		case s != o:
			return false
		}
	}
	return len(p.segments) == len(other.segments)
}
