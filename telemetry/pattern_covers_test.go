package telemetry

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestCovers(t *testing.T) {
	for _, c := range []struct {
		p, other string
		want     bool
	}{
		{"#", "a/b", true},
		{"#", "+/b", true},
		{"#", "#", true},
		{"#", "_weir/x", false},
		{"a/#", "a", true},
		{"a/#", "a/#", true},
		{"a/#", "a/+/c", true},
		{"a/#", "#", false},
		{"a/+", "a/#", false},
		{"a/+", "a/+", true},
		{"a/+", "a/b", true},
		{"a/b", "a/+", false},
		{"a/+/c", "a/b/c", true},
		{"+/b", "_x/b", false},
		{"a/b", "a", false},
		{"a", "a/b", false},
		{"a/b/#", "a/b", true},
	} {
		if got := pattern(t, c.p).Covers(pattern(t, c.other)); got != c.want {
			t.Errorf("%s covers %s: %v", c.p, c.other, got)
		}
	}
}

func pattern(t interface{ Fatal(...any) }, text string) Pattern {
	p, err := ParsePattern(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// What a covered pattern selects, the covering one selects.
func TestCoversAgreesWithMatch(t *testing.T) {
	segment := rapid.SampledFrom([]string{"a", "b", "_c", "+"})
	patterns := rapid.Custom(func(t *rapid.T) string {
		s := rapid.SliceOfN(segment, 1, 4).Draw(t, "segments")
		if rapid.Bool().Draw(t, "hash") {
			s[len(s)-1] = "#"
		}
		return strings.Join(s, "/")
	})
	paths := rapid.Map(rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "_c", "d"}), 1, 5), func(s []string) string { return strings.Join(s, "/") })
	rapid.Check(t, func(t *rapid.T) {
		p, other := pattern(t, patterns.Draw(t, "p")), pattern(t, patterns.Draw(t, "other"))
		path := paths.Draw(t, "path")
		if p.Covers(other) && other.Match(path) && !p.Match(path) {
			t.Fatalf("%s covers %s, which matches %s", p, other, path)
		}
	})
}
