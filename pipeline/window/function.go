package window

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// function is what a window tells of its readings.
type function struct {
	name string
	of   func(*Partial) float64
	q    float64 // in (0, 1): a quantile, of is nil
}

// functions are those without a number in their name.
var functions = [...]function{
	{name: "count", of: func(p *Partial) float64 { return float64(p.N) }},
	{name: "sum", of: func(p *Partial) float64 { return p.Sum }},
	{name: "mean", of: func(p *Partial) float64 { return p.Mean }},
	{name: "min", of: func(p *Partial) float64 { return p.Min }},
	{name: "max", of: func(p *Partial) float64 { return p.Max }},
	{name: "range", of: func(p *Partial) float64 { return p.Max - p.Min }},
	{name: "stddev", of: (*Partial).stddev},
	{name: "first", of: func(p *Partial) float64 { return p.First }},
	{name: "last", of: func(p *Partial) float64 { return p.Last }},
}

// parseFunction takes the name of a function: one of functions, or pNN or pNN.N for a quantile in per cent.
func parseFunction(name string) (function, error) {
	for _, f := range functions {
		if f.name == name {
			return f, nil
		}
	}
	if digits, ok := strings.CutPrefix(name, "p"); ok {
		percent, err := strconv.ParseFloat(digits, 64)
		if err == nil && percent > 0 && percent < 100 && strconv.FormatFloat(percent, 'f', -1, 64) == digits {
			return function{name: name, q: percent / 100}, nil
		}
	}
	return function{}, fmt.Errorf("%q is not a function: count, sum, mean, min, max, range, stddev, first, last, or a quantile like p50 or p99.9", name)
}

// value is what f tells of the readings in p, which is not empty, or NaN when that overflows.
func (f *function) value(p *Partial) float64 {
	var v float64
	if f.of != nil {
		v = f.of(p)
	} else if p.sketch != nil {
		v = min(max(p.sketch.quantile(f.q, p.N), p.Min), p.Max)
	} else {
		return math.NaN()
	}
	if math.IsInf(v, 0) {
		return math.NaN()
	}
	return v
}
