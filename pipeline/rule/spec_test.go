package rule

import (
	"errors"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"weir/telemetry"
)

func TestSpecReadsYAML(t *testing.T) {
	const text = `
name: too-hot
kind: threshold
value: avg
above: 85
clear_above: 80
for: 2m
keep_firing_for: 30s
severity: critical
labels: {team: press}
annotations: {text: "{{ .Value }}"}
flapping: {count: 4, period: 5m}
inhibited_by: [press-offline]
`
	d := yaml.NewDecoder(strings.NewReader(text))
	d.KnownFields(true)
	var s Spec
	if err := d.Decode(&s); err != nil {
		t.Fatal(err)
	}
	r := compile(t, s)
	if r.hold != 120e6 || r.keep != 30e6 || r.above != 85 || r.clearAbove != 80 || r.flapCount != 4 || r.flapPeriod != 300e6 ||
		r.Severity() != telemetry.Critical || r.value != Average {
		t.Errorf("%+v", r)
	}
}

func TestValidateNamesTheField(t *testing.T) {
	for field, s := range map[string]Spec{
		"name":            {Kind: Anomaly, Name: "a b"},
		"kind":            {Name: "x", Kind: "magic"},
		"value":           {Name: "x", Kind: Threshold, Above: level(1), Value: "max"},
		"above":           {Name: "x", Kind: Threshold},
		"below":           {Name: "x", Kind: Threshold, Below: level(nan)},
		"clear_above":     {Name: "x", Kind: Threshold, Above: level(1), ClearAbove: level(2)},
		"clear_below":     {Name: "x", Kind: Rate, Above: level(9), Below: level(1), ClearAbove: level(3), ClearBelow: level(4)},
		"for":             {Name: "x", Kind: Absence},
		"keep_firing_for": {Name: "x", Kind: Anomaly, KeepFiringFor: -1},
		"severity":        {Name: "x", Kind: Anomaly, Severity: "fatal"},
		"flapping.count":  {Name: "x", Kind: Anomaly, Flapping: Flapping{Count: 1}},
		"flapping.period": {Name: "x", Kind: Anomaly, Flapping: Flapping{Period: time.Millisecond}},
		"inhibited_by[1]": {Name: "x", Kind: Anomaly, InhibitedBy: []string{"a", ""}},
		"inhibited_by[0]": {Name: "x", Kind: Anomaly, InhibitedBy: []string{"x"}},
		"min_score":       {Name: "x", Kind: Anomaly, MinScore: 1},
		"heads":           {Name: "x", Kind: Absence, For: time.Minute, Heads: []string{"novelty"}},
		"heads[1]":        {Name: "x", Kind: Anomaly, Heads: []string{"novelty", "novlety"}},
		"heads[2]":        {Name: "x", Kind: Anomaly, Heads: []string{"novelty", "flat", "novelty"}},
		"raise":           {Name: "x", Kind: Expr, Raise: "value >"},
		"clear":           {Name: "x", Kind: Expr, Raise: "value > 1", Clear: `m["a/b"] > 1`},
		"labels.a":        {Name: "x", Kind: Anomaly, Labels: map[string]string{"a": "{{.X}}"}},
	} {
		err := s.Validate()
		var one *FieldError
		if !errors.As(err, &one) || one.Field != field || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", field, err)
		}
	}
}

func TestValidateReportsEverythingAtOnce(t *testing.T) {
	err := (&Spec{Kind: Threshold, Severity: "x", Raise: "value > 1", Labels: map[string]string{"": ""}}).Validate()
	for _, field := range []string{"name", "severity", "raise", "above", "labels."} {
		if !strings.Contains(err.Error(), field+": ") {
			t.Errorf("nothing about %s: %v", field, err)
		}
	}
}

func TestWhatIsMissingIsSaidToBeMissing(t *testing.T) {
	for want, s := range map[string]Spec{
		"name: is missing": {Kind: Anomaly},
		"kind: is missing; there are: threshold, absence, rate, anomaly, expr": {Name: "x"},
		"above: is missing; below would do, too":                               {Name: "x", Kind: Threshold},
		"for: is missing":                                                      {Name: "x", Kind: Absence},
		"raise: is missing":                                                    {Name: "x", Kind: Expr},
		"name: is missing\nkind: is missing; there are: threshold, absence, rate, anomaly, expr": {},
		"for: absence needs at least 1s": {Name: "x", Kind: Absence, For: -1},
		`heads[0]: "novlety" is no head of the detector; there are: novelty, deviation, stuck, flat, shift`: {
			Name: "x", Kind: Anomaly, Heads: []string{"novlety"}},
	} {
		if err := s.Validate(); err == nil || err.Error() != want {
			t.Errorf("got %v\nwant %s", err, want)
		}
	}
}

func TestHashTellsWhetherStateFits(t *testing.T) {
	base := compile(t, hot())
	same := hot()
	same.Labels, same.InhibitedBy = map[string]string{"a": "b"}, []string{"c"}
	if compile(t, same).Hash() != base.Hash() {
		t.Error("labels end state")
	}
	for name, change := range map[string]func(*Spec){
		"name": func(s *Spec) { s.Name = "b" }, "above": func(s *Spec) { s.Above = level(86) },
		"clear": func(s *Spec) { s.ClearAbove = nil }, "for": func(s *Spec) { s.For = time.Second },
		"keep": func(s *Spec) { s.KeepFiringFor = time.Second }, "value": func(s *Spec) { s.Value = Average },
		"severity": func(s *Spec) { s.Severity = telemetry.Info }, "flapping": func(s *Spec) { s.Flapping = Flapping{} },
	} {
		s := hot()
		change(&s)
		if compile(t, s).Hash() == base.Hash() {
			t.Errorf("%s does not change the hash", name)
		}
	}
}
