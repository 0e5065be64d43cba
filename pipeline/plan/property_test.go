package plan

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"weir/telemetry"
)

// genEntry makes entries out of few words, so that they meet; each line is one setting.
func genEntry() *rapid.Generator[[]string] {
	return rapid.Custom(func(t *rapid.T) []string {
		pattern := rapid.SampledFrom([]string{"#", "p/#", "p/+/t", "p/a/+", "+/a/t", "p/a/t", "p/a/#", "p/b/t", "+/+/u", "p/+/t.w.mean", "p/a/t.rate"})
		lines := []string{`match: ["` + strings.Join(rapid.SliceOfNDistinct(pattern, 1, 3, rapid.ID[string]).Draw(t, "match"), `", "`) + `"]`}
		settings := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"unit: m", "unit: s", "tags: {a: x}", "tags: {a: y, b: z}", "tags: {a: }", "tags: off",
			"validate: {min: 1}", "validate: {min: off, max: 9}", "validate: {max: 8}", "lateness: 1m", "lateness: 2m", "counter: true", "counter: false",
			"windows: [{name: w, size: 1m, functions: [mean]}]", "windows: [{name: w, size: 2m, functions: [max]}, {name: x, size: 1m, functions: [min]}]", "windows: off", "windows: []",
			"detector: off", "detector: on", "filter: value > 1", "filter: off"}), 1, 5, func(s string) string { key, _, _ := strings.Cut(s, ":"); return key })
		return append(lines, settings.Draw(t, "settings")...)
	})
}

func textOf(entries [][]string) string {
	var b strings.Builder
	b.WriteString("pipelines:\n")
	for _, e := range entries {
		b.WriteString("  - " + strings.Join(e, "\n    ") + "\n")
	}
	return b.String()
}

// reference lays entries over one another by hand.
type reference struct {
	unit, filter string
	tags         map[string]string
	minimum      float64
	maximum      float64
	lateness     time.Duration
	counter      bool
	windows      []string
	detector     bool
}

func (r *reference) apply(lines []string) {
	for _, line := range lines {
		key, value, _ := strings.Cut(line, ": ")
		switch {
		case key == "unit":
			r.unit = value
		case line == "tags: {a: x}":
			r.tags["a"] = "x"
		case line == "tags: {a: y, b: z}":
			r.tags["a"], r.tags["b"] = "y", "z"
		case line == "tags: {a: }":
			delete(r.tags, "a")
		case line == "tags: off":
			clear(r.tags)
		case line == "validate: {min: 1}":
			r.minimum = 1
		case line == "validate: {min: off, max: 9}":
			r.minimum, r.maximum = 0, 9
		case line == "validate: {max: 8}":
			r.maximum = 8
		case key == "lateness":
			r.lateness, _ = time.ParseDuration(value)
		case key == "counter":
			r.counter = value == "true"
		case line == "windows: off" || line == "windows: []":
			r.windows = nil
		case line == "windows: [{name: w, size: 1m, functions: [mean]}]":
			r.window("w", "mean")
		case key == "windows":
			r.window("w", "max")
			r.window("x", "min")
		case key == "detector":
			r.detector = value == "on"
		case line == "filter: off":
			r.filter = ""
		case key == "filter":
			r.filter = value
		}
	}
}

func (r *reference) window(name, fn string) {
	for i, w := range r.windows {
		if strings.HasPrefix(w, name+".") {
			r.windows[i] = name + "." + fn
			return
		}
	}
	r.windows = append(r.windows, name+"."+fn)
}

func refer(entries [][]string, series string, published bool) reference {
	r := reference{tags: map[string]string{}, detector: !published}
	for _, e := range entries {
		matched := false
		list := strings.TrimSuffix(strings.TrimPrefix(e[0], `match: ["`), `"]`)
		for text := range strings.SplitSeq(list, `", "`) {
			pattern, err := telemetry.ParsePattern(text)
			if err != nil {
				panic(err)
			}
			spelled := !strings.HasSuffix(text, "+") && !strings.HasSuffix(text, "#")
			matched = matched || pattern.Match(series) && (spelled || !published)
		}
		if matched {
			r.apply(e[1:])
		}
	}
	if published {
		r.counter, r.windows = false, nil
	}
	return r
}

// published by hand: is the series an output of the one before its last suffix?
func referPublished(entries [][]string, series string) bool {
	for _, suffix := range []string{"w.mean", "w.max", "x.min", "rate"} {
		base, ok := strings.CutSuffix(series, "."+suffix)
		if !ok {
			continue
		}
		r := refer(entries, base, false)
		if suffix == "rate" && r.counter || slices.Contains(r.windows, suffix) {
			return true
		}
	}
	return false
}

func TestTreatIsWhatTheEntriesSayOneAfterAnother(t *testing.T) {
	accepted := 0
	rapid.Check(t, func(t *rapid.T) {
		entries := rapid.SliceOfN(genEntry(), 1, 6).Draw(t, "entries")
		p, err := Parse([]byte(textOf(entries)))
		if err != nil {
			if !strings.Contains(err.Error(), "has no effect") {
				t.Fatal(err)
			}
			return
		}
		accepted++
		again := mustParseIn(t, textOf(entries))
		shared := map[string]*Treatment{}
		for _, series := range []string{"p/a/t", "p/b/t", "p/a/u", "q/a/t", "q/b/u", "p/t", "p/a/t.w.mean", "p/a/t.w.max", "p/a/t.rate", "p/b/t.rate", "p/a/t.x.min", "p/b/t.w.mean"} {
			got, published := p.Treat(series), referPublished(entries, series)
			if got.Published != published {
				t.Fatalf("%s published: %v, want %v", series, got.Published, published)
			}
			want := refer(entries, series, published)
			compare(t, series, got, &want)
			if other := again.Treat(series); !slices.Equal(other.spec.flatten(), got.spec.flatten()) || !slices.Equal(other.Entries, got.Entries) ||
				!maps.Equal(other.origins, got.origins) || !slices.Equal(other.outputs, got.outputs) {
				t.Fatalf("%s is treated differently by the same text", series)
			}
			key := fmt.Sprint(got.Published, got.Entries)
			if shared[key] != nil && shared[key] != got {
				t.Fatalf("%s does not share its treatment", series)
			}
			shared[key] = got
		}
		if p.Hash() != again.Hash() || string(p.Text()) != textOf(entries) {
			t.Fatal("the same text has another hash")
		}
	})
	if accepted == 0 {
		t.Fatal("no plan was accepted")
	}
}

func mustParseIn(t *rapid.T, text string) *Plan {
	p, err := Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func compare(t *rapid.T, series string, got *Treatment, want *reference) {
	t.Helper()
	low, high, filter := 0.0, 0.0, ""
	if got.spec.Validate.Min != nil {
		low = got.Checks.Min
	}
	if got.spec.Validate.Max != nil {
		high = got.Checks.Max
	}
	if got.Filter != nil {
		filter = got.Filter.String()
	}
	var windows []string
	for _, w := range got.Windows {
		windows = append(windows, w.Name()+"."+w.Functions()[0])
	}
	tags := got.Tags
	if tags == nil {
		tags = map[string]string{}
	}
	have := reference{got.Unit, filter, tags, low, high, got.Lateness, got.Counter, windows, got.Detect != nil}
	if !reflect.DeepEqual(have, *want) {
		t.Fatalf("%s: %+v, want %+v", series, have, *want)
	}
}

func TestPatternsMeetWhenAPathIsMatchedByBoth(t *testing.T) {
	words := []string{"a", "b", "_a"}
	var paths []string
	for _, x := range words {
		paths = append(paths, x)
		for _, y := range words {
			paths = append(paths, x+"/"+y)
			for _, z := range words {
				paths = append(paths, x+"/"+y+"/"+z)
			}
		}
	}
	gen := rapid.Custom(func(t *rapid.T) Pattern {
		segments := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "_a", "+"}), 0, 3).Draw(t, "segments")
		if len(segments) == 0 || len(segments) < 3 && rapid.Bool().Draw(t, "deep") {
			segments = append(segments, "#")
		}
		var p Pattern
		if err := p.UnmarshalText([]byte(strings.Join(segments, "/"))); err != nil {
			t.Fatal(err)
		}
		return p
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b := gen.Draw(t, "a"), gen.Draw(t, "b")
		want := slices.ContainsFunc(paths, func(path string) bool { return a.Match(path) && b.Match(path) })
		if got := (Patterns{a}).meet(Patterns{b}); got != want {
			t.Fatalf("%s and %s meet: %v, want %v", a, b, got, want)
		}
	})
}

func FuzzParseNeverPanicsNorTakesLong(f *testing.F) {
	f.Add([]byte(sample))
	files, err := filepath.Glob("testdata/faults/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := Parse(text)
		if err != nil {
			_ = err.Error()
			return
		}
		for _, series := range []string{"plant1/a/temperature", "plant1/_all/temperature", "x/y.1m.mean", "a"} {
			_ = p.Explain(series)
		}
	})
}

// The largest files that are possible, of the shapes that take longest to check.
func TestTheLargestFilesAreTakenOrRefused(t *testing.T) {
	var same, derived, templates strings.Builder
	same.WriteString("pipelines:\n")
	derived.WriteString("derived:\n")
	templates.WriteString("pipelines:\n")
	for i := range MaxEntries {
		fmt.Fprintf(&same, "  - {match: '+/+/x%d', unit: a, detector: {sensitivity: 2}, windows: [{size: 1m, functions: [mean, max]}], validate: {min: 1}, tags: {t%d: x}}\n", i, i)
		fmt.Fprintf(&derived, "  - {match: 'd%d/+/#', as: x, expr: a0 + a1 + a2 + y}\n", i)
		fmt.Fprintf(&templates, "  - {match: 'd/#', averages: [{as: '{metric}.%d'}]}\n", i)
	}
	var functions []string
	for i := range 16 {
		functions = append(functions, fmt.Sprintf("p%d", i+1))
	}
	var wide strings.Builder
	wide.WriteString("pipelines:\n")
	for i := range 300 {
		fmt.Fprintf(&wide, "  - match: '+/+/x%d'\n    windows:\n", i)
		for j := range 4 {
			fmt.Fprintf(&wide, "      - {size: %dm, functions: [%s]}\n", j+1, strings.Join(functions, ", "))
		}
	}
	for name, text := range map[string]string{
		"wide": wide.String(), "items": "pipelines:\n  - {match: '#', windows: [" + strings.Repeat("{size: 1m}, ", 80_000) + "]}",
		"keys": "pipelines:\n  - {match: '#', " + strings.Join(slices.Collect(func(yield func(string) bool) {
			for i := range 80_000 {
				if !yield(fmt.Sprintf("k%d: x", i)) {
					return
				}
			}
		}), ", ") + "}", "tags": "pipelines:\n  - {match: '#', tags: {" + strings.Repeat("a: x, ", 150_000) + "}}",
		"heads":     "pipelines:\n  - {match: '#', rules: [{name: a, kind: anomaly, heads: [" + strings.Repeat("x, ", 300_000) + "]}]}",
		"inhibited": "pipelines:\n  - {match: '#', rules: [{name: a, kind: anomaly, inhibited_by: [" + strings.Repeat("x, ", 300_000) + "]}]}",
		"deep":      strings.Repeat("[", 9000) + strings.Repeat("]", 9000),
		"same":      same.String(), "derived": derived.String(), "templates": templates.String()} {
		// Had it taken time with the square of the size, the test would not end.
		if _, err := Parse([]byte(text)); err != nil {
			t.Logf("%s: %d bytes, %.60v", name, len(text), err)
		}
	}
}

func BenchmarkTreat(b *testing.B) {
	p := mustParse(b, sample)
	series := make([]string, 1000)
	for i := range series {
		series[i] = fmt.Sprintf("plant1/line%d/temperature", i)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		p.Treat(series[i%len(series)])
	}
}
