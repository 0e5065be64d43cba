package push

import (
	"slices"
	"strings"

	"weir/auth"
	"weir/telemetry"
)

// readable are the widest patterns that p may subscribe to: its read patterns, within its tenant.
func readable(p *auth.Principal) []string {
	patterns := readablePatterns(p)
	out := make([]string, len(patterns))
	for i := range patterns {
		out[i] = patterns[i].String()
	}
	return out
}

func readablePatterns(p *auth.Principal) []telemetry.Pattern {
	var out []telemetry.Pattern
	if !p.Has(auth.RoleViewer) {
		return out
	}
	for _, read := range p.Read {
		r, ok := within(p.Tenant, read)
		covered := slices.ContainsFunc(out, func(o telemetry.Pattern) bool { return o.Covers(r) })
		if ok && !covered {
			out = slices.DeleteFunc(out, r.Covers)
			out = append(out, r)
		}
	}
	return out
}

// within is the pattern of what p selects in a tenant, "" being all of them; ok is false if that is nothing.
func within(tenant string, p telemetry.Pattern) (out telemetry.Pattern, ok bool) {
	if tenant == "" {
		return p, true
	}
	first, rest, _ := strings.Cut(p.String(), "/")
	switch {
	case first == tenant:
		return p, true
	case strings.HasPrefix(tenant, "_"): // no wildcard stands for it
		return p, false
	case first == "#":
		rest = "#"
	case first != "+":
		return p, false
	}
	text := tenant
	if rest != "" {
		text += "/" + rest
	}
	out, err := telemetry.ParsePattern(text)
	return out, err == nil // one that is too long selects nothing
}
