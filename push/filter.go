package push

import (
	"errors"
	"fmt"
	"math"
	"strings"

	"weir/expr"
	"weir/telemetry"
	"weir/wire"
)

// filter is a condition over the row of a series as it would be told, and over what is known of the series. It is safe
// for concurrent use, each user with an environment of its own.
type filter struct {
	source  string
	program *expr.Program
	// numbers and texts are how to get what the condition names, and nothing else.
	numbers []filterNumber
	texts   []filterText
	// described: the condition is about metadata.
	described bool
	size      int // of the environment's texts
}

type filterNumber struct {
	slot int
	of   func(*telemetry.Update) float64
}

type filterText struct {
	slot int
	of   func(*series) string
}

// filterTexts are the texts that a condition can name.
var filterTexts = []struct {
	name      string
	described bool
	of        func(*series) string
}{
	{"series", false, func(s *series) string { return s.name }},
	{"device", false, func(s *series) string { return deviceOf(s.name) }},
	{"metric", false, func(s *series) string { return s.name[strings.LastIndexByte(s.name, '/')+1:] }},
	{"unit", true, func(s *series) string {
		if s.meta == nil {
			return ""
		}
		return s.meta.Unit
	}},
}

// filterTags is the group of texts that a device's tags are.
const filterTags = "tags"

// columnNumbers are what a row's columns hold, by their place; NaN where that is unknown.
var columnNumbers = func() map[string]func(*telemetry.Update) float64 {
	ofReadings := func(of func(*telemetry.Update) float64) func(*telemetry.Update) float64 {
		return func(u *telemetry.Update) float64 {
			if u.N == 0 {
				return math.NaN()
			}
			return of(u)
		}
	}
	return map[string]func(*telemetry.Update) float64{
		"version":   func(u *telemetry.Update) float64 { return float64(u.Version) },
		"since":     func(u *telemetry.Update) float64 { return float64(u.Since) },
		"n":         func(u *telemetry.Update) float64 { return float64(u.N) },
		"late":      func(u *telemetry.Update) float64 { return float64(u.Late) },
		"invalid":   func(u *telemetry.Update) float64 { return float64(u.Invalid) },
		"first_ts":  ofReadings(func(u *telemetry.Update) float64 { return float64(u.FirstTime) }),
		"last_ts":   ofReadings(func(u *telemetry.Update) float64 { return float64(u.LastTime) }),
		"last":      ofReadings(func(u *telemetry.Update) float64 { return u.Last }),
		"min":       ofReadings(func(u *telemetry.Update) float64 { return u.Min }),
		"max":       ofReadings(func(u *telemetry.Update) float64 { return u.Max }),
		"sum":       ofReadings(func(u *telemetry.Update) float64 { return u.Sum }),
		"avg":       func(u *telemetry.Update) float64 { return u.Avg },
		"lo":        func(u *telemetry.Update) float64 { return u.Lo },
		"hi":        func(u *telemetry.Update) float64 { return u.Hi },
		"state":     func(u *telemetry.Update) float64 { return float64(u.State) },
		"score":     func(u *telemetry.Update) float64 { return u.Score },
		"worst":     func(u *telemetry.Update) float64 { return float64(u.Worst) },
		"ingest_ts": func(u *telemetry.Update) float64 { return float64(u.IngestTime) },
		"emit_ts":   func(u *telemetry.Update) float64 { return float64(u.EmitTime) },
	}
}()

var filterOptions = func() expr.Options {
	states := make([]string, 0, telemetry.Alerting+1)
	for s := telemetry.OK; s <= telemetry.Alerting; s++ {
		states = append(states, s.String())
	}
	o := expr.Options{
		Vars:   wire.Columns()[1:], // not the place in a dictionary
		Named:  map[string][]string{"state": states, "worst": states},
		Groups: []string{filterTags},
		Result: expr.Bool,
	}
	for _, t := range filterTexts {
		o.Strings = append(o.Strings, expr.Text{Name: t.name})
	}
	return o
}()

// compileFilter reads a condition.
func compileFilter(source string) (*filter, *wire.Error) {
	program, err := expr.Compile(source, filterOptions)
	if err != nil {
		return nil, filterError(err)
	}
	f := &filter{source: source, program: program}
	for slot, name := range filterOptions.Vars {
		if program.Uses(name) {
			f.numbers = append(f.numbers, filterNumber{slot, columnNumbers[name]})
		}
	}
	for slot, t := range filterTexts {
		if program.Uses(t.name) {
			f.texts = append(f.texts, filterText{slot, t.of})
			f.described = f.described || t.described
		}
	}
	for i, m := range program.Members() {
		f.described = true
		f.texts = append(f.texts, filterText{len(filterTexts) + i, func(s *series) string {
			if s.meta == nil {
				return ""
			}
			return s.meta.Tags[m.Name]
		}})
	}
	f.size = len(filterTexts) + len(program.Members())
	return f, nil
}

// filterError tells of the first fault: where it is, and what.
func filterError(err error) *wire.Error {
	out := &wire.Error{Code: wire.CodeFilterInvalid, Path: "payload.filter", Message: err.Error()}
	var fault *expr.Error
	if errors.As(err, &fault) {
		out.Message = fmt.Sprintf("line %d, column %d: %s", fault.Line, fault.Column, fault.Reason)
	}
	return out
}

func (f *filter) env() expr.Env {
	return expr.Env{Numbers: make([]float64, len(filterOptions.Vars)), Strings: make([]string, f.size)}
}

// meets reports whether the condition holds for a row of a series; what hangs on something unknown does not.
func (f *filter) meets(env *expr.Env, s *series, u *telemetry.Update) bool {
	for i := range f.numbers {
		env.Numbers[f.numbers[i].slot] = f.numbers[i].of(u)
	}
	for i := range f.texts {
		env.Strings[f.texts[i].slot] = f.texts[i].of(s)
	}
	holds, err := f.program.Bool(env)
	return err == nil && holds
}

// deviceOf is the device of a series.
func deviceOf(series string) string {
	if i := strings.LastIndexByte(series, '/'); i >= 0 {
		return series[:i]
	}
	return series
}
