package bridge

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"weir/internal/yamlfile"
)

// Fault is something wrong with a file, and where.
type Fault = yamlfile.Fault

// faults collects what is wrong with a file, in the order of its lines.
type faults struct{ yamlfile.Faults }

func (f *faults) at(path string, line int, format string, args ...any) {
	f.Add(&Fault{Path: path, Line: line, Reason: fmt.Sprintf(format, args...)})
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
		at := yamlfile.Join(path, yamlfile.Printable(key.Value))
		switch {
		case key.Kind != yaml.ScalarNode:
			f.at(path, key.Line, "a key must be a word")
		case seen[key.Value]:
			f.at(at, key.Line, "is given twice")
		case !slices.Contains(known, key.Value):
			f.at(at, key.Line, "%s", yamlfile.Unknown(key.Value, known))
		case !yamlfile.IsNull(value):
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
	d, err := yamlfile.Duration(text)
	switch {
	case err != nil:
		f.at(s.path, s.line, "%v", err)
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
