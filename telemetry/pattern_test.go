package telemetry

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestPatternFollowsMQTT(t *testing.T) {
	for _, c := range []struct {
		pattern, path string
		want          bool
	}{
		{"plant1/a/temperature", "plant1/a/temperature", true},
		{"plant1/a/temperature", "plant1/a", false},
		{"plant1/a", "plant1/a/temperature", false},
		{"plant1/+/temperature", "plant1/a/temperature", true},
		{"plant1/+/temperature", "plant1/a/b/temperature", false},
		{"plant1/+", "plant1", false},
		{"+", "plant1", true},
		{"+/+", "plant1", false},
		{"#", "plant1/a/b", true},
		{"plant1/#", "plant1", true},
		{"plant1/#", "plant1/a/b", true},
		{"plant1/#", "plant10/a", false},
		{"+/#", "plant1", true},
		{"plant1/+/#", "plant1", false},
		{"#", "_weir/load", false},
		{"+/load", "_weir/load", false},
		{"_weir/#", "_weir/load", true},
		{"plant1/+/load", "plant1/_all/load", true},
		{"plant1/#", "plant1/_all/load", true},
	} {
		p, err := ParsePattern(c.pattern)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Match(c.path); got != c.want {
			t.Errorf("%s matches %s: %v, want %v", c.pattern, c.path, got, c.want)
		}
	}
}

func TestParsePatternNamesWhatIsWrong(t *testing.T) {
	for text, want := range map[string]string{
		"": CodePathEmpty, "a//b": CodePathSegment, "a/#/b": CodePatternForm, "a/b+": CodePatternForm,
		"a/b#": CodePatternForm, "##": CodePatternForm, "a\x01": CodePathChar, "\xff/#": CodePathChar,
		strings.Repeat("a", 256): CodePathTooLong, strings.Repeat("a/", 16) + "#": CodePathTooDeep,
		strings.Repeat("a/", 15) + "#": "", "+/+/#": "", "_weir/#": "",
	} {
		if _, err := ParsePattern(text); pathCode(err) != want {
			t.Errorf("pattern %q: %v, want code %q", text, err, want)
		}
	}
}

// naiveMatch is the MQTT specification read aloud: an oracle.
func naiveMatch(pattern, path []string) bool {
	switch {
	case len(pattern) == 1 && pattern[0] == "#":
		return true
	case len(pattern) == 0 || len(path) == 0:
		return len(pattern) == len(path)
	}
	return (pattern[0] == "+" || pattern[0] == path[0]) && naiveMatch(pattern[1:], path[1:])
}

func oracle(pattern, path string) bool {
	if strings.HasPrefix(path, "_") && (pattern[0] == '+' || pattern[0] == '#') {
		return false
	}
	return naiveMatch(strings.Split(pattern, "/"), strings.Split(path, "/"))
}

// drawPath and drawPattern use few segments, so that they often meet.
func drawPath(t *rapid.T) string {
	return strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "ab", "_x"}), 1, 4).Draw(t, "path"), "/")
}

func drawPattern(t *rapid.T) Pattern {
	segments := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "ab", "_x", "+"}), 0, 4).Draw(t, "segments")
	if len(segments) == 0 || rapid.Bool().Draw(t, "all below") {
		segments = append(segments, "#")
	}
	p, err := ParsePattern(strings.Join(segments, "/"))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPatternMatchesAsTheOracle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, path := drawPattern(t), drawPath(t)
		if got, want := p.Match(path), oracle(p.String(), path); got != want {
			t.Fatalf("%s matches %s: %v, want %v", p, path, got, want)
		}
	})
}

func FuzzParsePattern(f *testing.F) {
	for _, seed := range []string{"", "a/+/#", "#", "a/#/b", "a+", "_x/+", "\xff", "a//b"} {
		f.Add(seed, "a/b")
	}
	f.Fuzz(func(t *testing.T, text, path string) {
		p, err := ParsePattern(text)
		if err != nil {
			if pathCode(err) == "" {
				t.Fatalf("error of another kind: %v", err)
			}
			return
		}
		if p.String() != text {
			t.Fatalf("%q became %q", text, p)
		}
		want := oracle(text, path)
		if got := p.Match(path); got != want {
			t.Fatalf("%q matches %q: %v, want %v", text, path, got, want)
		}
		var trie Trie[int]
		trie.Add(p, 1)
		if got := len(trie.Match(path, nil)) == 1; got != want {
			t.Fatalf("trie with %q matches %q: %v, want %v", text, path, got, want)
		}
		trie.Remove(p, 1)
		if trie.Len() != 0 || !trie.root.empty() {
			t.Fatalf("removing %q leaves something", text)
		}
	})
}
