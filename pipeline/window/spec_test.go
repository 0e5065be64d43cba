package window

import (
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

func TestSpecsAreReadFromYAML(t *testing.T) {
	text := `
- {size: 1m, functions: [mean, max]}
- {name: hourly, kind: hopping, size: 1h, every: 5m, grace: 0s, functions: [p99.9], as: "{metric}-{window}"}
- {kind: session, gap: 90s, functions: [count]}
- {kind: sliding, size: 1h30m, functions: [stddev]}
`
	var specs []Spec
	if err := yaml.Unmarshal([]byte(text), &specs); err != nil {
		t.Fatal(err)
	}
	want := []struct {
		name, metric string
		kind         Kind
		grace        time.Duration
	}{
		{"1m", "t.1m.mean", Tumbling, 10 * time.Second},
		{"hourly", "t-hourly", Hopping, 0},
		{"session", "t.session.count", Session, 10 * time.Second},
		{"1h30m", "t.1h30m.stddev", Sliding, 0},
	}
	for i := range specs {
		w := compile(t, specs[i])
		if x := want[i]; w.Name() != x.name || w.Metric("t", 0) != x.metric || w.Kind() != x.kind || w.Grace() != x.grace.Microseconds() {
			t.Errorf("%+v: %s, %s, %v, %d", specs[i], w.Name(), w.Metric("t", 0), w.Kind(), w.Grace())
		}
	}
	for _, bad := range []string{"{kind: jumping}", "{size: 12}", "{size: soon}"} {
		var s Spec
		if err := yaml.Unmarshal([]byte(bad), &s); err == nil {
			t.Errorf("%s was taken: %+v", bad, s)
		}
	}
}

func TestSpecNamesTheFieldThatIsWrong(t *testing.T) {
	grace := func(d time.Duration) *time.Duration { return &d }
	f := []string{"mean"}
	for _, c := range []struct {
		field string
		spec  Spec
	}{
		{"size", Spec{Functions: f}},
		{"size", Spec{Size: time.Microsecond, Functions: f}},
		{"size", Spec{Size: 32 * 24 * time.Hour, Functions: f}},
		{"size", Spec{Size: time.Second + 1, Functions: f}},
		{"size", Spec{Kind: Session, Size: time.Second, Gap: time.Second, Functions: f}},
		{"every", Spec{Size: time.Second, Every: time.Second, Functions: f}},
		{"every", Spec{Kind: Hopping, Size: time.Second, Functions: f}},
		{"every", Spec{Kind: Hopping, Size: time.Second, Every: 2 * time.Second, Functions: f}},
		{"every", Spec{Kind: Hopping, Size: 65 * time.Second, Every: time.Second, Functions: f}},
		{"every", Spec{Kind: Hopping, Size: time.Hour, Every: 7 * time.Second, Functions: f}},
		{"gap", Spec{Size: time.Second, Gap: time.Second, Functions: f}},
		{"gap", Spec{Kind: Session, Functions: f}},
		{"gap", Spec{Kind: Session, Gap: 25 * time.Hour, Functions: f}},
		{"grace", Spec{Size: time.Second, Grace: grace(-1), Functions: f}},
		{"grace", Spec{Size: time.Second, Grace: grace(65 * time.Second), Functions: f}},
		{"grace", Spec{Kind: Sliding, Size: time.Second, Grace: grace(time.Second), Functions: f}},
		{"functions", Spec{Size: time.Second}},
		{"functions", Spec{Size: time.Second, Functions: make([]string, 17)}},
		{"functions[1]", Spec{Size: time.Second, Functions: []string{"mean", "mode"}}},
		{"functions[1]", Spec{Size: time.Second, Functions: []string{"mean", "mean"}}},
		{"functions[0]", Spec{Size: time.Second, Functions: []string{"p100"}}},
		{"functions[0]", Spec{Size: time.Second, Functions: []string{"p050"}}},
		{"functions[0]", Spec{Size: time.Second, Functions: []string{"p1e1"}}},
		{"functions[0]", Spec{Size: time.Second, Functions: []string{"pNaN"}}},
		{"kind", Spec{Kind: 9, Size: time.Second, Functions: f}},
		{"name", Spec{Name: "a/b", Size: time.Second, Functions: f}},
		{"name", Spec{Name: "{fn}", Size: time.Second, Functions: f}},
		{"as", Spec{As: "{metric}.{device}", Size: time.Second, Functions: f}},
		{"as", Spec{As: "a/{metric}", Size: time.Second, Functions: f}},
		{"as", Spec{As: "{metric}", Size: time.Second, Functions: []string{"mean", "max"}}},
	} {
		if err := c.spec.Validate(); err == nil || !strings.HasPrefix(err.Error(), c.field+":") {
			t.Errorf("%+v: %v, want %s to be named", c.spec, err, c.field)
		}
		if _, err := c.spec.Compile(); err == nil {
			t.Errorf("%+v was compiled", c.spec)
		}
	}
}

func TestHashChangesWithWhatStateDependsOn(t *testing.T) {
	zero := time.Duration(0)
	base := Spec{Size: time.Minute, Functions: []string{"mean"}}
	for _, same := range []Spec{
		{Name: "other", Size: time.Minute, Functions: []string{"mean"}},
		{Size: time.Minute, Functions: []string{"max", "min"}, Grace: &zero, As: "{fn}"},
	} {
		if compile(t, same).Hash() != compile(t, base).Hash() {
			t.Errorf("%+v has another hash", same)
		}
	}
	hashes := []uint32{compile(t, base).Hash()}
	for _, other := range []Spec{
		{Size: time.Hour, Functions: []string{"mean"}},
		{Size: time.Minute, Functions: []string{"mean", "p50"}},
		{Kind: Sliding, Size: time.Minute, Functions: []string{"mean"}},
		{Kind: Session, Gap: time.Minute, Functions: []string{"mean"}},
		{Kind: Hopping, Size: time.Minute, Every: time.Second, Functions: []string{"mean"}},
		{Kind: Hopping, Size: time.Minute, Every: 2 * time.Second, Functions: []string{"mean"}},
	} {
		h := compile(t, other).Hash()
		if slices.Contains(hashes, h) {
			t.Errorf("%+v has the hash of another", other)
		}
		hashes = append(hashes, h)
	}
}
