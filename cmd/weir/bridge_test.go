package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var docBlock = regexp.MustCompile("(?ms)^```(\\w+)\n(.*?)^```$")

// blocks are those of a page in a language.
func blocks(t *testing.T, page, language string) (out []string) {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range docBlock.FindAllStringSubmatch(string(text), -1) {
		if m[1] == language {
			out = append(out, m[2])
		}
	}
	return out
}

// The page shows a file, and a session with it: what is shown of each file, and what each command answers.
func TestThePageOfBridgesShowsWhatHappens(t *testing.T) {
	const page = "../../docs/bridges.md"
	files, sessions := blocks(t, page, "yaml"), blocks(t, page, "console")
	if len(files) != 1 || len(sessions) != 1 {
		t.Fatalf("the page has %d files and %d sessions", len(files), len(sessions))
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "bridges.yaml"), []byte(files[0]), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	commands := 0
	for step := range strings.SplitSeq("\n"+sessions[0], "\n$ ") {
		command, shown, _ := strings.Cut(step, "\n")
		if name, ok := strings.CutPrefix(command, "cat "); ok {
			if err := os.WriteFile(name, []byte(shown), 0o600); err != nil {
				t.Fatal(err)
			}
			continue
		}
		args, ok := strings.CutPrefix(command, "weir ")
		if !ok {
			continue
		}
		commands++
		code, out, stderr := weir(t, strings.Fields(args)...)
		if code != exitOK || strings.TrimSpace(out) != strings.TrimSpace(shown) {
			t.Errorf("%s: exit code %d\n%s%s\nthe page shows\n%s", command, code, out, stderr, shown)
		}
	}
	if commands != 2 {
		t.Errorf("%d commands were run", commands)
	}
}

func TestFaultsOfBridgesAreLines(t *testing.T) {
	file := filepath.Join(t.TempDir(), "bridges.yaml")
	text := "bridges:\n  - name: a\n    topic: weir.messages\n    to: {room: plant1/ops}\n    type: x\n    filter: vale == 1\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, stderr := weir(t, "bridge", "validate", file)
	if code != exitFailed || strings.Count(out, "\n") != 2 || !strings.Contains(out, "bridges[0].filter (line 6): column 1: unknown variable vale") ||
		!strings.Contains(stderr, "has 2 faults") {
		t.Errorf("exit code %d, %s, %s", code, out, stderr)
	}
	if code, _, stderr := weir(t, "bridge", "dry-run", file, "b"); code != exitFailed || !strings.Contains(stderr, "faults") {
		t.Errorf("a dry run of a bad file: %d %s", code, stderr)
	}
	good := strings.Replace(strings.Replace(text, "weir.messages", "orders", 1), "vale", "value", 1)
	if err := os.WriteFile(file, []byte(good), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := weir(t, "bridge", "dry-run", file, "b"); code != exitFailed || !strings.Contains(stderr, `has no bridge "b"`) {
		t.Errorf("a bridge that is not there: %d %s", code, stderr)
	}
}
