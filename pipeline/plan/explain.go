package plan

import (
	"slices"
	"strings"

	"weir/telemetry"
)

// Explanation says what the plan does with a series, and why.
type Explanation struct {
	Series string `json:"series"`
	// Made says what makes the series, when no device may send it.
	Made string `json:"made,omitempty"`
	// Entries apply, in their order; a later one overrides an earlier one setting by setting.
	Entries  []EntryUse `json:"entries"`
	Settings []Setting  `json:"settings"`
	// Outputs are series that are made of this one alone.
	Outputs []string `json:"outputs,omitempty"`
	// Derived are series that are computed from this one and others of the device.
	Derived []string `json:"derived,omitempty"`
	// Groups are series of groups that this one is a member of.
	Groups []string `json:"groups,omitempty"`
	Rules  []string `json:"rules,omitempty"`
	// Lookups are the addresses that are asked about the device of an alert.
	Lookups []string `json:"lookups,omitempty"`
	Faults  []string `json:"faults,omitempty"`
}

// EntryUse is an entry that applies, and the patterns by which it does.
type EntryUse struct {
	Name  string   `json:"name"`
	Line  int      `json:"line"`
	Match []string `json:"match"`
}

// Setting is a setting in force and the entry that it comes from.
type Setting struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	From  string `json:"from"`
}

// FromDefault is Setting.From of what no entry sets.
const FromDefault = "default"

// ofServer is Setting.Value where the server's own setting counts.
const ofServer = "pipeline.lateness of the server"

// Explain says what the plan does with a series, and why.
func (p *Plan) Explain(series string) *Explanation {
	t := p.Treat(series)
	device, metric, ok := telemetry.SplitSeries(series)
	x := &Explanation{Series: series, Faults: t.Faults, Entries: p.uses(series, t.Published)}
	for _, s := range t.spec.flatten() {
		x.Settings = append(x.Settings, Setting{s.name, s.value, t.from(s.name)})
	}
	if t.Lateness == 0 {
		x.Settings = append(x.Settings, Setting{"lateness", ofServer, t.from("lateness")})
	}
	if t.Detect == nil {
		x.Settings = append(x.Settings, Setting{"detector", "off", t.from("detector")})
	}
	for _, as := range t.outputs {
		x.Outputs = append(x.Outputs, telemetry.Series(device, as.Metric(metric)))
	}
	for _, r := range t.Rules {
		x.Rules = append(x.Rules, r.Name())
	}
	p.explainLookups(x, series)
	if !ok {
		return x
	}
	if base, ok := p.base(device, metric); ok {
		x.Made = "average, window or rate of " + telemetry.Series(device, base)
	}
	p.explainDevice(x, device, metric)
	return x
}

func (p *Plan) explainDevice(x *Explanation, device, metric string) {
	d := p.Device(device)
	for _, one := range d.Derived() {
		if one.As == metric {
			x.Made = "derived: " + one.String()
		}
		if slices.Contains(one.Inputs, metric) {
			x.Derived = append(x.Derived, telemetry.Series(device, one.String()))
		}
	}
	for _, m := range d.Groups(metric) {
		x.Groups = append(x.Groups, m.Group.Outputs(m.Series)...)
	}
	for _, g := range p.groups {
		for _, fn := range g.Window.Functions() {
			name, of := x.Series, fn
			if fn != g.Window.Functions()[0] {
				name, _ = strings.CutSuffix(name, "."+fn)
			}
			if x.Made == "" && (name != x.Series || fn == g.Window.Functions()[0]) && g.makes(name) {
				x.Made = "group " + g.As() + ": " + of
			}
		}
	}
}

// makes reports whether the group's series could have the name.
func (g *Group) makes(series string) bool {
	return meet(g.out, strings.Split(series, "/"), anySegment)
}

// uses are the entries that apply, with the patterns that match.
func (p *Plan) uses(series string, published bool) []EntryUse {
	out := []EntryUse{}
	for _, i := range p.matching(series, published) {
		e := p.entries[i]
		use := EntryUse{Name: e.name, Line: e.node.Line}
		for _, pattern := range e.spec.Match {
			if pattern.Match(series) && (!published || pattern.spelled()) {
				use.Match = append(use.Match, pattern.String())
			}
		}
		out = append(out, use)
	}
	return out
}

// from is the entry that a setting comes from: it set that itself, or the item or section that it is a part of.
func (t *Treatment) from(name string) string {
	for {
		if entry, ok := t.origins[name]; ok {
			return entry
		}
		i := strings.LastIndexByte(name, '.')
		if i < 0 {
			return FromDefault
		}
		name = name[:i]
	}
}

// Summary counts what is in the file, for people.
func (p *Plan) Summary() string {
	rules := map[string]bool{}
	for _, e := range p.entries {
		for _, r := range e.spec.Rules {
			rules[r.Name] = true
		}
	}
	return strings.Join([]string{
		counted(len(p.entries), "pipeline"), counted(len(p.derived), "derived series"),
		counted(len(p.groups), "group"), counted(len(rules), "rule"),
	}, ", ")
}
