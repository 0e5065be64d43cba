package plan

import (
	"encoding"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"weir/internal/yamlfile"
	"weir/pipeline/rule"
	"weir/pipeline/window"
)

// Settings are what entries of pipelines set for a series, as written.
type Settings struct {
	Validate Validate `yaml:"validate"`
	Unit     string   `yaml:"unit"`
	// TimeZone is an IANA name; empty: UTC.
	TimeZone string            `yaml:"time_zone"`
	Tags     map[string]string `yaml:"tags"`
	// Filter keeps the readings for which it holds; nil: all.
	Filter   *string       `yaml:"filter"`
	Lateness time.Duration `yaml:"lateness"`
	// Average is the live path's.
	Average  window.AverageSpec `yaml:"average" plan:"whole"`
	Averages []AverageSpec      `yaml:"averages"`
	Counter  bool               `yaml:"counter"`
	Windows  []WindowSpec       `yaml:"windows"`
	// Detector is nil when it is off.
	Detector *DetectorSpec `yaml:"detector"`
	Rules    []RuleSpec    `yaml:"rules"`
}

// Validate says which readings are refused. nil: not by that.
type Validate struct {
	Min *float64 `yaml:"min"`
	Max *float64 `yaml:"max"`
	// MaxRate bounds how fast the value may change.
	MaxRate *Rate `yaml:"max_rate"`
	// StuckAfter is how long the value may stay the very same.
	StuckAfter *time.Duration `yaml:"stuck_after"`
	// Whole refuses numbers with a fraction.
	Whole bool `yaml:"whole"`
}

// Rate is a change per second.
type Rate float64

// UnmarshalText reads a number per s, min, h or d, such as 5/s or 0.5/min.
func (r *Rate) UnmarshalText(text []byte) error {
	number, per, ok := strings.Cut(string(text), "/")
	seconds := map[string]float64{"s": 1, "min": 60, "h": 3600, "d": 86400}[strings.TrimSpace(per)]
	v, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if !ok || seconds == 0 || err != nil || !(v > 0) || math.IsInf(v, 0) {
		return errors.New("must be a rate above 0 such as 5/s, 30/min or 100/h")
	}
	*r = Rate(v / seconds)
	return nil
}

// MarshalText writes the rate per second.
func (r Rate) MarshalText() ([]byte, error) {
	return []byte(strconv.FormatFloat(float64(r), 'g', -1, 64) + "/s"), nil
}

// AverageSpec is a moving average that is published as a series of its own.
type AverageSpec struct {
	window.AverageSpec `yaml:",inline"`
	// As is the name of the output; by default {metric}.ewma, {metric}.median or {metric}.avg.
	As string `yaml:"as"`
}

func (s AverageSpec) key() string {
	if s.As != "" {
		return s.As
	}
	switch s.Kind {
	case window.Exponential:
		return "{metric}.ewma"
	case window.Median:
		return "{metric}.median"
	}
	return "{metric}.avg"
}

// WindowSpec is a window as written.
type WindowSpec struct {
	window.Spec `yaml:",inline"`
}

// key is the name that the window has without one, too.
func (s WindowSpec) key() string {
	switch {
	case s.Name != "":
		return s.Name
	case s.Kind == window.Session:
		return "session"
	case s.Size == 0:
		return "" // it was told that it is missing
	}
	return durationText(s.Size)
}

// RuleSpec is a rule as written.
type RuleSpec struct {
	rule.Spec `yaml:",inline"`
}

func (s RuleSpec) key() string { return s.Name }

// defaults are the settings of a series that no entry matches.
func defaults() Settings {
	detector := defaultDetector()
	return Settings{Detector: &detector, Rules: []RuleSpec{{*rule.Default()}}}
}

// published are the settings of a series that averages, windows or a rate make, before entries that spell out
// its name: it is published and nothing more.
func published() Settings { return Settings{} }

// freshOf is what new values begin with, besides zero.
func freshOf(t reflect.Type) reflect.Value {
	if t == reflect.TypeFor[DetectorSpec]() {
		return reflect.ValueOf(defaultDetector())
	}
	return reflect.Value{}
}

// setting is one setting in force.
type setting struct{ name, value string }

// flatten lists the settings that are not empty, by the names that the decoder gives them.
func (s *Settings) flatten() []setting {
	var out []setting
	flatten(reflect.ValueOf(s).Elem(), "", &out)
	return out
}

func flatten(v reflect.Value, name string, out *[]setting) {
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return
		}
		v = v.Elem()
	}
	add := func(value string) { *out = append(*out, setting{name, value}) }
	if v.Type() == durationType {
		if v.Int() != 0 {
			add(durationText(time.Duration(v.Int())))
		}
		return
	}
	if text, ok := v.Interface().(encoding.TextMarshaler); ok {
		if b, err := text.MarshalText(); err == nil {
			add(string(b))
		}
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		flattenSection(v, name, out)
	case reflect.Map:
		keys := v.MapKeys()
		slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
		for _, k := range keys {
			flatten(v.MapIndex(k), yamlfile.Join(name, k.String()), out)
		}
	case reflect.Slice:
		flattenList(v, name, out)
	default:
		if !v.IsZero() {
			add(fmt.Sprint(v.Interface()))
		}
	}
}

func flattenSection(v reflect.Value, name string, out *[]setting) {
	for i := range v.NumField() {
		info := v.Type().Field(i)
		key, options, _ := strings.Cut(info.Tag.Get("yaml"), ",")
		switch {
		case !info.IsExported() || key == "-":
		case strings.Contains(options, "inline"):
			var inner []setting
			flattenSection(v.Field(i), "", &inner)
			for _, s := range inner {
				if !slices.Contains(hidden(info.Tag), s.name) {
					*out = append(*out, setting{yamlfile.Join(name, s.name), s.value})
				}
			}
		case key != "":
			flatten(v.Field(i), yamlfile.Join(name, key), out)
		}
	}
}

// flattenList makes a setting of every item that has a key, and one of a whole list of others.
func flattenList(v reflect.Value, name string, out *[]setting) {
	var plain []string
	for i := range v.Len() {
		item := v.Index(i)
		if k, ok := item.Interface().(keyed); ok {
			flatten(item, yamlfile.Join(name, k.key()), out)
			continue
		}
		var one []setting
		flatten(item, "", &one)
		for _, s := range one {
			plain = append(plain, s.value)
		}
	}
	if len(plain) > 0 {
		*out = append(*out, setting{name, strings.Join(plain, ", ")})
	}
}

// durationText leaves out the zero parts: 1m, not 1m0s.
func durationText(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
