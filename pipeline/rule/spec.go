package rule

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"weir/telemetry"
)

// Kind is what a rule's condition looks at.
type Kind string

const (
	// Threshold compares a value of the series with a level.
	Threshold Kind = "threshold"
	// Absence holds when no reading has come for a while.
	Absence Kind = "absence"
	// Rate compares the change per second with a level.
	Rate Kind = "rate"
	// Anomaly holds while the detector alerts.
	Anomaly Kind = "anomaly"
	// Expr holds when an expression does.
	Expr Kind = "expr"
)

// Value is which value of a reading a Threshold compares.
type Value string

const (
	Last    Value = "last"
	Average Value = "avg"
	Score   Value = "score"
)

// Bounds of a Spec.
const (
	MaxNameBytes       = 64
	MaxExprBytes       = 1024
	MaxLabels          = 16
	MaxLabelBytes      = 256  // of a rendered label
	MaxAnnotationBytes = 1024 // of a rendered annotation
	MaxFlapCount       = 32
	MaxDuration        = 31 * 24 * time.Hour
)

// What a rule does when nothing else is said.
const (
	DefaultFlapCount  = 5
	DefaultFlapPeriod = 10 * time.Minute
	// DefaultName is the rule that watches every series where no file says otherwise.
	DefaultName = "deviation"
)

// Spec is a rule as it is written. The zero values of all but Name and Kind are the defaults.
type Spec struct {
	Name string `yaml:"name" json:"name"`
	Kind Kind   `yaml:"kind" json:"kind"`

	// Value is for Threshold: last (default), avg or score.
	Value Value `yaml:"value,omitempty" json:"value,omitempty"`
	// Above and Below are the levels of Threshold, and per second those of Rate. One of them has to be given; with
	// both, the condition holds outside of them. It comes when the value is above Above or below Below, and goes when
	// it is neither above ClearAbove nor below ClearBelow, which are the same levels unless given.
	Above      *float64 `yaml:"above,omitempty" json:"above,omitempty"`
	Below      *float64 `yaml:"below,omitempty" json:"below,omitempty"`
	ClearAbove *float64 `yaml:"clear_above,omitempty" json:"clear_above,omitempty"`
	ClearBelow *float64 `yaml:"clear_below,omitempty" json:"clear_below,omitempty"`

	// MinScore and Heads are for Anomaly: the condition comes with a score of at least MinScore (0: whatever raised
	// the detector's own alert) by one of Heads (none: any).
	MinScore float64  `yaml:"min_score,omitempty" json:"min_score,omitempty"`
	Heads    []string `yaml:"heads,omitempty" json:"heads,omitempty"`

	// Raise and Clear are for Expr. Without Clear the condition goes when Raise no longer holds.
	Raise string `yaml:"raise,omitempty" json:"raise,omitempty"`
	Clear string `yaml:"clear,omitempty" json:"clear,omitempty"`

	// For is how long (source time) the condition has to hold before it is told; of Absence, how long (processing
	// time) nothing has come.
	For time.Duration `yaml:"for,omitempty" json:"for,omitempty"`
	// KeepFiringFor is how long (processing time) the alert stays open after its condition went.
	KeepFiringFor time.Duration `yaml:"keep_firing_for,omitempty" json:"keep_firing_for,omitempty"`

	Severity telemetry.Severity `yaml:"severity,omitempty" json:"severity,omitempty"` // default warning
	// Labels are rendered when the alert is raised, Annotations with each transition.
	Labels      map[string]string `yaml:"labels,omitempty" json:"labels,omitempty"`
	Annotations map[string]string `yaml:"annotations,omitempty" json:"annotations,omitempty"`
	Flapping    Flapping          `yaml:"flapping,omitempty" json:"flapping,omitzero"`
	// InhibitedBy names rules: while an alert of one of them is open on the same device, alerts of this one are not
	// news.
	InhibitedBy []string `yaml:"inhibited_by,omitempty" json:"inhibited_by,omitempty"`
}

// Flapping says when the coming and going of a condition becomes one alert: when it came Count times (default 5)
// within Period of processing time (default 10 minutes). That ends when it neither came nor went for Period.
type Flapping struct {
	Count  int           `yaml:"count,omitempty" json:"count,omitempty"`
	Period time.Duration `yaml:"period,omitempty" json:"period,omitempty"`
	Off    bool          `yaml:"off,omitempty" json:"off,omitempty"`
}

// Default is the rule that is in force where no file says otherwise.
func Default() *Spec { return &Spec{Name: DefaultName, Kind: Anomaly} }

// FieldError says what is wrong with one field of a Spec.
type FieldError struct {
	Field  string
	Reason string
	// Without is another field, for want of which this one is wrong; mostly empty.
	Without string
}

func (e *FieldError) Error() string { return e.Field + ": " + e.Reason }

// Validate reports everything that is wrong with the rule, as FieldErrors joined.
func (s *Spec) Validate() error {
	_, err := s.Compile()
	return err
}

// checker collects what is wrong.
type checker struct{ errs []error }

func (c *checker) that(ok bool, field, format string, args ...any) {
	if !ok {
		c.errs = append(c.errs, &FieldError{Field: field, Reason: fmt.Sprintf(format, args...)})
	}
}

// with is that for what is wrong because another field is missing.
func (c *checker) with(other string, ok bool, field, reason string) {
	if !ok {
		c.errs = append(c.errs, &FieldError{field, reason, other})
	}
}

// given tells what is missing, and what would do in its place.
func (c *checker) given(ok bool, field, instead string) {
	c.that(ok, field, "is missing%s", instead)
}

func (s *Spec) check() error {
	var c checker
	c.given(s.Name != "", "name", "")
	c.that(s.Name == "" || validName(s.Name), "name", "has to be 1 to %d letters, digits, dots, dashes or underscores", MaxNameBytes)
	severities := []telemetry.Severity{"", telemetry.Info, telemetry.Warning, telemetry.Critical}
	c.that(slices.Contains(severities, s.Severity), "severity", "%q is none of info, warning, critical", s.Severity)
	c.that(s.For >= 0 && s.For <= MaxDuration || s.Kind == Absence && s.For < time.Second, "for", "has to be between 0 and %v", MaxDuration)
	c.that(s.KeepFiringFor >= 0 && s.KeepFiringFor <= MaxDuration, "keep_firing_for", "has to be between 0 and %v", MaxDuration)
	f := s.Flapping
	c.that(f.Count == 0 || f.Count >= 2 && f.Count <= MaxFlapCount, "flapping.count", "has to be between 2 and %d", MaxFlapCount)
	c.that(f.Period == 0 || f.Period >= time.Second && f.Period <= MaxDuration, "flapping.period",
		"has to be between 1s and %v", MaxDuration)
	for i, name := range s.InhibitedBy {
		c.that(validName(name), fmt.Sprintf("inhibited_by[%d]", i), "%q is no name of a rule", name)
		c.that(name == "" || name != s.Name, fmt.Sprintf("inhibited_by[%d]", i), "is the rule itself")
	}
	s.checkKind(&c)
	return errors.Join(c.errs...)
}

func (s *Spec) checkKind(c *checker) {
	switch s.Kind {
	case Threshold:
		values := []Value{"", Last, Average, Score}
		c.that(slices.Contains(values, s.Value), "value", "%q is none of last, avg, score", s.Value)
		s.checkLevels(c)
	case Rate:
		s.checkLevels(c)
	case Absence:
		c.given(s.For != 0, "for", "")
		c.that(s.For == 0 || s.For >= time.Second, "for", "absence needs at least 1s")
	case Anomaly:
		c.that(s.MinScore >= 0 && s.MinScore < 1, "min_score", "has to be at least 0 and below 1")
		s.checkHeads(c)
	case Expr:
		c.given(s.Raise != "", "raise", "")
		c.that(len(s.Raise) <= MaxExprBytes, "raise", "longer than %d bytes", MaxExprBytes)
		c.that(len(s.Clear) <= MaxExprBytes, "clear", "longer than %d bytes", MaxExprBytes)
	case "":
		c.given(false, "kind", "; there are: threshold, absence, rate, anomaly, expr")
		return
	default:
		c.that(false, "kind", "%q is none of threshold, absence, rate, anomaly, expr", s.Kind)
		return
	}
	levels := s.Kind == Threshold || s.Kind == Rate
	foreign := func(given, allowed bool, field string) {
		c.that(!given || allowed, field, "has no meaning for kind %s", s.Kind)
	}
	foreign(s.Value != "", s.Kind == Threshold, "value")
	foreign(s.Above != nil, levels, "above")
	foreign(s.Below != nil, levels, "below")
	foreign(s.ClearAbove != nil, levels, "clear_above")
	foreign(s.ClearBelow != nil, levels, "clear_below")
	foreign(s.MinScore != 0, s.Kind == Anomaly, "min_score")
	foreign(len(s.Heads) > 0, s.Kind == Anomaly, "heads")
	foreign(s.Raise != "", s.Kind == Expr, "raise")
	foreign(s.Clear != "", s.Kind == Expr, "clear")
}

func (s *Spec) checkHeads(c *checker) {
	if len(s.Heads) > MaxLabels {
		c.that(false, "heads", "more than %d", MaxLabels)
		return
	}
	for i, name := range s.Heads {
		field := fmt.Sprintf("heads[%d]", i)
		c.that(finding(name) != "", field, "%.70q is no head of the detector; there are: %s", name, headNames())
		c.that(!slices.Contains(s.Heads[:i], name), field, "%.70q is there twice", name)
	}
}

func (s *Spec) checkLevels(c *checker) {
	c.with("below", s.Above != nil || s.Below != nil, "above", "is missing; below would do, too")
	for _, l := range []struct {
		field string
		level *float64
	}{{"above", s.Above}, {"below", s.Below}, {"clear_above", s.ClearAbove}, {"clear_below", s.ClearBelow}} {
		c.that(l.level == nil || !math.IsNaN(*l.level) && !math.IsInf(*l.level, 0), l.field, "has to be a number")
	}
	c.with("above", s.ClearAbove == nil || s.Above != nil, "clear_above", "has no meaning without above")
	c.with("below", s.ClearBelow == nil || s.Below != nil, "clear_below", "has no meaning without below")
	above, below, clearAbove, clearBelow := s.levels()
	c.that(!(clearAbove > above), "clear_above", "is above the level that raises")
	c.that(!(clearBelow < below), "clear_below", "is below the level that raises")
	c.that(!(clearBelow > clearAbove), "clear_below", "no value would be between clear_below and clear_above")
}

// levels are those in force; infinite ones never raise.
func (s *Spec) levels() (above, below, clearAbove, clearBelow float64) {
	above, below = math.Inf(1), math.Inf(-1)
	if s.Above != nil {
		above = *s.Above
	}
	if s.Below != nil {
		below = *s.Below
	}
	clearAbove, clearBelow = above, below
	if s.ClearAbove != nil {
		clearAbove = *s.ClearAbove
	}
	if s.ClearBelow != nil {
		clearBelow = *s.ClearBelow
	}
	return above, below, clearAbove, clearBelow
}

// validName reports whether name may be that of a rule or a label.
func validName(name string) bool {
	if name == "" || len(name) > MaxNameBytes {
		return false
	}
	for _, r := range name {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '_', r == '.':
		default:
			return false
		}
	}
	return true
}
