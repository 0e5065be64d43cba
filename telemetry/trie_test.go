package telemetry

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// pair is what a naive trie holds: a list.
type pair struct {
	pattern string
	value   int
}

func TestTrieMatchesAsItsPatternsDoThroughAnyChanges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var trie Trie[int]
		held := map[pair]Pattern{}
		for range rapid.IntRange(1, 30).Draw(t, "changes") {
			p, v := drawPattern(t), rapid.IntRange(0, 3).Draw(t, "value")
			if rapid.IntRange(0, 2).Draw(t, "remove") == 0 {
				trie.Remove(p, v)
				delete(held, pair{p.String(), v})
			} else {
				trie.Add(p, v)
				held[pair{p.String(), v}] = p
			}
			if trie.Len() != len(held) {
				t.Fatalf("holds %d, want %d", trie.Len(), len(held))
			}
			path := drawPath(t)
			var want []int
			for pair, p := range held {
				if p.Match(path) {
					want = append(want, pair.value)
				}
			}
			got := trie.Match(path, nil)
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Fatalf("%s matches %v, want %v", path, got, want)
			}
		}
		for pair, p := range held {
			trie.Remove(p, pair.value)
		}
		if trie.Len() != 0 || !trie.root.empty() {
			t.Fatalf("%d left, empty: %v", trie.Len(), trie.root.empty())
		}
	})
}

func TestTrieAppendsToWhatIsGiven(t *testing.T) {
	var trie Trie[string]
	p, _ := ParsePattern("a/#")
	trie.Add(p, "x")
	if got := trie.Match("a/b", []string{"before"}); !slices.Equal(got, []string{"before", "x"}) {
		t.Errorf("matched %v", got)
	}
}

// BenchmarkTrieMatch looks up 100,000 series among 10,000 patterns, of which some three select
// each.
func BenchmarkTrieMatch(b *testing.B) {
	const patterns, series = 10_000, 100_000
	var trie Trie[int]
	for i := range patterns {
		var text string
		switch line, press := i/5%100, i/500; i % 5 {
		case 0:
			text = fmt.Sprintf("plant%d/line%d/#", press, line)
		case 1:
			text = fmt.Sprintf("plant%d/line%d/press%d/temperature", press, line, line%10)
		case 2:
			text = fmt.Sprintf("plant%d/+/press%d/temperature", press, line)
		case 3:
			text = fmt.Sprintf("+/line%d/press%d/+", line, press)
		case 4:
			text = fmt.Sprintf("plant%d/line%d/+/temperature", press, line)
		}
		p, err := ParsePattern(text)
		if err != nil {
			b.Fatal(err)
		}
		trie.Add(p, i)
	}
	paths := make([]string, series)
	for i := range paths {
		paths[i] = fmt.Sprintf("plant%d/line%d/press%d/temperature", i%20, i/20%100, i/2000)
	}
	var dst []int
	matches, i := 0, 0
	b.ReportAllocs()
	for b.Loop() {
		dst = trie.Match(paths[i%series], dst[:0])
		matches += len(dst)
		i++
	}
	b.ReportMetric(float64(matches)/float64(b.N), "matches/op")
}
