package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"reflect"
	"slices"

	"go.yaml.in/yaml/v3"

	"weir/pipeline/rule"
)

// Bounds of a file.
const (
	MaxBytes   = 1 << 20
	MaxEntries = 1000 // pipelines, derived series, groups and inhibitions; and as many patterns
)

// file is pipelines.yaml.
type file struct {
	Pipelines []entrySpec   `yaml:"pipelines"`
	Derived   []derivedSpec `yaml:"derived"`
	Groups    []groupSpec   `yaml:"groups"`
	// Inhibit keeps alerts from being news while others are open.
	Inhibit []rule.Inhibition `yaml:"inhibit"`
	// Enrich has others asked about devices that alerts are of.
	Enrich []enrichSpec `yaml:"enrich"`
	Limits Limits       `yaml:"limits"`
}

// entrySpec is an entry of pipelines.
type entrySpec struct {
	Name     string   `yaml:"name"`
	Match    Patterns `yaml:"match"`
	Settings `yaml:",inline"`
}

// Limits bound what devices can make the pipeline remember.
type Limits struct {
	SeriesPerDevice int `yaml:"series_per_device" json:"series_per_device"`
	SeriesPerTenant int `yaml:"series_per_tenant" json:"series_per_tenant"`
}

// DefaultLimits suit most installations.
func DefaultLimits() Limits { return Limits{SeriesPerDevice: 500, SeriesPerTenant: 100_000} }

// maxSeriesPerDevice is what the state of a device may hold at most.
const maxSeriesPerDevice = 512

// Parse reads pipelines.yaml. Its error joins a *Fault for everything that is wrong.
func Parse(text []byte) (*Plan, error) {
	f := &faults{lines: map[string]int{}}
	p := parse(text, f)
	if err := f.Err(); err != nil {
		return nil, err
	}
	return p, nil
}

// Default is the plan without a file: every series has a moving average of a minute, the detector, and the one
// rule that tells what it finds.
func Default() *Plan {
	p, err := Parse(nil)
	if err != nil {
		panic(err) // nothing was written that could be wrong
	}
	return p
}

func parse(text []byte, f *faults) *Plan {
	root := read(text, f)
	if len(f.List) > 0 {
		return nil
	}
	if countEntries(root, f); len(f.List) > 0 {
		return nil
	}
	spec := file{Limits: DefaultLimits()}
	d := decoder{faults: f, fresh: freshEntry}
	if root != nil {
		d.into(root, reflect.ValueOf(&spec).Elem(), "", "")
	}
	p := newPlan(text, &spec, root)
	names := p.ruleNames(root, f)
	p.checkEntries(f)
	p.checkInhibitors(names, f)
	p.checkDerived(&spec, f)
	p.checkGroups(&spec, f)
	p.checkInhibit(&spec, names, f)
	p.checkEnrich(&spec, f)
	spec.Limits.check(f)
	// What follows compares entries with one another: those that are right by themselves.
	if !f.Full() {
		groups := p.leaveOut(f)
		p.index()
		p.checkTogether(groups, f)
	}
	return p
}

// leaveOut takes away what has faults by itself, and reports whether all groups of the file are left.
func (p *Plan) leaveOut(f *faults) (groups bool) {
	before := len(p.groups)
	p.entries = slices.DeleteFunc(p.entries, func(e *entry) bool { return !f.clean(e.path) })
	p.derived = slices.DeleteFunc(p.derived, func(d *Derived) bool { return !f.clean(d.path) })
	p.groups = slices.DeleteFunc(p.groups, func(g *Group) bool { return !f.clean(g.path) })
	return len(p.groups) == before && f.clean("groups") && !f.isSpoilt("groups")
}

func newPlan(text []byte, spec *file, root *yaml.Node) *Plan {
	sum := sha256.Sum256(text)
	p := &Plan{
		text: slices.Clone(text), hash: hex.EncodeToString(sum[:8]), limits: spec.Limits,
		treatments: map[string]*Treatment{}, sets: map[string]*deviceSet{},
	}
	for i, node := range section(root, "pipelines") {
		e := &entry{spec: &spec.Pipelines[i], node: node, path: fmt.Sprintf("pipelines[%d]", i)}
		if e.name = e.spec.Name; e.name == "" {
			e.name = e.path
		}
		p.entries = append(p.entries, e)
	}
	return p
}

// freshEntry is what an entry begins with when it is checked by itself. The rule that is there without a file is
// left out, so that places in lists are those of the file.
func freshEntry(t reflect.Type) reflect.Value {
	switch t {
	case reflect.TypeFor[entrySpec]():
		s := defaults()
		s.Rules = nil
		return reflect.ValueOf(entrySpec{Settings: s})
	case reflect.TypeFor[derivedSpec]():
		return reflect.ValueOf(derivedSpec{MaxAge: defaultMaxAge})
	case reflect.TypeFor[groupSpec]():
		return reflect.ValueOf(groupSpec{Every: defaultEvery})
	case reflect.TypeFor[enrichSpec]():
		return reflect.ValueOf(enrichSpec{Timeout: defaultLookupTimeout, Cache: defaultLookupCache})
	}
	return freshOf(t)
}

// read returns the root of the file, or nil when it says nothing.
func read(text []byte, f *faults) *yaml.Node {
	root := f.Read(text, MaxBytes)
	if root != nil && root.Kind != yaml.MappingNode {
		f.Add(&Fault{Line: root.Line, Reason: "must hold sections: pipelines, derived, groups, inhibit, enrich, limits"})
	}
	return root
}

// section are the items of a list at the top of the file.
func section(root *yaml.Node, key string) []*yaml.Node {
	if root == nil {
		return nil
	}
	for i := 0; i+1 < len(root.Content); i += 2 {
		if root.Content[i].Value == key && root.Content[i+1].Kind == yaml.SequenceNode {
			return root.Content[i+1].Content
		}
	}
	return nil
}

// countEntries bounds the work of all that follows.
func countEntries(root *yaml.Node, f *faults) {
	entries, patterns := 0, 0
	for _, key := range []string{"pipelines", "derived", "groups", "inhibit", "enrich"} {
		for _, item := range section(root, key) {
			entries++
			for i := 0; i+1 < len(item.Content); i += 2 {
				if item.Content[i].Value == "match" {
					patterns += max(len(item.Content[i+1].Content), 1)
				}
			}
		}
	}
	if entries > MaxEntries {
		f.at("", "there are %d pipelines, derived series, groups and inhibitions, and may be %d", entries, MaxEntries)
	}
	if patterns > MaxEntries {
		f.at("", "there are %d patterns, and may be %d", patterns, MaxEntries)
	}
}

func (l Limits) check(f *faults) {
	if l.SeriesPerDevice < 1 || l.SeriesPerDevice > maxSeriesPerDevice {
		f.at("limits.series_per_device", "must be between 1 and %d, is %d", maxSeriesPerDevice, l.SeriesPerDevice)
	}
	if l.SeriesPerTenant < 1 {
		f.at("limits.series_per_tenant", "must be at least 1, is %d", l.SeriesPerTenant)
	}
}
