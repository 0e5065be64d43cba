package formula

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"
)

func (c *compiler) binary(n *ast.BinaryNode) step {
	if n.Operator == "matches" {
		return c.matches(n)
	}
	l, r := c.compile(n.Left), c.compile(n.Right)
	switch n.Operator {
	case "&&", "and":
		return logic(l, r, false)
	case "||", "or":
		return logic(l, r, true)
	case "??":
		return func(e *evaluation) (any, error) {
			v, err := l(e)
			if v != nil || err != nil && !errors.Is(err, errNothing) {
				return v, err
			}
			return r(e)
		}
	}
	f, ok := operators[n.Operator]
	if !ok {
		return c.fail(n, "%s is not possible here", n.Operator)
	}
	op := n.Operator
	return func(e *evaluation) (any, error) {
		a, err := l(e)
		if err != nil {
			return nil, err
		}
		b, err := r(e)
		if err != nil {
			return nil, err
		}
		v, err := f(e, a, b)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", op, err)
		}
		return v, nil
	}
}

// logic looks at the right only when the left is not decisive.
func logic(l, r step, decisive bool) step {
	return func(e *evaluation) (any, error) {
		if b, err := e.truth(l); err != nil || b == decisive {
			return b, err
		}
		return e.truth(r)
	}
}

func (c *compiler) matches(n *ast.BinaryNode) step {
	text := c.compile(n.Left)
	re, size := c.pattern(n.Right)
	return func(e *evaluation) (any, error) {
		v, err := text(e)
		if err != nil {
			return nil, err
		}
		s, ok := v.(string)
		if !ok {
			return nil, fmt.Errorf("matches: %s is not a text", kindOf(v))
		}
		if err := e.search(len(s), size); err != nil {
			return nil, err
		}
		return re.MatchString(s), nil
	}
}

type operator func(e *evaluation, a, b any) (any, error)

var operators = map[string]operator{
	"+":          add,
	"-":          arithmetic(func(a, b float64) float64 { return a - b }),
	"*":          arithmetic(func(a, b float64) float64 { return a * b }),
	"/":          arithmetic(func(a, b float64) float64 { return a / b }),
	"%":          arithmetic(math.Mod),
	"**":         arithmetic(math.Pow),
	"^":          arithmetic(math.Pow),
	"==":         func(_ *evaluation, a, b any) (any, error) { return same(a, b), nil },
	"!=":         func(_ *evaluation, a, b any) (any, error) { return !same(a, b), nil },
	"<":          order(func(c int) bool { return c < 0 }),
	"<=":         order(func(c int) bool { return c <= 0 }),
	">":          order(func(c int) bool { return c > 0 }),
	">=":         order(func(c int) bool { return c >= 0 }),
	"in":         in,
	"contains":   texts(strings.Contains),
	"startsWith": texts(strings.HasPrefix),
	"endsWith":   texts(strings.HasSuffix),
}

func arithmetic(f func(a, b float64) float64) operator {
	return func(_ *evaluation, a, b any) (any, error) {
		x, err := number(a)
		if err != nil {
			return nil, err
		}
		y, err := number(b)
		if err != nil {
			return nil, err
		}
		return finite(f(x, y))
	}
}

func finite(f float64) (any, error) {
	if f-f != 0 {
		return nil, errors.New("the result is not a finite number")
	}
	return f, nil
}

func add(e *evaluation, a, b any) (any, error) {
	s, ok := a.(string)
	t, also := b.(string)
	switch {
	case ok && also:
		if err := e.grow(len(s) + len(t)); err != nil {
			return nil, err
		}
		return s + t, nil
	case ok || also:
		return nil, fmt.Errorf("%s and %s cannot be added; string(…) makes a text", kindOf(a), kindOf(b))
	}
	return arithmetic(func(a, b float64) float64 { return a + b })(e, a, b)
}

func order(holds func(int) bool) operator {
	return func(_ *evaluation, a, b any) (any, error) {
		s, ok := a.(string)
		t, also := b.(string)
		if ok && also {
			return holds(strings.Compare(s, t)), nil
		}
		c, numbers := compare(a, b)
		if !numbers {
			_, err := number(a)
			if err == nil {
				_, err = number(b)
			}
			return nil, err
		}
		return holds(c), nil
	}
}

func in(_ *evaluation, a, b any) (any, error) {
	switch b := b.(type) {
	case []any:
		return slices.ContainsFunc(b, func(one any) bool { return same(a, one) }), nil
	case map[string]any:
		name, ok := a.(string)
		if !ok {
			return nil, fmt.Errorf("a member of an object is named by a text, not by %s", kindOf(a))
		}
		_, there := b[name]
		return there, nil
	case nil:
		return false, nil
	}
	return nil, fmt.Errorf("%s holds nothing", kindOf(b))
}

func texts(f func(a, b string) bool) operator {
	return func(_ *evaluation, a, b any) (any, error) {
		s, ok := a.(string)
		t, also := b.(string)
		if !ok || !also {
			return nil, fmt.Errorf("%s and %s are not both texts", kindOf(a), kindOf(b))
		}
		return f(s, t), nil
	}
}
