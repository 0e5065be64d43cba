package expr

import (
	"fmt"
	"maps"
	"math"
	"slices"
)

// arithmetic is nil when op is no operation on numbers. A result that is not finite is unknown from here on:
// otherwise 1/(x/0) would be 0.
func arithmetic(op string, l, r operand) numberFunc {
	f, g := l.number, r.number
	switch op {
	case "+":
		return func(e *Env) float64 { return checked(f(e) + g(e)) }
	case "-":
		return func(e *Env) float64 { return checked(f(e) - g(e)) }
	case "*":
		return func(e *Env) float64 { return checked(f(e) * g(e)) }
	case "/":
		return func(e *Env) float64 { return divide(f(e), g(e)) }
	case "%":
		return func(e *Env) float64 { return modulo(f(e), g(e)) }
	case "**", "^":
		return func(e *Env) float64 { return power(f(e), g(e)) }
	case "??":
		return func(e *Env) float64 {
			if v := f(e); finite(v) {
				return v
			}
			return g(e)
		}
	}
	return nil
}

func chooseNumber(cond truthFunc, a, b numberFunc) numberFunc {
	return func(e *Env) float64 {
		switch cond(e) {
		case yes:
			return a(e)
		case no:
			return b(e)
		}
		return unknown
	}
}

func checked(v float64) float64 {
	if !finite(v) {
		return unknown
	}
	return v
}

// divide, modulo and power look at their operands, too: 1/∞, 1%∞ and NaN⁰ would be known.
func divide(a, b float64) float64 {
	if !finite(b) {
		return unknown
	}
	return checked(a / b)
}

func modulo(a, b float64) float64 {
	if !finite(b) {
		return unknown
	}
	return checked(math.Mod(a, b))
}

func power(a, b float64) float64 {
	if !finite(a) || !finite(b) {
		return unknown
	}
	return checked(math.Pow(a, b))
}

// function is one that expressions may call: with numbers, for a number (build) or a condition (test).
type function struct {
	least, most int
	build       func(args []numberFunc) numberFunc
	test        func(args []numberFunc) truthFunc
}

// maxArguments bounds min and max.
const maxArguments = 16

func (f function) arity() string {
	switch {
	case f.least != f.most:
		return fmt.Sprintf("%d to %d numbers", f.least, f.most)
	case f.least == 1:
		return "1 number"
	}
	return fmt.Sprintf("%d numbers", f.least)
}

// Functions are the names of the functions that expressions may call, sorted.
func Functions() []string { return slices.Sorted(maps.Keys(functions)) }

var functions = map[string]function{
	"abs":   one(math.Abs),
	"ceil":  one(math.Ceil),
	"floor": one(math.Floor),
	"round": one(math.Round),
	"trunc": one(math.Trunc),
	"sqrt":  one(math.Sqrt),
	"exp":   one(math.Exp),
	"log":   one(math.Log),
	"log2":  one(math.Log2),
	"log10": one(math.Log10),
	"sin":   one(math.Sin),
	"cos":   one(math.Cos),
	"tan":   one(math.Tan),
	"atan2": two(math.Atan2),
	"pow":   two(power),
	"min":   several(func(a, b float64) float64 { return min(a, b) }),
	"max":   several(func(a, b float64) float64 { return max(a, b) }),
	"isnan": {least: 1, most: 1, test: func(args []numberFunc) truthFunc {
		f := args[0]
		return func(e *Env) truth { return truthOf(!finite(f(e))) }
	}},
}

func one(op func(float64) float64) function {
	return function{least: 1, most: 1, build: func(args []numberFunc) numberFunc {
		f := args[0]
		return func(e *Env) float64 {
			v := f(e)
			// exp(-∞) would be known.
			if !finite(v) {
				return unknown
			}
			return checked(op(v))
		}
	}}
}

func two(op func(a, b float64) float64) function {
	return function{least: 2, most: 2, build: func(args []numberFunc) numberFunc {
		f, g := args[0], args[1]
		return func(e *Env) float64 {
			a, b := f(e), g(e)
			if !finite(a) || !finite(b) {
				return unknown
			}
			return checked(op(a, b))
		}
	}}
}

func several(op func(a, b float64) float64) function {
	return function{least: 2, most: maxArguments, build: func(args []numberFunc) numberFunc {
		return func(e *Env) float64 {
			v := args[0](e)
			known := finite(v)
			for _, f := range args[1:] {
				w := f(e)
				known = known && finite(w)
				v = op(v, w)
			}
			if !known {
				return unknown
			}
			return v
		}
	}}
}
