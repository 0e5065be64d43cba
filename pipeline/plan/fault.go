package plan

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"weir/internal/joined"
	"weir/internal/yamlfile"
	"weir/pipeline/rule"
)

// Fault is something wrong with a file, and where.
type Fault = yamlfile.Fault

// faults collects what is wrong. Its order is that of the lines.
type faults struct {
	yamlfile.Faults
	lines map[string]int
	// spoilt are settings of which a fault says enough: whatever else seems to be wrong with them follows from that.
	// true: with all that is below them.
	spoilt map[string]bool
}

// at records a fault of the setting at path, unless it follows from one that was told. The line is that of the
// setting, or of what it stands in.
func (f *faults) at(path, format string, args ...any) {
	f.addUnspoilt(&Fault{Path: path, Reason: fmt.Sprintf(format, args...)})
}

func (f *faults) addUnspoilt(one *Fault) {
	if f.isSpoilt(one.Path) || one.Without != "" && f.isSpoilt(one.Without) {
		return
	}
	f.record(one)
}

// tell records a fault in any case.
func (f *faults) tell(path, format string, args ...any) {
	f.record(&Fault{Path: path, Reason: fmt.Sprintf(format, args...)})
}

func (f *faults) record(one *Fault) {
	one.Line = f.line(one.Path)
	f.Add(one)
}

// unread records why a setting could not be read: what stands in its place is not looked at.
func (f *faults) unread(path, format string, args ...any) {
	f.tell(path, format, args...)
	f.spoil(path, true)
}

func (f *faults) spoil(path string, below bool) {
	if f.spoilt == nil {
		f.spoilt = map[string]bool{}
	}
	f.spoilt[path] = below || f.spoilt[path]
}

func (f *faults) isSpoilt(path string) bool {
	if _, ok := f.spoilt[path]; ok {
		return true
	}
	for path != "" {
		if f.spoilt[path] {
			return true
		}
		path = parent(path)
	}
	return false
}

// clean reports whether no fault was told of the setting at path or what is below it.
func (f *faults) clean(path string) bool {
	return !slices.ContainsFunc(f.List, func(one *Fault) bool {
		rest, ok := strings.CutPrefix(one.Path, path)
		return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
	})
}

// parent is the path of what the setting stands in.
func parent(path string) string { return path[:max(strings.LastIndexAny(path, ".["), 0)] }

func (f *faults) line(path string) int {
	for path != "" {
		if line, ok := f.lines[path]; ok {
			return line
		}
		path = parent(path)
	}
	return 0
}

// of records what a sub-package says about its part: errors, joined or single, that begin with "field: ".
func (f *faults) of(path string, err error) {
	for _, one := range joined.All(err) {
		f.one(path, one)
	}
}

func (f *faults) one(path string, err error) {
	var of *rule.FieldError // whose field may be a key of labels, in any letters
	if errors.As(err, &of) {
		one := &Fault{Path: below(path, of.Field), Reason: of.Reason}
		if of.Without != "" {
			one.Without = below(path, of.Without)
		}
		f.addUnspoilt(one)
		return
	}
	text := err.Error()
	if field, reason, ok := strings.Cut(text, ": "); ok && isField(field) {
		path, text = below(path, field), reason
	}
	f.at(path, "%s", text)
}

// below is the path of a field that a sub-package names, which may begin with an index.
func below(path, field string) string {
	if strings.HasPrefix(field, "[") {
		return path + field
	}
	return yamlfile.Join(path, field)
}

// isField reports whether text is the path of a setting rather than the begin of a sentence.
func isField(text string) bool {
	return text != "" && !strings.ContainsFunc(text, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && !strings.ContainsRune("_.[]", r)
	})
}
