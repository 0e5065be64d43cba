package formula

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/expr-lang/expr/ast"
)

// function takes between least and most values.
type function struct {
	least, most int
	apply       func(e *evaluation, args []any) (any, error)
}

// maxArguments bounds those of min and max.
const maxArguments = 16

var functions = map[string]function{
	"len":    {1, 1, length},
	"lower":  {1, 1, ofText(strings.ToLower)},
	"upper":  {1, 1, ofText(strings.ToUpper)},
	"trim":   {1, 1, ofText(strings.TrimSpace)},
	"string": {1, 1, asText},
	"float":  {1, 1, asNumber},
	"int":    {1, 1, asWhole},
	"split":  {2, 2, split},
	"join":   {2, 2, join},
	"abs":    {1, 1, ofNumber(math.Abs)},
	"round":  {1, 1, ofNumber(math.Round)},
	"floor":  {1, 1, ofNumber(math.Floor)},
	"ceil":   {1, 1, ofNumber(math.Ceil)},
	"min":    {1, maxArguments, among(math.Min)},
	"max":    {1, maxArguments, among(math.Max)},
}

// Functions are the names of all functions.
func Functions() []string { return slices.Sorted(maps.Keys(functions)) }

func (c *compiler) call(n ast.Node, name string, args []ast.Node) step {
	f, ok := functions[name]
	if !ok {
		return c.fail(n, "unknown function %s; there are: %s", name, strings.Join(Functions(), ", "))
	}
	if len(args) < f.least || len(args) > f.most {
		if f.least == f.most {
			return c.fail(n, "%s takes %d, not %d", name, f.least, len(args))
		}
		return c.fail(n, "%s takes %d to %d, not %d", name, f.least, f.most, len(args))
	}
	steps := c.all(args)
	return func(e *evaluation) (any, error) {
		values, err := e.all(steps)
		if err != nil {
			return nil, err
		}
		v, err := f.apply(e, values)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		return v, nil
	}
}

// length counts the characters of a text, and what a list or an object holds.
func length(_ *evaluation, args []any) (any, error) {
	switch v := args[0].(type) {
	case string:
		return float64(utf8.RuneCountInString(v)), nil
	case []any:
		return float64(len(v)), nil
	case map[string]any:
		return float64(len(v)), nil
	}
	return nil, fmt.Errorf("%s has no length", kindOf(args[0]))
}

func ofText(f func(string) string) func(*evaluation, []any) (any, error) {
	return func(e *evaluation, args []any) (any, error) {
		s, ok := args[0].(string)
		if !ok {
			return nil, fmt.Errorf("%s is not a text", kindOf(args[0]))
		}
		if err := e.grow(len(s)); err != nil {
			return nil, err
		}
		return f(s), nil
	}
}

func ofNumber(f func(float64) float64) func(*evaluation, []any) (any, error) {
	return func(_ *evaluation, args []any) (any, error) {
		v, err := number(args[0])
		if err != nil {
			return nil, err
		}
		return finite(f(v))
	}
}

func among(f func(a, b float64) float64) func(*evaluation, []any) (any, error) {
	return func(_ *evaluation, args []any) (any, error) {
		best, err := number(args[0])
		for _, v := range args[1:] {
			var next float64
			if next, err = number(v); err != nil {
				break
			}
			best = f(best, next)
		}
		return best, err
	}
}

// asText makes a text of anything: of lists and objects their JSON.
func asText(e *evaluation, args []any) (any, error) {
	s, err := Text(args[0])
	if err != nil {
		text, err := Encode(args[0])
		if err != nil {
			return nil, err
		}
		s = string(text)
	}
	return s, e.grow(len(s))
}

func asNumber(_ *evaluation, args []any) (any, error) {
	switch v := args[0].(type) {
	case float64, json.Number:
		return v, nil
	case bool:
		if v {
			return 1.0, nil
		}
		return 0.0, nil
	case string:
		f, err := strconv.ParseFloat(strings.TrimSpace(v), 64)
		if err != nil {
			return nil, fmt.Errorf("%.40q is not a number", v)
		}
		return finite(f)
	}
	return nil, fmt.Errorf("%s is not a number", kindOf(args[0]))
}

func asWhole(e *evaluation, args []any) (any, error) {
	v, err := asNumber(e, args)
	if f, ok := v.(float64); ok && err == nil {
		return math.Trunc(f), nil
	}
	return v, err
}

// maxParts bounds what split makes of one text.
const maxParts = 1000

func split(_ *evaluation, args []any) (any, error) {
	s, ok := args[0].(string)
	by, also := args[1].(string)
	if !ok || !also || by == "" {
		return nil, fmt.Errorf("%s cannot be split by %s", kindOf(args[0]), kindOf(args[1]))
	}
	if strings.Count(s, by) >= maxParts {
		return nil, fmt.Errorf("the text has more than %d parts", maxParts)
	}
	var out []any
	for part := range strings.SplitSeq(s, by) {
		out = append(out, part)
	}
	return out, nil
}

func join(e *evaluation, args []any) (any, error) {
	list, ok := args[0].([]any)
	by, also := args[1].(string)
	if !ok || !also {
		return nil, fmt.Errorf("%s cannot be joined by %s", kindOf(args[0]), kindOf(args[1]))
	}
	parts := make([]string, len(list))
	for i := range list {
		var err error
		if parts[i], err = Text(list[i]); err != nil {
			return nil, err
		}
		if err := e.grow(len(parts[i]) + len(by)); err != nil {
			return nil, err
		}
	}
	return strings.Join(parts, by), nil
}
