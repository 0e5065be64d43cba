package telemetry

import (
	"strings"
	"unicode/utf8"
)

// PathError says why a path or pattern was refused. Code is stable and part of the protocol.
type PathError struct {
	Code   string
	Reason string
}

func (e *PathError) Error() string { return e.Reason }

// Codes of PathError.
const (
	CodePathEmpty    = "path_empty"
	CodePathTooLong  = "path_too_long"
	CodePathTooDeep  = "path_too_deep"
	CodePathSegment  = "path_segment_empty"
	CodePathWildcard = "path_wildcard"
	CodePathReserved = "path_reserved"
	CodePathChar     = "path_character"
	CodePatternForm  = "pattern_malformed"
)

var (
	errPathEmpty    = &PathError{CodePathEmpty, "path is empty"}
	errPathTooLong  = &PathError{CodePathTooLong, "path is longer than 255 bytes"}
	errPathTooDeep  = &PathError{CodePathTooDeep, "path has more than 16 segments"}
	errPathSegment  = &PathError{CodePathSegment, "path has an empty segment"}
	errPathWildcard = &PathError{CodePathWildcard, "path holds a wildcard (+ or #), which only patterns may"}
	errPathReserved = &PathError{CodePathReserved, "path has a segment beginning with _, which is reserved for Weir"}
	errPathChar     = &PathError{CodePathChar, "path holds a control character, U+FFFD, or is not valid UTF-8"}
	errPatternForm  = &PathError{CodePatternForm, "pattern: + must be a whole segment and # a whole last segment"}
)

// Series is the path of a metric of a device.
func Series(device, metric string) string { return device + "/" + metric }

// SplitSeries is the inverse of Series: the device is all but the last segment. ok is false when the
// path has a single segment.
func SplitSeries(series string) (device, metric string, ok bool) {
	i := strings.LastIndexByte(series, '/')
	if i < 0 {
		return "", series, false
	}
	return series[:i], series[i+1:], true
}

// CheckDevice reports whether a device may use path as its own.
func CheckDevice(path string) error { return checkPath(path) }

// CheckMetric reports whether name may be the metric of a device: one segment that a device path could
// hold.
func CheckMetric(name string) error {
	if strings.IndexByte(name, '/') >= 0 {
		return errPathSegment
	}
	return checkPath(name)
}

// badRune reports whether text, which is valid UTF-8, begins with a control character of Unicode's second block,
// or with U+FFFD, which stands for what some encoder could not read: different names would become one.
func badRune(text string) bool {
	r, _ := utf8.DecodeRuneInString(text)
	return r < 0xa0 || r == utf8.RuneError
}

func checkPath(path string) error {
	if path == "" {
		return errPathEmpty
	}
	if len(path) > MaxPathBytes {
		return errPathTooLong
	}
	if !utf8.ValidString(path) {
		return errPathChar
	}
	segments, start := 1, true
	for i := 0; i < len(path); i++ {
		c := path[i]
		switch {
		case c == '/':
			if start {
				return errPathSegment
			}
			segments++
			start = true
			continue
		case c == '+' || c == '#':
			return errPathWildcard
		case c == '_' && start:
			return errPathReserved
		case c < 0x20 || c == 0x7f || utf8.RuneStart(c) && c >= utf8.RuneSelf && badRune(path[i:]):
			return errPathChar
		}
		start = false
	}
	if start {
		return errPathSegment
	}
	// One segment is left for the metric.
	if segments >= MaxPathSegments {
		return errPathTooDeep
	}
	return nil
}
