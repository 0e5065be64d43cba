package plan

import (
	"slices"
	"strings"
	"time"

	"weir/expr"
	"weir/internal/joined"
	"weir/internal/yamlfile"
	"weir/pipeline/window"
)

// Bounds of the settings of a series.
const (
	maxLateness   = 24 * time.Hour
	maxStuck      = 31 * 24 * time.Hour
	maxTags       = 32
	maxTextBytes  = 256 // of a name, a unit, a tag or its value
	maxAverages   = 8
	maxWindows    = 16
	maxRules      = 32
	maxNameBytes  = 64
	rateSuffix    = ".rate"
	maxOutputs    = 64
	maxTemplates  = 1000 // names of outputs in a file
	maxExprInputs = 32   // metrics in the expression of a derived series
)

func checkTexts(s *Settings, f *faults) {
	if len(s.Unit) > maxTextBytes {
		f.at("unit", "is longer than %d bytes", maxTextBytes)
	}
	if len(s.Tags) > maxTags {
		f.at("tags", "there are %d, and may be %d", len(s.Tags), maxTags)
	}
	for _, name := range sortedKeys(s.Tags) {
		if len(name) > maxTextBytes || len(s.Tags[name]) > maxTextBytes {
			f.at("tags."+name, "is longer than %d bytes", maxTextBytes)
		}
	}
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func zone(name string, f *faults) *time.Location {
	if name == "" {
		return nil
	}
	loc, err := time.LoadLocation(name)
	if err != nil || name == "Local" {
		f.at("time_zone", "%q is not an IANA time zone such as Europe/Berlin", name)
		return nil
	}
	return loc
}

func (s *Settings) compileFilter(f *faults) *expr.Program {
	if s.Filter == nil {
		return nil
	}
	p, err := expr.Compile(*s.Filter, expr.Series(expr.Bool))
	ofExpr(f, "filter", err)
	if p == nil {
		return nil
	}
	for _, name := range []string{"avg", "lo", "hi", "score", "state"} {
		if p.Uses(name) {
			f.at("filter", "%s is not known before the filter; there are value, rate and ts", name)
		}
	}
	return p
}

// ofExpr records the faults of an expression. Each begins with its place in the expression.
func ofExpr(f *faults, path string, err error) {
	for _, e := range joined.All(err) {
		f.at(path, "%v", e)
	}
}

// compileOutputs makes what is published besides the series. No two outputs have one name.
func (t *Treatment) compileOutputs(s *Settings, f *faults) {
	if t.Counter = s.Counter; t.Counter {
		t.Rate = Template{suffix: rateSuffix}
		t.outputs = append(t.outputs, t.Rate)
	}
	if len(s.Averages) > maxAverages {
		f.at("averages", "there are %d, and may be %d", len(s.Averages), maxAverages)
	}
	for i, a := range s.Averages[:min(len(s.Averages), maxAverages)] {
		path := yamlfile.Index("averages", i)
		if err := a.Validate(); err != nil {
			f.of(path, err)
			continue
		}
		as, err := parseTemplate(a.key())
		if err != nil {
			f.at(path+".as", "%v", err)
			continue
		}
		if t.publish(f, path, as) {
			t.Averages = append(t.Averages, Average{a.WithDefaults(), as})
		}
	}
	t.compileWindows(s, f)
	if len(t.outputs) > maxOutputs {
		f.at("windows", "there are %d outputs of a series, and may be %d", len(t.outputs), maxOutputs)
	}
}

func (t *Treatment) compileWindows(s *Settings, f *faults) {
	if len(s.Windows) > maxWindows {
		f.at("windows", "there are %d, and may be %d", len(s.Windows), maxWindows)
	}
	for i := range s.Windows[:min(len(s.Windows), maxWindows)] {
		path := yamlfile.Index("windows", i)
		if missing := s.Windows[i].missing(); len(missing) > 0 {
			for _, key := range missing {
				f.at(path+"."+key, "is missing")
			}
			continue
		}
		w, err := s.Windows[i].Compile()
		if err != nil {
			f.of(path, err)
			continue
		}
		as, err := windowOutputs(w)
		if err != nil {
			f.at(path+".as", "%v", err)
			continue
		}
		if t.publish(f, path, as...) {
			t.Windows = append(t.Windows, w)
		}
	}
}

// missing are the keys that a window of its kind has to have.
func (s *WindowSpec) missing() (keys []string) {
	if s.Kind == window.Session && s.Gap == 0 {
		keys = append(keys, "gap")
	}
	if s.Kind != window.Session && s.Size == 0 {
		keys = append(keys, "size")
	}
	if s.Kind == window.Hopping && s.Every == 0 {
		keys = append(keys, "every")
	}
	if len(s.Functions) == 0 {
		keys = append(keys, "functions")
	}
	return keys
}

func windowOutputs(w *window.Window) ([]Template, error) {
	var out []Template
	for i := range w.Functions() {
		as, err := parseTemplate(w.Metric(metricMark, i))
		if err != nil {
			return nil, err
		}
		out = append(out, as)
	}
	return out, nil
}

// publish takes the names for an output, unless another one has one of them.
func (t *Treatment) publish(f *faults, path string, as ...Template) bool {
	for i, a := range as {
		if slices.Contains(t.outputs, a) || slices.Contains(as[:i], a) {
			f.at(path, "publishes %s, as another one does", a)
			return false
		}
	}
	t.outputs = append(t.outputs, as...)
	return true
}

func (t *Treatment) compileRules(s *Settings, f *faults) {
	if len(s.Rules) > maxRules {
		f.at("rules", "there are %d, and may be %d", len(s.Rules), maxRules)
	}
	for i := range s.Rules[:min(len(s.Rules), maxRules)] {
		r, err := s.Rules[i].Compile()
		if err != nil {
			f.of(yamlfile.Index("rules", i), err)
			continue
		}
		t.Rules = append(t.Rules, r)
	}
}

// checkName reports whether an entry may be called so.
func checkName(name string) bool {
	return len(name) <= maxNameBytes && !strings.ContainsFunc(name, func(r rune) bool { return r < 0x20 || r == 0x7f })
}
