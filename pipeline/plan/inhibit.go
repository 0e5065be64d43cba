package plan

import (
	"go.yaml.in/yaml/v3"

	"weir/internal/spelling"
	"weir/internal/yamlfile"
	"weir/pipeline/rule"
)

// checkInhibit checks the section inhibit.
func (p *Plan) checkInhibit(spec *file, names map[string]bool, f *faults) {
	inhibitor, err := rule.CompileInhibitions(spec.Inhibit)
	f.of("inhibit", err)
	p.inhibitor = inhibitor
	for i, x := range spec.Inhibit {
		checkRuleNames(yamlfile.Index("inhibit", i)+".source.rules", x.Source.Rules, names, f)
		checkRuleNames(yamlfile.Index("inhibit", i)+".target.rules", x.Target.Rules, names, f)
	}
}

// checkInhibitors checks the names in inhibited_by of rules.
func (p *Plan) checkInhibitors(names map[string]bool, f *faults) {
	for _, e := range p.entries {
		for i, r := range e.spec.Rules {
			checkRuleNames(yamlfile.Index(e.path+".rules", i)+".inhibited_by", r.InhibitedBy, names, f)
		}
	}
}

// checkRuleNames refuses names of rules that there are not.
func checkRuleNames(path string, list []string, names map[string]bool, f *faults) {
	for j, name := range list {
		if at := yamlfile.Index(path, j); !names[name] && f.clean(at) {
			f.at(at, "there is no rule called %.70s", name)
		}
	}
}

// ruleNames are those of all rules that a series can have. In a file of which something could not be read, rules may
// hide anywhere: there every name counts, so that their fault is not told once more wherever they are named.
func (p *Plan) ruleNames(root *yaml.Node, f *faults) map[string]bool {
	names := map[string]bool{rule.DefaultName: true}
	for _, e := range p.entries {
		for _, r := range e.spec.Rules {
			names[r.Name] = true
		}
	}
	if len(f.List) > 0 && root != nil {
		everyName(root, names)
	}
	return names
}

// everyName collects what stands under keys that could mean name.
func everyName(n *yaml.Node, names map[string]bool) {
	for i, c := range n.Content {
		if n.Kind == yaml.MappingNode && i%2 == 1 && c.Kind == yaml.ScalarNode && spelling.Near(n.Content[i-1].Value, []string{"name"}) != "" {
			names[c.Value] = true
		}
		everyName(c, names)
	}
}
