package formula

import (
	"errors"
	"fmt"
	"strings"

	"weir/expr"
	"weir/internal/joined"
)

// Template is a text with expressions in {{ }}.
type Template struct {
	source string
	parts  []part
}

// part is a text, or an expression.
type part struct {
	text    string
	program *Program
}

// Bounds of a template.
const (
	maxTemplate    = 4096 // bytes
	maxExpressions = 32
)

// CompileTemplate reads a text. Its error joins what is wrong with its expressions.
func CompileTemplate(source string, vars []string) (*Template, error) {
	if len(source) > maxTemplate {
		return nil, fmt.Errorf("is longer than %d bytes", maxTemplate)
	}
	t := &Template{source: source}
	var faults []error
	for rest, n := source, 0; rest != ""; n++ {
		text, after, found := strings.Cut(rest, "{{")
		if text != "" {
			t.parts = append(t.parts, part{text: text})
		}
		if !found {
			break
		}
		inner, after, closed := cutExpression(after)
		if !closed {
			return nil, errors.New("a {{ has no }}")
		}
		if n == maxExpressions {
			return nil, fmt.Errorf("has more than %d expressions", maxExpressions)
		}
		p, err := Compile(strings.TrimSpace(inner), vars)
		if err != nil {
			faults = append(faults, within(inner, err))
		}
		t.parts = append(t.parts, part{program: p})
		rest = after
	}
	return t, errors.Join(faults...)
}

// within says of which expression of a text a fault is.
func within(inner string, err error) error {
	var faults []error
	for _, e := range joined.All(err) {
		var at *expr.Error
		if errors.As(e, &at) {
			e = fmt.Errorf("{{%s}}: %w", inner, at)
		}
		faults = append(faults, e)
	}
	return errors.Join(faults...)
}

// cutExpression finds the }} that ends an expression: not one within its texts, nor that of objects in it.
func cutExpression(s string) (inner, after string, ok bool) {
	depth, quote := 0, byte(0)
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case quote != 0:
			if c == '\\' && quote != '`' {
				i++
			} else if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'' || c == '`':
			quote = c
		case c == '{':
			depth++
		case c == '}' && depth > 0:
			depth--
		case c == '}' && strings.HasPrefix(s[i:], "}}"):
			return s[:i], s[i+2:], true
		}
	}
	return "", "", false
}

// Literal is the text when it has no expressions.
func (t *Template) Literal() (string, bool) {
	for _, p := range t.parts {
		if p.text == "" {
			return "", false
		}
	}
	return t.source, true
}

// Eval fills in the expressions. One that is nil, a list or an object is an error.
func (t *Template) Eval(vars []any) (string, error) {
	if len(t.parts) == 1 && t.parts[0].program == nil {
		return t.source, nil
	}
	var out strings.Builder
	for _, p := range t.parts {
		text := p.text
		if p.program != nil {
			v, err := p.program.Eval(vars)
			if err != nil {
				return "", err
			}
			if text, err = Text(v); err != nil {
				return "", fmt.Errorf("%s: %w", p.program, err)
			}
		}
		if out.Len()+len(text) > MaxBuilt {
			return "", errTooLarge
		}
		out.WriteString(text)
	}
	return out.String(), nil
}

// String is the source.
func (t *Template) String() string { return t.source }
