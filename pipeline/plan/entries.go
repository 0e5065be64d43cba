package plan

import (
	"hash/maphash"
	"maps"
	"reflect"
	"slices"
	"strings"

	"weir/internal/yamlfile"
)

// checkEntries checks each entry of pipelines by itself.
func (p *Plan) checkEntries(f *faults) {
	names := map[string]string{}
	seed := maphash.MakeSeed()
	for _, e := range p.entries {
		checkMatch(e.path, e.spec.Match, f)
		for i, pattern := range e.spec.Match {
			if len(pattern.segments) == 1 && pattern.segments[0] != "#" {
				f.at(yamlfile.Index(e.path+".match", i), "matches nothing: a series is a device and a metric, such as %s/temperature", pattern)
			}
		}
		if !checkName(e.spec.Name) {
			f.at(e.path+".name", "must be at most %d bytes without control characters", maxNameBytes)
		}
		if other, ok := names[e.name]; ok {
			f.at(e.path+".name", "%s is called %s, too", other, e.name)
		}
		names[e.name] = e.path
		e.settings(seed)
		alone := &faults{lines: map[string]int{}}
		new(Treatment).compile(&e.spec.Settings, &p.detectors, alone)
		for _, fault := range alone.List {
			fault.Path = yamlfile.Join(e.path, fault.Path)
			if fault.Without != "" {
				fault.Without = yamlfile.Join(e.path, fault.Without)
			}
			f.addUnspoilt(fault)
		}
	}
}

// checkMatch refuses an empty list and patterns that are there twice.
func checkMatch(path string, match Patterns, f *faults) {
	if len(match) == 0 {
		f.at(path+".match", "is missing: the patterns that it is for")
	}
	seen := map[string]bool{}
	for i, pattern := range match {
		if pattern.String() == "" {
			continue // it was told why
		}
		if seen[pattern.String()] {
			f.at(yamlfile.Index(path+".match", i), "%s is there twice", pattern)
		}
		seen[pattern.String()] = true
	}
}

// settings finds out what the entry sets.
func (e *entry) settings(seed maphash.Seed) {
	unheard := &faults{lines: map[string]int{}}
	d := decoder{faults: unheard, fresh: freshOf, set: func(name string, off bool) {
		if name == "name" || strings.HasPrefix(name, "match") {
			return
		}
		e.mask |= 1 << (maphash.String(seed, name) % 64)
		if off {
			e.offs = append(e.offs, name)
		}
		e.sets = append(e.sets, name)
	}}
	over := entrySpec{Settings: defaults()}
	d.into(e.node, reflect.ValueOf(&over).Elem(), "", "")
	slices.Sort(e.sets)
	e.sets = slices.Compact(e.sets)
}

// overrides reports whether e sets everything that earlier does, or empties it.
func (e *entry) overrides(earlier *entry) bool {
	if len(e.offs) == 0 && earlier.mask&^e.mask != 0 {
		return false
	}
	for _, name := range earlier.sets {
		if _, ok := slices.BinarySearch(e.sets, name); ok {
			continue
		}
		if !slices.ContainsFunc(e.offs, func(off string) bool { return strings.HasPrefix(name, off+".") }) {
			return false
		}
	}
	return true
}

// checkTogether checks what takes more than one entry to be wrong.
// groups: none of them was left out.
func (p *Plan) checkTogether(groups bool, f *faults) {
	before := len(f.List)
	for i, e := range p.entries {
		if len(e.sets) == 0 {
			f.at(e.path, "sets nothing")
			continue
		}
		for _, later := range p.entries[i+1:] {
			if later.overrides(e) && later.spec.Match.covers(e.spec.Match) {
				f.at(e.path, "has no effect: %s comes later, matches all that it does, and sets the same", later.label())
				break
			}
		}
		p.checkRange(i, f)
		if groups {
			p.checkReserved(e, f)
		}
	}
	p.findTemplates(f)
	if len(f.List) == before { // or it would tell the same again
		p.checkPairs(f)
	}
	p.checkNames(f)
	p.checkCycles(f)
}

// label is how messages name the entry.
func (e *entry) label() string {
	if e.spec.Name == "" {
		return e.path
	}
	return e.path + " (" + e.spec.Name + ")"
}

// checkRange finds later entries whose one bound does not go with the other one of this entry.
func (p *Plan) checkRange(i int, f *faults) {
	a := &p.entries[i].spec.Validate
	for _, later := range p.entries[i+1:] {
		b := &later.spec.Validate
		low, high := a.Min, b.Max
		if b.Min != nil {
			low = b.Min
		}
		if high == nil {
			high = a.Max
		}
		crossed := low != nil && high != nil && *low > *high && (a.Min != nil || a.Max != nil) && (b.Min != nil || b.Max != nil)
		if crossed && p.entries[i].spec.Match.meet(later.spec.Match) {
			f.at(later.path+".validate", "with %s, which matches some of the same series, min would be %g and max %g",
				p.entries[i].label(), *low, *high)
		}
	}
}

// checkReserved refuses patterns that only series of groups could match, and those of no group do.
func (p *Plan) checkReserved(e *entry, f *faults) {
	for i, pattern := range e.spec.Match {
		if !slices.ContainsFunc(pattern.segments, reserved) {
			continue
		}
		met := slices.ContainsFunc(p.groups, func(g *Group) bool {
			device := append(slices.Clone(g.out[:len(g.out)-1]), "+")
			return meet(pattern.segments, device, anySegment)
		})
		if !met {
			f.at(yamlfile.Index(e.path+".match", i), "matches nothing: a segment that begins with _ is a group's, and no group has such a series")
		}
	}
}

// findTemplates collects the names under which entries publish.
func (p *Plan) findTemplates(f *faults) {
	at := map[Template]int{}
	for i, e := range p.entries {
		t := new(Treatment)
		t.compileOutputs(&e.spec.Settings, &faults{lines: map[string]int{}})
		e.outputs = len(t.outputs)
		for _, as := range t.outputs {
			j, ok := at[as]
			if !ok {
				j = len(p.templates)
				at[as] = j
				p.templates = append(p.templates, templateOf{Template: as})
			}
			p.templates[j].entries = append(p.templates[j].entries, int32(i))
		}
	}
	if len(p.templates) > maxTemplates {
		f.at("", "averages, windows and rates have %d different names, and may have %d", len(p.templates), maxTemplates)
	}
}

// checkPairs finds outputs of two entries that would have one name, and detectors that do not go together. Where
// two entries have the same things, the later one's take their place.
func (p *Plan) checkPairs(f *faults) {
	pairs := map[[2]int32]bool{}
	for _, t := range p.templates {
		for i, a := range t.entries {
			for _, b := range t.entries[i+1:] {
				pairs[[2]int32{a, b}] = true
			}
			if len(pairs) > maxPairs {
				return // each series tells its own faults
			}
		}
	}
	for i := range p.entries {
		for j := range p.entries[:i] {
			if len(pairs) < maxPairs && p.entries[i].setsDetector() && p.entries[j].setsDetector() {
				pairs[[2]int32{int32(j), int32(i)}] = true
			}
		}
	}
	sorted := slices.SortedFunc(maps.Keys(pairs), func(x, y [2]int32) int { return slices.Compare(x[:], y[:]) })
	work := 0
	for _, pair := range sorted {
		a, b := p.entries[pair[0]], p.entries[pair[1]]
		if a.same(b) || !a.spec.Match.meet(b.spec.Match) {
			continue
		}
		if work += a.outputs + b.outputs + 1; work > maxPairWork {
			return
		}
		for _, reason := range p.build(pair[:], false).Faults {
			f.at(b.path, "with %s, which matches some of the same series: %s", a.label(), reason)
		}
	}
}

// What bounds the time that a file takes to be checked.
const (
	maxPairs    = 2000
	maxPairWork = 10_000 // outputs compared
)

func (e *entry) setsDetector() bool {
	return slices.ContainsFunc(e.sets, func(s string) bool { return strings.HasPrefix(s, "detector.") })
}

// same reports whether the entries set the same, so that nothing of the earlier one is left.
func (e *entry) same(o *entry) bool { return slices.Equal(e.sets, o.sets) }
