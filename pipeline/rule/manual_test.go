package rule

import (
	"os"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

func TestExamplesOfTheManualAreRules(t *testing.T) {
	manual, err := os.ReadFile("../../docs/alerts.md")
	if err != nil {
		t.Fatal(err)
	}
	type list struct {
		Rules []Spec `yaml:"rules"`
	}
	rules := 0
	for i, block := range strings.Split(string(manual), "```yaml\n")[1:] {
		block, _, _ = strings.Cut(block, "```")
		var doc struct {
			Pipelines []struct {
				list  `yaml:",inline"`
				Other map[string]any `yaml:",inline"`
			} `yaml:"pipelines"`
			list `yaml:",inline"`
		}
		d := yaml.NewDecoder(strings.NewReader(block))
		d.KnownFields(true)
		if err := d.Decode(&doc); err != nil {
			t.Errorf("example %d: %v", i, err)
		}
		all := doc.Rules
		for _, p := range doc.Pipelines {
			all = append(all, p.Rules...)
		}
		for _, s := range all {
			rules++
			if err := s.Validate(); err != nil {
				t.Errorf("example %d, %s: %v", i, s.Name, err)
			}
		}
	}
	if rules < 8 {
		t.Errorf("%d rules found", rules)
	}
}
