package rule

import (
	"errors"
	"fmt"
	"iter"
	"slices"

	"weir/telemetry"
)

// Inhibition keeps alerts that Target selects from being news while one that Source selects is open on the same
// device. Alerts of other devices have no influence: the unit of state is the device.
type Inhibition struct {
	Source Match `yaml:"source" json:"source"`
	Target Match `yaml:"target" json:"target"`
	// Equal says what both have in common. "device" is the only choice, and the default.
	Equal []string `yaml:"equal,omitempty" json:"equal,omitempty"`
}

// Match selects alerts. What is not given selects any.
type Match struct {
	Rules      []string             `yaml:"rules,omitempty" json:"rules,omitempty"`
	Severities []telemetry.Severity `yaml:"severities,omitempty" json:"severities,omitempty"`
	Series     string               `yaml:"series,omitempty" json:"series,omitempty"` // a pattern
}

// Inhibitor decides by the inhibitions and by the InhibitedBy of rules. Nil has none of the first.
type Inhibitor struct {
	pairs []inhibition
}

type inhibition struct{ source, target matcher }

type matcher struct {
	Match
	pattern telemetry.Pattern
}

// CompileInhibitions checks the inhibitions. Its error joins a FieldError for everything that is wrong, with fields as
// "[1].source.series".
func CompileInhibitions(list []Inhibition) (*Inhibitor, error) {
	var c checker
	out := &Inhibitor{}
	for i := range list {
		x := &list[i]
		source := compileMatch(&c, fmt.Sprintf("[%d].source", i), x.Source)
		target := compileMatch(&c, fmt.Sprintf("[%d].target", i), x.Target)
		c.that(len(x.Equal) == 0 || slices.Equal(x.Equal, []string{"device"}), fmt.Sprintf("[%d].equal", i),
			"can only be [device]: alerts of other devices are not known where this is decided")
		out.pairs = append(out.pairs, inhibition{source, target})
	}
	return out, errors.Join(c.errs...)
}

func compileMatch(c *checker, field string, m Match) matcher {
	c.that(len(m.Rules)+len(m.Severities) > 0 || m.Series != "", field, "selects everything; give rules, severities or series")
	for i, name := range m.Rules {
		c.that(validName(name), fmt.Sprintf("%s.rules[%d]", field, i), "%q is no name of a rule", name)
	}
	for i, s := range m.Severities {
		c.that(slices.Contains([]telemetry.Severity{telemetry.Info, telemetry.Warning, telemetry.Critical}, s),
			fmt.Sprintf("%s.severities[%d]", field, i), "%q is none of info, warning, critical", s)
	}
	out := matcher{Match: m}
	if m.Series != "" {
		p, err := telemetry.ParsePattern(m.Series)
		if err != nil {
			c.that(false, field+".series", "%v", err)
		}
		out.pattern = p
	}
	return out
}

func (m *matcher) match(rule, series string, severity telemetry.Severity) bool {
	return (len(m.Rules) == 0 || slices.Contains(m.Rules, rule)) &&
		(len(m.Severities) == 0 || slices.Contains(m.Severities, severity)) &&
		(m.Series == "" || m.pattern.Match(series))
}

// By is the id of the alert because of which the alert of rule by is not news, or "": the longest open one of those
// that inhibit it. Open yields the open and pending alerts of all series of the device, in any order. An alert does not
// inhibit one that would inhibit it for the same reason, so that never both fall silent.
func (in *Inhibitor) By(a *telemetry.Alert, by *Rule, open iter.Seq[View]) string {
	if !in.concerns(a, by) {
		return ""
	}
	var found View
	for v := range open {
		if v.ID == "" || !in.inhibits(&v, a, by) {
			continue
		}
		if found.ID == "" || v.Raised < found.Raised || v.Raised == found.Raised && v.ID < found.ID {
			found = v
		}
	}
	return found.ID
}

// concerns reports whether anything could inhibit the alert: mostly nothing does, and open need not be looked through.
func (in *Inhibitor) concerns(a *telemetry.Alert, by *Rule) bool {
	if by != nil && len(by.inhibitedBy) > 0 {
		return true
	}
	return in != nil && slices.ContainsFunc(in.pairs, func(p inhibition) bool {
		return p.target.match(a.Rule, a.Series, a.Severity)
	})
}

func (in *Inhibitor) inhibits(v *View, a *telemetry.Alert, by *Rule) bool {
	if by != nil && slices.Contains(by.inhibitedBy, v.Rule) {
		return true
	}
	if in == nil {
		return false
	}
	for i := range in.pairs {
		p := &in.pairs[i]
		if !p.source.match(v.Rule, v.Series, v.Severity) || !p.target.match(a.Rule, a.Series, a.Severity) {
			continue
		}
		if mutual := p.source.match(a.Rule, a.Series, a.Severity) && p.target.match(v.Rule, v.Series, v.Severity); !mutual {
			return true
		}
	}
	return false
}
