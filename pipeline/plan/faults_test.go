package plan

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestEveryFaultIsToldWithItsPlace(t *testing.T) {
	files, err := filepath.Glob("testdata/faults/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no files", err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		_, err = Parse(text)
		if err == nil {
			t.Errorf("%s is accepted", name)
			continue
		}
		golden := strings.TrimSuffix(name, ".yaml") + ".txt"
		got := err.Error() + "\n"
		if *update {
			if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
		}
	}
}

func TestFilesThatAreTooLargeAreRefused(t *testing.T) {
	many := func(n int, line string) string { return "pipelines:\n" + strings.Repeat(line, n) }
	for text, want := range map[string]string{
		strings.Repeat("#", MaxBytes+1):                                                      "the file is larger than 1048576 bytes",
		many(1001, "  - {match: a/b, unit: x}\n"):                                            "there are 1001 pipelines",
		"pipelines:\n  - {match: [" + strings.Repeat("a/b, ", 1001) + "], unit: x}\n":        "there are 1001 patterns",
		"derived:\n  - {match: a, as: x, expr: '" + strings.Repeat("abcdefgh+", 150) + "x'}": "longer than 1024 bytes",
		strings.Repeat("[", 20000):                                                           "is not YAML",
		many(300, "  - {match: x/y, colour: red}\n"):                                         "and 100 more",
	} {
		_, err := Parse([]byte(text))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v, want %s", text, err, want)
		}
	}
	var entries []string
	for i := range MaxEntries {
		entries = append(entries, fmt.Sprintf("  - {match: a/b%d, unit: x}\n", i))
	}
	if _, err := Parse([]byte("pipelines:\n" + strings.Join(entries, ""))); err != nil {
		t.Errorf("%d entries are refused: %v", MaxEntries, err)
	}
}

func TestFaultsAreValues(t *testing.T) {
	_, err := Parse([]byte("pipelines:\n  - match: a/b\n    windws: []\n"))
	var fault *Fault
	if !errors.As(err, &fault) || fault.Path != "pipelines[0].windws" || fault.Line != 3 {
		t.Errorf("%+v", fault)
	}
	joined := err.(interface{ Unwrap() []error }).Unwrap()
	if slices.Contains(joined, nil) || len(joined) != 1 {
		t.Error(joined)
	}
}
