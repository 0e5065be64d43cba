package plan

import (
	"math"
	"reflect"
	"time"

	"weir/expr"
	"weir/pipeline/detect"
	"weir/pipeline/rule"
	"weir/pipeline/window"
)

// Treatment is what is done with a series. It does not change and is shared by all series with the same settings.
type Treatment struct {
	// Entries are the names of the entries that apply, in their order.
	Entries []string
	Checks  Checks
	// Filter is a condition over expr.Series, nil: none. A reading is kept when it holds.
	Filter *expr.Program
	Unit   string
	// Zone is nil when the entries do not name one.
	Zone *time.Location
	Tags map[string]string
	// Lateness is how far, in source time, a reading may lie behind the newest of its device; 0: as the server is set.
	Lateness time.Duration
	// Average is the live path's, with its defaults filled in.
	Average  window.AverageSpec
	Averages []Average
	// Counter: the series grows and begins anew; Rate is what its change per second is published as, and the
	// detector watches that in place of the series.
	Counter bool
	Rate    Template
	Windows []*window.Window
	// Detect is nil when the detector is off.
	Detect *detect.Params
	Rules  []*rule.Rule
	// Published: the series is the output of an average, a window or a rate. It has none of these itself.
	Published bool
	// Faults are settings of several entries that cannot be together; the later one was left out.
	Faults []string

	outputs []Template
	spec    Settings
	origins map[string]string
}

// Checks say which readings are refused. The bounds are infinite where nothing is given.
type Checks struct {
	Min, Max float64
	MaxRate  float64 // per second
	// StuckAfter is 0 when a value may stay.
	StuckAfter time.Duration
	Whole      bool
}

// Average is a moving average that is published as a series of its own.
type Average struct {
	Spec window.AverageSpec
	As   Template
}

// Outputs are the names under which averages, windows and the rate of the series are published.
func (t *Treatment) Outputs() []Template { return t.outputs }

// treatment returns the shared treatment of series to which just these entries apply.
func (p *Plan) treatment(entries []int32, published bool) *Treatment {
	key := treatmentKey(entries, published)
	p.mu.RLock()
	t := p.treatments[key]
	p.mu.RUnlock()
	if t != nil {
		return t
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if t = p.treatments[key]; t == nil {
		t = p.build(entries, published)
		p.treatments[key] = t
	}
	return t
}

func treatmentKey(entries []int32, published bool) string {
	key := make([]byte, 0, 1+2*len(entries))
	if published {
		key = append(key, 'p')
	}
	for _, e := range entries {
		key = append(key, byte(e>>8), byte(e))
	}
	return string(key)
}

// build lays the entries over the defaults and compiles what comes out. The caller has the lock, or is alone.
func (p *Plan) build(entries []int32, isPublished bool) *Treatment {
	s := defaults()
	if isPublished {
		s = published()
	}
	t := &Treatment{Published: isPublished, origins: map[string]string{}}
	f := &faults{lines: map[string]int{}}
	for _, i := range entries {
		e := p.entries[i]
		t.Entries = append(t.Entries, e.name)
		d := decoder{faults: f, fresh: freshOf, set: func(name string, off bool) { t.comesFrom(name, off, e.name) }}
		over := entrySpec{Settings: s}
		d.into(e.node, reflect.ValueOf(&over).Elem(), e.path, "")
		s = over.Settings
	}
	// Each entry by itself was checked when the file was read: what follows is of entries together.
	f.List = nil
	if isPublished {
		s.Averages, s.Windows, s.Counter = nil, nil, false
	}
	t.compile(&s, &p.detectors, f)
	for _, fault := range f.List {
		fault.Line = 0
		t.Faults = append(t.Faults, fault.Error())
	}
	s.Average = t.Average
	t.spec = s
	return t
}

func (t *Treatment) comesFrom(name string, off bool, entry string) {
	if off {
		for k := range t.origins {
			if len(k) > len(name) && k[:len(name)] == name && k[len(name)] == '.' {
				delete(t.origins, k)
			}
		}
	}
	t.origins[name] = entry
}

// compile fills t from the settings. What is wrong it leaves out, and records.
func (t *Treatment) compile(s *Settings, shared *detectors, f *faults) {
	t.Checks = s.Validate.compile(f)
	t.Unit, t.Tags = s.Unit, s.Tags
	checkTexts(s, f)
	t.Zone = zone(s.TimeZone, f)
	t.Filter = s.compileFilter(f)
	if t.Lateness = s.Lateness; t.Lateness > maxLateness {
		f.at("lateness", "must be at most %s", durationText(maxLateness))
		t.Lateness = 0
	}
	t.Average = s.Average.WithDefaults()
	if err := s.Average.Validate(); err != nil {
		f.of("average", err)
		t.Average = window.AverageSpec{}.WithDefaults()
	}
	t.compileOutputs(s, f)
	t.Detect = s.compileDetector(shared, f)
	t.compileRules(s, f)
}

func (v *Validate) compile(f *faults) Checks {
	c := Checks{Min: math.Inf(-1), Max: math.Inf(1), MaxRate: math.Inf(1), Whole: v.Whole}
	if v.Min != nil {
		c.Min = *v.Min
	}
	if v.Max != nil {
		c.Max = *v.Max
	}
	if c.Min > c.Max {
		f.at("validate.max", "is %g, below validate.min, which is %g", c.Max, c.Min)
		c.Max = math.Inf(1)
	}
	if v.MaxRate != nil {
		c.MaxRate = float64(*v.MaxRate)
	}
	if v.StuckAfter != nil {
		c.StuckAfter = *v.StuckAfter
		if c.StuckAfter <= 0 || c.StuckAfter > maxStuck {
			f.at("validate.stuck_after", "must be above 0 and at most %s", durationText(maxStuck))
		}
	}
	return c
}
