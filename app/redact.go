package app

import (
	"slices"
	"strings"

	"weir/auth"
	"weir/pipeline"
	"weir/pipeline/plan"
)

// ofPlan is plan.Setting.From, for those who may not know the names of entries, of what an entry sets.
const ofPlan = "plan"

// redact leaves out of what is known of a series what else it tells: the names of series that p may not read, and, unless
// p is an operator, what the plan's file says of others: entries, patterns, templates, expressions and addresses.
func redact(x *pipeline.Inspection, p *auth.Principal) {
	x.Leads = readable(p, x.Leads)
	t := x.Treatment
	if t == nil {
		return
	}
	t.Outputs, t.Derived, t.Groups = readable(p, t.Outputs), readable(p, derivedOf(p, t.Derived)), readable(p, t.Groups)
	if made, base, ok := strings.Cut(t.Made, " of "); ok && !p.MayReadPath(base) && strings.HasPrefix(made, "average") {
		t.Made = made
	}
	if p.Has(auth.RoleOperator) {
		return
	}
	t.Entries, t.Lookups, t.Faults = []plan.EntryUse{}, nil, nil
	for i := range t.Settings {
		if t.Settings[i].From != plan.FromDefault {
			t.Settings[i].From = ofPlan
		}
	}
	for _, kind := range []string{"derived", "group"} { // such as "group plant1/_all/{metric}: max"
		if strings.HasPrefix(t.Made, kind) {
			t.Made = kind
		}
	}
}

// derivedOf leaves the expressions, which name metrics, to operators.
func derivedOf(p *auth.Principal, derived []string) []string {
	if p.Has(auth.RoleOperator) {
		return derived
	}
	out := slices.Clone(derived)
	for i := range out {
		out[i], _, _ = strings.Cut(out[i], " = ")
	}
	return out
}

// readable are those of the names that p may read; an expression that a name is followed by does not count.
func readable(p *auth.Principal, names []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		path, _, _ := strings.Cut(name, " = ")
		return !p.MayReadPath(path)
	})
}
