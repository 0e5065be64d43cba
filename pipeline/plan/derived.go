package plan

import (
	"fmt"
	"slices"
	"time"

	"weir/expr"
	"weir/internal/yamlfile"
	"weir/telemetry"
)

const (
	defaultMaxAge = time.Minute
	maxAge        = 24 * time.Hour
	// maxInputs bounds the metrics in all expressions of a file.
	maxInputs = 4000
)

// derivedSpec is an entry of derived.
type derivedSpec struct {
	Match  Patterns      `yaml:"match"` // of devices
	As     string        `yaml:"as"`
	Expr   string        `yaml:"expr"`
	MaxAge time.Duration `yaml:"max_age"`
	Unit   string        `yaml:"unit"`
}

// Derived is a series that is computed from metrics of its device.
type Derived struct {
	// As is its metric.
	As string
	// Inputs are the metrics of the expression, by their place in expr.Env.Numbers. One without a value, or
	// whose value is older than MaxAge, is NaN; when the result is not finite then, there is none.
	Inputs []string
	Expr   *expr.Program
	MaxAge time.Duration
	Unit   string

	match Patterns
	path  string
}

func (p *Plan) checkDerived(spec *file, f *faults) {
	inputs := 0
	for i := range spec.Derived {
		s := &spec.Derived[i]
		d := &Derived{As: s.As, MaxAge: s.MaxAge, Unit: s.Unit, match: s.Match, path: yamlfile.Index("derived", i)}
		d.check(s, f)
		inputs += len(d.Inputs)
		p.derived = append(p.derived, d)
	}
	if inputs > maxInputs {
		f.at("derived", "the expressions name %d metrics in all, and may name %d", inputs, maxInputs)
	}
}

func (d *Derived) check(s *derivedSpec, f *faults) {
	checkMatch(d.path, d.match, f)
	if d.As == "" {
		f.at(d.path+".as", "is missing")
	} else if err := telemetry.CheckMetric(d.As); err != nil {
		f.at(d.path+".as", "%q cannot be the name of a metric: %v", d.As, err)
	}
	if d.MaxAge <= 0 || d.MaxAge > maxAge {
		f.at(d.path+".max_age", "must be above 0 and at most %s", durationText(maxAge))
	}
	if len(s.Unit) > maxTextBytes {
		f.at(d.path+".unit", "is longer than %d bytes", maxTextBytes)
	}
	if s.Expr == "" {
		f.at(d.path+".expr", "is missing")
		return
	}
	program, err := expr.Compile(s.Expr, expr.Options{AnyVar: true, Result: expr.Number})
	if err != nil {
		ofExpr(f, d.path+".expr", err)
		return
	}
	d.Expr, d.Inputs = program, program.Vars()
	if len(d.Inputs) == 0 {
		f.at(d.path+".expr", "names no metric")
	}
	if len(d.Inputs) > maxExprInputs {
		f.at(d.path+".expr", "names %d metrics, and may name %d", len(d.Inputs), maxExprInputs)
	}
	for _, name := range d.Inputs {
		if err := telemetry.CheckMetric(name); err != nil {
			f.at(d.path+".expr", "%q cannot be the name of a metric: %v", name, err)
		}
	}
}

// deviceSet is what devices have in common that the same patterns match.
type deviceSet struct{ derived []*Derived }

// Device is what the plan does with a device. It does not change, and is safe for concurrent use.
type Device struct {
	plan *Plan
	path string
	set  *deviceSet
}

// Device says which series are derived from the metrics of a device.
func (p *Plan) Device(device string) *Device {
	var buf [16]int32
	found := p.devices.Match(device, buf[:0])
	slices.Sort(found)
	found = slices.Compact(found)
	key := treatmentKey(found, false)
	p.mu.RLock()
	set := p.sets[key]
	p.mu.RUnlock()
	if set == nil {
		set = &deviceSet{}
		for _, i := range found {
			set.derived = append(set.derived, p.derived[i])
		}
		p.mu.Lock()
		if old := p.sets[key]; old != nil {
			set = old
		}
		p.sets[key] = set
		p.mu.Unlock()
	}
	return &Device{plan: p, path: device, set: set}
}

// Derived are the device's derived series, each after those that it is made of. The caller must not change them.
func (d *Device) Derived() []*Derived { return d.set.derived }

// Outputs reports whether the plan makes the metric itself, so that the device cannot send it: a derived series,
// or the average, window or rate of another metric.
func (d *Device) Outputs(metric string) bool {
	for _, one := range d.set.derived {
		if one.As == metric {
			return true
		}
	}
	return d.plan.published(d.path, metric)
}

// Base is the metric of which the given one is an average, a window or the rate; the longest, if of several.
func (d *Device) Base(metric string) (base string, ok bool) { return d.plan.base(d.path, metric) }

// Groups are the groups that the metric is a member of.
func (d *Device) Groups(metric string) []Member {
	return d.plan.Members(telemetry.Series(d.path, metric))
}

// checkNames refuses derived series and groups of which some device would have two under one name.
func (p *Plan) checkNames(f *faults) {
	nodes := p.nodes()
	for i, a := range nodes {
		for _, b := range nodes[:i] {
			if a.metric == b.metric || a.metric == "" || b.metric == "" {
				if meetAny(a.makes, b.makes, anySegment) {
					f.at(a.path+".as", "%s makes a series of the same name", b.path)
				}
			}
		}
		for _, t := range p.templates {
			base, ok := t.base(a.metric)
			if !ok {
				continue
			}
			for _, e := range t.entries {
				if meetAny(withMetric(a.makes, base), segmentsOf(p.entries[e].spec.Match), anySegment) {
					f.at(a.path+".as", "%s publishes %s of %s under the same name", p.entries[e].label(), t, base)
					break
				}
			}
		}
	}
}

func withMetric(paths [][]string, metric string) [][]string {
	out := make([][]string, len(paths))
	for i, p := range paths {
		out[i] = append(slices.Clone(p[:len(p)-1]), metric)
	}
	return out
}

func segmentsOf(p Patterns) [][]string {
	out := make([][]string, len(p))
	for i := range p {
		out[i] = p[i].segments
	}
	return out
}

func meetAny(a, b [][]string, takes taking) bool {
	for _, x := range a {
		for _, y := range b {
			if meet(x, y, takes) {
				return true
			}
		}
	}
	return false
}

func (d *Derived) String() string { return fmt.Sprintf("%s = %s", d.As, d.Expr) }
