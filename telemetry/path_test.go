package telemetry

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestCheckDeviceNamesWhatIsWrong(t *testing.T) {
	for path, want := range map[string]string{
		"":                             CodePathEmpty,
		"plant1":                       "",
		"plant1/line3/press7":          "",
		"Werk Süd/Presse 7":            "",
		"plant1/press_7":               "",
		"/plant1":                      CodePathSegment,
		"plant1/":                      CodePathSegment,
		"plant1//press7":               CodePathSegment,
		"/":                            CodePathSegment,
		"plant1/+/press7":              CodePathWildcard,
		"plant1/#":                     CodePathWildcard,
		"plant1/a+b":                   CodePathWildcard,
		"_weir/x":                      CodePathReserved,
		"plant1/_all":                  CodePathReserved,
		"plant1/a\x00":                 CodePathChar,
		"plant1/a\x7f":                 CodePathChar,
		"plant1/\xff":                  CodePathChar,
		strings.Repeat("a", 255):       "",
		strings.Repeat("a", 256):       CodePathTooLong,
		strings.Repeat("a/", 14) + "a": "",
		strings.Repeat("a/", 15) + "a": CodePathTooDeep,
	} {
		if got := pathCode(CheckDevice(path)); got != want {
			t.Errorf("device %q: code %q, want %q", path, got, want)
		}
	}
}

func TestCheckMetricTakesOneSegment(t *testing.T) {
	for name, want := range map[string]string{
		"temperature": "", "": CodePathEmpty, "a/b": CodePathSegment, "_x": CodePathReserved, "+": CodePathWildcard,
	} {
		if got := pathCode(CheckMetric(name)); got != want {
			t.Errorf("metric %q: code %q, want %q", name, got, want)
		}
	}
}

func pathCode(err error) string {
	var e *PathError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &e):
		return e.Code
	}
	return "not a PathError: " + err.Error()
}

func TestSplitSeriesIsTheInverseOfSeries(t *testing.T) {
	device, metric, ok := SplitSeries(Series("plant1/line3/press7", "temperature"))
	if device != "plant1/line3/press7" || metric != "temperature" || !ok {
		t.Errorf("split to %q and %q, %v", device, metric, ok)
	}
	if device, metric, ok := SplitSeries("alone"); device != "" || metric != "alone" || ok {
		t.Errorf("a single segment split to %q and %q, %v", device, metric, ok)
	}
}

func FuzzCheckDevice(f *testing.F) {
	for _, seed := range []string{"", "plant1/line3", "_x", "a//b", "a/+/b", "\xff", "a\x00", strings.Repeat("a/", 20)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, path string) {
		if CheckDevice(path) != nil {
			return
		}
		segments := strings.Split(path, "/")
		if len(path) > MaxPathBytes || len(segments) >= MaxPathSegments || !utf8.ValidString(path) {
			t.Fatalf("accepted %q", path)
		}
		for _, s := range segments {
			if s == "" || s[0] == '_' || strings.ContainsAny(s, "+#") || strings.ContainsFunc(s, isControl) {
				t.Fatalf("accepted %q for its segment %q", path, s)
			}
		}
		p, err := ParsePattern(path)
		if err != nil || !p.Literal() || !p.Match(path) {
			t.Fatalf("device %q as a pattern: %v", path, err)
		}
	})
}
