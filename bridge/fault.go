package bridge

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Fault is something wrong with a file, and where: the path of the setting and its line, counted from 1. Line 0 is unknown;
// an empty Path is the file as a whole.
type Fault struct {
	Path   string
	Line   int
	Reason string
}

func (f *Fault) Error() string {
	switch {
	case f.Path == "" && f.Line == 0:
		return f.Reason
	case f.Path == "":
		return fmt.Sprintf("line %d: %s", f.Line, f.Reason)
	case f.Line == 0:
		return fmt.Sprintf("%s: %s", f.Path, f.Reason)
	}
	return fmt.Sprintf("%s (line %d): %s", f.Path, f.Line, f.Reason)
}

// maxFaults bounds what is told of one file.
const maxFaults = 100

// faults collects what is wrong with a file, in the order of its lines.
type faults struct {
	list []*Fault
	more int
}

func (f *faults) at(path string, line int, format string, args ...any) {
	if len(f.list) == maxFaults {
		f.more++
		return
	}
	f.list = append(f.list, &Fault{Path: path, Line: line, Reason: fmt.Sprintf(format, args...)})
}

func (f *faults) err() error {
	slices.SortStableFunc(f.list, func(a, b *Fault) int { return a.Line - b.Line })
	errs := make([]error, 0, len(f.list)+1)
	for _, one := range f.list {
		errs = append(errs, one)
	}
	if f.more > 0 {
		errs = append(errs, fmt.Errorf("and %d more", f.more))
	}
	return errors.Join(errs...)
}

// setting is a key of a section with what it holds.
type setting struct {
	path  string
	line  int
	value *yaml.Node
}

// section reads a mapping whose keys must be among the known ones. What has no value is left out.
func (f *faults) section(n *yaml.Node, path string, known ...string) map[string]setting {
	if n.Kind != yaml.MappingNode {
		f.at(path, n.Line, "must be a section of keys and values")
		return nil
	}
	out := make(map[string]setting)
	seen := make(map[string]bool)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		at := join(path, printable(key.Value))
		switch {
		case key.Kind != yaml.ScalarNode:
			f.at(path, key.Line, "a key must be a word")
		case seen[key.Value]:
			f.at(at, key.Line, "is given twice")
		case !slices.Contains(known, key.Value):
			f.at(at, key.Line, "unknown key; there are: %s", strings.Join(known, ", "))
		case !isNull(value):
			out[key.Value] = setting{path: at, line: key.Line, value: value}
		}
		seen[key.Value] = true
	}
	return out
}

// text is a single value as it is written; "" without one.
func (f *faults) text(s setting) string {
	if s.value == nil {
		return ""
	}
	if s.value.Kind != yaml.ScalarNode {
		f.at(s.path, s.line, "must be a single value")
		return ""
	}
	return s.value.Value
}

func (f *faults) truth(s setting) bool {
	switch text := f.text(s); text {
	case "true":
		return true
	case "false", "":
	default:
		f.at(s.path, s.line, "must be true or false, is %.40q", text)
	}
	return false
}

// duration is at least a millisecond and at most most; 0 without one.
func (f *faults) duration(s setting, most time.Duration) time.Duration {
	text := f.text(s)
	if text == "" {
		return 0
	}
	d, err := time.ParseDuration(text)
	switch {
	case err != nil:
		f.at(s.path, s.line, "must be a duration such as 30s, 5m or 1h, is %.40q", text)
	case d < time.Millisecond || d > most:
		f.at(s.path, s.line, "must be between 1ms and %s, is %s", most, d)
	}
	return d
}

// oneOf is a word of several; the first without one.
func (f *faults) oneOf(s setting, words ...string) string {
	text := f.text(s)
	if text == "" {
		return words[0]
	}
	if !slices.Contains(words, text) {
		f.at(s.path, s.line, "must be one of %s, is %.40q", strings.Join(words, ", "), text)
	}
	return text
}

// readYAML returns the root of the file, or nil when it says nothing or cannot be read.
func (f *faults) readYAML(text []byte) *yaml.Node {
	if len(text) > MaxBytes {
		f.at("", 0, "the file is larger than %d bytes", MaxBytes)
		return nil
	}
	var document, second yaml.Node
	in := yaml.NewDecoder(strings.NewReader(string(text)))
	if err := in.Decode(&document); err != nil {
		f.syntax(err)
		return nil
	}
	if err := in.Decode(&second); err == nil {
		f.at("", second.Line, "a second document is not possible")
	} else {
		f.syntax(err)
	}
	if len(f.list) > 0 || f.aliases(&document) || len(document.Content) == 0 || isNull(document.Content[0]) {
		return nil
	}
	return document.Content[0]
}

var syntaxLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?(?s:(.*))$`)

// syntax tells what is wrong with the YAML. That there is no more of it is right.
func (f *faults) syntax(err error) {
	if errors.Is(err, io.EOF) {
		return
	}
	line, reason := 0, err.Error()
	if m := syntaxLine.FindStringSubmatch(reason); m != nil {
		line, _ = strconv.Atoi(m[1])
		reason = m[2]
	}
	f.at("", line, "is not YAML: %s", reason)
}

// aliases keeps out files that say in a few lines what takes memory without bound.
func (f *faults) aliases(n *yaml.Node) bool {
	if n.Kind == yaml.AliasNode || n.Anchor != "" || n.Tag == "!!merge" {
		f.at("", n.Line, "anchors, aliases and << are not possible")
		return true
	}
	return slices.ContainsFunc(n.Content, f.aliases)
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// printable is a key as messages show it.
func printable(key string) string {
	if len(key) > 64 || strings.ContainsFunc(key, func(r rune) bool { return r < ' ' }) {
		return fmt.Sprintf("%.70q", key)
	}
	return key
}
