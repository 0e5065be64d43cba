package plan

import (
	"iter"
	"slices"
	"sync"

	"go.yaml.in/yaml/v3"

	"weir/internal/yamlfile"
	"weir/pipeline/rule"
	"weir/telemetry"
)

// Plan is a file that was read. It does not change, and is safe for concurrent use.
type Plan struct {
	text      []byte
	hash      string
	limits    Limits
	entries   []*entry
	derived   []*Derived // in an order in which each follows what it is made of
	groups    []*Group
	inhibitor *rule.Inhibitor
	lookups   []*Lookup

	// The tries hold places in patterns, derived and groupPatterns.
	patterns      []patternOf
	series        telemetry.Trie[int32]
	devices       telemetry.Trie[int32]
	groupPatterns []groupPattern
	members       telemetry.Trie[int32]
	// templates are the names that averages, windows and rates of any entry publish under.
	templates []templateOf

	mu         sync.RWMutex // of what follows
	treatments map[string]*Treatment
	detectors  detectors
	sets       map[string]*deviceSet
}

// entry is one of pipelines.
type entry struct {
	spec *entrySpec
	node *yaml.Node
	path string
	name string
	// sets are the names of what it sets; what stands under a name in offs is emptied first.
	sets []string
	offs []string
	mask uint64 // of sets and offs: a bit for the hash of each
	// outputs is how many series it publishes of one.
	outputs int
}

// patternOf is a pattern and whose it is.
type patternOf struct {
	entry   int32
	spelled bool
}

// templateOf is a name of outputs, and which entries have it.
type templateOf struct {
	Template
	entries []int32
}

// Text is the file as it was read. The caller must not change it.
func (p *Plan) Text() []byte { return p.text }

// Hash identifies the text: the first 8 bytes of its SHA-256, in hex.
func (p *Plan) Hash() string { return p.hash }

// Limits are the file's.
func (p *Plan) Limits() Limits { return p.limits }

// Inhibitor decides which alerts are no news while others are open.
func (p *Plan) Inhibitor() *rule.Inhibitor { return p.inhibitor }

// Derived are the derived series, each after what it is made of. The caller must not change them.
func (p *Plan) Derived() []*Derived { return p.derived }

// Groups are the groups, in the order of the file. The caller must not change them.
func (p *Plan) Groups() []*Group { return p.groups }

// index builds what look-ups need.
func (p *Plan) index() {
	for i, e := range p.entries {
		for _, pattern := range e.spec.Match {
			p.series.Add(pattern.Pattern, int32(len(p.patterns)))
			p.patterns = append(p.patterns, patternOf{int32(i), pattern.spelled()})
		}
	}
	for _, g := range p.groups {
		for _, pattern := range g.match {
			p.members.Add(pattern.Pattern, int32(len(p.groupPatterns)))
			p.groupPatterns = append(p.groupPatterns, groupPattern{g, pattern})
		}
	}
}

// matching are the entries for a series, in order. Of a series that others are published as, only those count
// that spell out its metric.
func (p *Plan) matching(series string, published bool) []int32 {
	var buf [16]int32
	found := p.series.Match(series, buf[:0])
	out := found[:0]
	for _, i := range found {
		if at := p.patterns[i]; at.spelled || !published {
			out = append(out, at.entry)
		}
	}
	slices.Sort(out)
	return slices.Clone(slices.Compact(out))
}

// Treat says what is done with a series. Series with the same settings share a Treatment. It does not fail:
// settings of several entries that cannot be together are in Treatment.Faults.
func (p *Plan) Treat(series string) *Treatment {
	device, metric, ok := telemetry.SplitSeries(series)
	published := ok && p.published(device, metric)
	entries := p.matching(series, published)
	return p.treatment(entries, published)
}

// outputs are the names under which a series that is not published itself is.
func (p *Plan) outputs(series string) []Template {
	entries := p.matching(series, false)
	if len(entries) == 0 {
		return nil
	}
	return p.treatment(entries, false).outputs
}

// Unmatched tells the patterns that select none of the series, each with its place in the file.
func (p *Plan) Unmatched(series iter.Seq[string]) []string {
	matched := make([]bool, len(p.patterns))
	derived := make([]bool, len(p.derived))
	groups := make([]bool, len(p.groupPatterns))
	mark := func(trie *telemetry.Trie[int32], path string, seen []bool) {
		var buf [16]int32
		for _, i := range trie.Match(path, buf[:0]) {
			seen[i] = true
		}
	}
	for s := range series {
		mark(&p.series, s, matched)
		mark(&p.members, s, groups)
		if device, _, ok := telemetry.SplitSeries(s); ok {
			mark(&p.devices, device, derived)
		}
	}
	return p.unmatched(matched, derived, groups)
}

// base is the metric of which another one is published; the longest of several.
func (p *Plan) base(device, metric string) (longest string, ok bool) {
	for i := range p.templates {
		t := &p.templates[i]
		base, is := t.base(metric)
		if is && len(base) > len(longest) && slices.Contains(p.outputs(telemetry.Series(device, base)), t.Template) {
			longest, ok = base, true
		}
	}
	return longest, ok
}

// published reports whether the metric is the output of an average, a window or a rate of another one.
func (p *Plan) published(device, metric string) bool {
	_, ok := p.base(device, metric)
	return ok
}

// unmatched names the patterns that were not marked.
func (p *Plan) unmatched(series, derived, groups []bool) []string {
	var out []string
	n := 0
	for _, e := range p.entries {
		for i, pattern := range e.spec.Match {
			if !series[n] {
				out = append(out, yamlfile.Index(e.path+".match", i)+": "+pattern.String())
			}
			n++
		}
	}
	for i, d := range p.derived {
		if !derived[i] {
			out = append(out, d.path+": "+d.As)
		}
	}
	for i, g := range p.groupPatterns {
		if !groups[i] {
			out = append(out, g.group.path+": "+g.pattern.String())
		}
	}
	return out
}

func (p *Plan) indexDevices() {
	p.devices = telemetry.Trie[int32]{}
	for i, d := range p.derived {
		for _, pattern := range d.match {
			p.devices.Add(pattern.Pattern, int32(i))
		}
	}
}

// Timed reports whether there may be series with rules that wait for silence.
func (p *Plan) Timed() bool {
	return slices.ContainsFunc(p.entries, func(e *entry) bool {
		return slices.ContainsFunc(e.spec.Rules, func(r RuleSpec) bool { return r.Kind == rule.Absence })
	})
}
