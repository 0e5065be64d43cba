package spelling

import (
	"strings"
	"testing"
)

func TestTheNameThatWasMeantIsFound(t *testing.T) {
	names := []string{"clear_above", "above", "below", "for"}
	for word, want := range map[string]string{
		"above":                   "above",
		"abvoe":                   "above",
		"abov":                    "above",
		"belwo":                   "below",
		"clear-above":             "clear_above",
		"fro":                     "for",
		"threshold":               "",
		"":                        "",
		strings.Repeat("x", 1000): "",
	} {
		if got := Near(word, names); got != want {
			t.Errorf("%.20q: %q, want %q", word, got, want)
		}
	}
}

func TestOfEquallyNearNamesTheFirstIsTaken(t *testing.T) {
	for _, names := range [][]string{{"bat", "cat"}, {"cat", "bat"}} {
		if got := Near("hat", names); got != names[0] {
			t.Errorf("%v: %q", names, got)
		}
	}
}
