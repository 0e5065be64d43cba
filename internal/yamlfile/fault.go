// Package yamlfile reads files of YAML that people declare things in: one document within a bound, without anchors. All that is
// wrong with a file is told at once, each fault with the path of the setting and its line.
package yamlfile

import (
	"errors"
	"fmt"
	"slices"
)

// Fault is something wrong with a file, and where: the path of the setting and its line, counted from 1. Line 0
// is unknown; an empty Path is the file as a whole.
type Fault struct {
	Path   string
	Line   int
	Reason string
	// Without is the path of a setting that this is wrong for want of; empty: of none.
	Without string
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
const maxFaults = 200

// Faults collects what is wrong with a file.
type Faults struct {
	List []*Fault
	More int // that are only counted, for List is full
}

// Add tells a fault, or counts it when there are as many as are told.
func (f *Faults) Add(one *Fault) {
	if f.Full() {
		f.More++
		return
	}
	f.List = append(f.List, one)
}

// Full reports whether no more faults are told, only counted.
func (f *Faults) Full() bool { return len(f.List) == maxFaults }

// Count is how many faults there are, told or not.
func (f *Faults) Count() int { return len(f.List) + f.More }

// Err joins the faults in the order of their lines; nil without any.
func (f *Faults) Err() error {
	if len(f.List) == 0 {
		return nil
	}
	slices.SortStableFunc(f.List, func(a, b *Fault) int { return a.Line - b.Line })
	errs := make([]error, 0, len(f.List)+1)
	for _, one := range f.List {
		errs = append(errs, one)
	}
	if f.More > 0 {
		errs = append(errs, fmt.Errorf("and %d more", f.More))
	}
	return errors.Join(errs...)
}
