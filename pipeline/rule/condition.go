package rule

import (
	"fmt"
	"math"
	"slices"

	"weir/expr"
	"weir/telemetry"
)

// phase is where the condition of a rule stands.
type phase uint8

const (
	off phase = iota
	pending
	on
)

// verdict is what a reading says of a condition; unknown leaves it as it is.
type verdict uint8

const (
	no verdict = iota
	yes
	unknown
)

func verdictOf(b bool) verdict {
	if b {
		return yes
	}
	return no
}

// source is what a rule looks at: Kind and Value as one small number, for the hot path.
type source uint8

const (
	ofAbsence source = iota
	ofDetector
	ofExpr
	ofValue
	ofAverage
	ofScore
	ofRate
)

func sourceOf(k Kind, v Value) source {
	switch {
	case k == Absence:
		return ofAbsence
	case k == Anomaly:
		return ofDetector
	case k == Expr:
		return ofExpr
	case k == Rate:
		return ofRate
	case v == Average:
		return ofAverage
	case v == Score:
		return ofScore
	}
	return ofValue
}

// MaxMetrics is how many other metrics of the device an expression may name.
const MaxMetrics = 16

// condition is a compiled expression over the variables of a series and the newest values of other metrics of its
// device.
type condition struct {
	program *expr.Program
	others  []string
}

// compileCondition returns nil for no source.
func compileCondition(field, source string) (*condition, error) {
	if source == "" || len(source) > MaxExprBytes {
		return nil, nil // said by check, where it matters
	}
	options := expr.Series(expr.Bool)
	own := len(options.Vars)
	options.AnyVar = true
	program, err := expr.Compile(source, options)
	if err != nil {
		return nil, &FieldError{Field: field, Reason: err.Error()}
	}
	others := program.Vars()[own:]
	if len(others) > MaxMetrics {
		return nil, &FieldError{Field: field, Reason: fmt.Sprintf("names more than %d other metrics", MaxMetrics)}
	}
	for _, name := range others {
		if err := telemetry.CheckMetric(name); err != nil {
			return nil, &FieldError{Field: field, Reason: fmt.Sprintf("%q can be no metric: %v", name, err)}
		}
	}
	return &condition{program: program, others: others}, nil
}

// Metrics are the other metrics of the device that the rule's expressions read, sorted.
func (r *Rule) Metrics() []string {
	var names []string
	for _, c := range []*condition{r.raise, r.clear} {
		if c != nil {
			names = append(names, c.others...)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func (c *condition) judge(s *Subject, o *Observation, rate float64) verdict {
	env := s.environment(expr.Rate + 2 + len(c.others))
	env.Numbers[expr.Value], env.Numbers[expr.Avg] = o.Value, o.Avg
	env.Numbers[expr.Lo], env.Numbers[expr.Hi] = o.Lo, o.Hi
	env.Numbers[expr.Score], env.Numbers[expr.Rate] = o.Score, rate
	env.Numbers[expr.TS] = float64(o.Time) / 1e6
	env.Strings[0] = o.State.String()
	for i, metric := range c.others {
		v := math.NaN()
		if s.Others != nil {
			if found, ok := s.Others(metric); ok {
				v = found
			}
		}
		env.Numbers[expr.TS+1+i] = v
	}
	holds, err := c.program.Bool(env)
	if err != nil {
		return unknown
	}
	return verdictOf(holds)
}

// judge says whether the condition holds with this reading, given where it stood.
func (r *Rule) judge(s *Subject, w *Watch, o *Observation, stood phase) verdict {
	switch r.watches {
	case ofDetector:
		return r.judgeAnomaly(o, stood)
	case ofExpr:
		return r.judgeExpr(s, w, o, stood)
	case ofAbsence:
		return no // here is a reading
	}
	return r.compare(r.observed(w, o), stood)
}

func (r *Rule) judgeExpr(s *Subject, w *Watch, o *Observation, stood phase) verdict {
	rate := w.rate(o)
	if stood != on || r.clear == nil {
		return r.raise.judge(s, o, rate)
	}
	switch r.clear.judge(s, o, rate) {
	case yes:
		return no
	case no:
		return yes
	}
	return unknown
}

// judgeAnomaly: the condition comes with an onset and stays while the detector alerts. It does not wait for Clear,
// because a detector whose state could not be read back forgot that it had raised anything.
func (r *Rule) judgeAnomaly(o *Observation, stood phase) verdict {
	if stood != off {
		return verdictOf(o.State == telemetry.Alerting)
	}
	comes := o.Onset
	if r.minScore > 0 {
		comes = o.State == telemetry.Alerting && o.Score >= r.minScore
	}
	return verdictOf(comes && (len(r.heads) == 0 || slices.Contains(r.heads, o.Head)))
}

func (r *Rule) compare(v float64, stood phase) verdict {
	above, below := r.above, r.below
	if stood == on {
		above, below = r.clearAbove, r.clearBelow
	}
	if math.IsNaN(v) {
		return unknown
	}
	return verdictOf(v > above || v < below)
}

// observed is what the rule compares with its levels; NaN: nothing to compare.
func (r *Rule) observed(w *Watch, o *Observation) float64 {
	switch r.watches {
	case ofRate:
		return w.rate(o)
	case ofAverage:
		return o.Avg
	case ofScore, ofDetector:
		return o.Score
	}
	return o.Value
}

// limit is the level that v passed when the condition came (yes) or went (no); NaN: there is none.
func (r *Rule) limit(v float64, holds verdict) float64 {
	switch r.watches {
	case ofDetector:
		if r.minScore > 0 {
			return r.minScore
		}
		return math.NaN()
	case ofAbsence:
		return float64(r.hold) / 1e6
	case ofExpr:
		return math.NaN()
	}
	above, below := r.above, r.below
	if holds == no {
		above, below = r.clearAbove, r.clearBelow
	}
	// The nearer of the two levels; one that was not given is infinitely far.
	if math.Abs(v-above) <= math.Abs(v-below) {
		return above
	}
	return below
}
