package rule

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"
	"text/template"
	"text/template/parse"
	"unicode/utf8"
)

// text is a label or annotation: literal, or a template.
type text struct {
	key     string
	literal string
	tmpl    *template.Template
	limit   int // bytes
}

// Context is what a template may look at.
type Context struct {
	Rule, Kind, Severity, Phase, Reason string
	// Series is Device/Metric.
	Series, Device, Metric, Unit string
	// Detector is the head that fired, or the kind.
	Detector string
	// Value is the reading's; Observed what the rule compares with Limit (its value, average, score, change per
	// second, or seconds of silence); Lo and Hi the expected band. NaN: there is none.
	Value, Observed, Limit, Score, Lo, Hi float64
	// Seconds is for how long the alert has been open.
	Seconds float64
	// Count is how often the condition came lately.
	Count  uint32
	Tags   map[string]string
	Labels map[string]string
}

// functions are all that a template may call, beside comparisons. Each is cheap and its result short: a template is
// written by whoever may write the configuration, and runs inside the pipeline.
var functions = template.FuncMap{
	"humanize":           humanize,
	"humanizeDuration":   humanizeSeconds,
	"humanizePercentage": func(f float64) string { return fmt.Sprintf("%.4g%%", f*100) },
}

var allowed = []string{
	"humanize", "humanizeDuration", "humanizePercentage", "eq", "ne", "lt", "le", "gt", "ge", "and", "or", "not",
}

func compileTexts(field string, texts map[string]string, limit int) ([]text, error) {
	var errs []error
	if len(texts) > MaxLabels {
		errs = append(errs, &FieldError{Field: field, Reason: fmt.Sprintf("more than %d", MaxLabels)})
	}
	var out []text
	for _, key := range slices.Sorted(maps.Keys(texts)) {
		t, wrong := compileText(key, texts[key], limit)
		for _, err := range wrong {
			errs = append(errs, &FieldError{Field: field + "." + key, Reason: err.Error()})
		}
		out = append(out, t)
	}
	return out, errors.Join(errs...)
}

func compileText(key, source string, limit int) (text, []error) {
	t := text{key: key, limit: limit}
	switch {
	case !validName(key):
		return t, []error{fmt.Errorf("the name has to be 1 to %d letters, digits, dots, dashes or underscores", MaxNameBytes)}
	case !utf8.ValidString(source):
		return t, []error{errors.New("is not valid UTF-8")}
	case len(source) > limit:
		return t, []error{fmt.Errorf("longer than %d bytes", limit)}
	case !strings.Contains(source, "{{"):
		t.literal = source
		return t, nil
	}
	tmpl, err := template.New(key).Funcs(functions).Option("missingkey=zero").Parse(source)
	if err != nil {
		return t, []error{err}
	}
	if len(tmpl.Templates()) > 1 {
		return t, []error{errors.New("must not define templates")}
	}
	if tmpl.Tree == nil || tmpl.Root == nil {
		return t, nil // nothing but comments
	}
	if wrong := refused(tmpl.Root); len(wrong) > 0 {
		return t, wrong
	}
	// A field of a field that has none is found by running once.
	if err := tmpl.Execute(io.Discard, Context{}); err != nil {
		return t, []error{err}
	}
	t.tmpl = tmpl
	return t, nil
}

// refused tells of what could run long or build large strings (loops, printf, calls, other templates), and of fields
// that there are not: those in a branch that is not taken, too.
func refused(node parse.Node) []error {
	switch n := node.(type) {
	case *parse.ListNode:
		if n == nil {
			return nil
		}
		return all(n.Nodes)
	case *parse.ActionNode:
		return refused(n.Pipe)
	case *parse.IfNode:
		return slices.Concat(refused(n.Pipe), refused(n.List), refused(n.ElseList))
	case *parse.PipeNode:
		if len(n.Decl) > 0 {
			return []error{errors.New("variables are not allowed")}
		}
		return all(n.Cmds)
	case *parse.CommandNode:
		return all(n.Args)
	case *parse.IdentifierNode:
		if !slices.Contains(allowed, n.Ident) {
			return []error{fmt.Errorf("function %q is not allowed", n.Ident)}
		}
		return nil
	case *parse.FieldNode:
		if _, ok := reflect.TypeFor[Context]().FieldByName(n.Ident[0]); !ok {
			return []error{fmt.Errorf("unknown field .%s; there are: %s", n.Ident[0], fieldNames())}
		}
		return nil
	case *parse.TextNode, *parse.StringNode, *parse.NumberNode, *parse.BoolNode, *parse.CommentNode:
		return nil
	}
	return []error{fmt.Errorf("%q is not allowed", node.String())}
}

func all[N parse.Node](nodes []N) (wrong []error) {
	for _, n := range nodes {
		wrong = append(wrong, refused(n)...)
	}
	return wrong
}

// fieldNames lists the fields of Context.
func fieldNames() string {
	var names []string
	for _, f := range reflect.VisibleFields(reflect.TypeFor[Context]()) {
		names = append(names, "."+f.Name)
	}
	return strings.Join(names, ", ")
}

var errFull = errors.New("rule: text is full")

// capped keeps the first limit bytes.
type capped struct {
	b     []byte
	limit int
}

func (c *capped) Write(p []byte) (int, error) {
	n := min(len(p), c.limit-len(c.b))
	c.b = append(c.b, p[:n]...)
	if n < len(p) {
		return n, errFull
	}
	return n, nil
}

func (t *text) render(c *Context) string {
	if t.tmpl == nil {
		return t.literal
	}
	w := capped{limit: t.limit}
	if err := t.tmpl.Execute(&w, c); err != nil && len(w.b) < t.limit {
		// Comparing what cannot be compared, for one. What was written so far is better than nothing.
		return clip(string(w.b)+" (template: "+err.Error()+")", t.limit)
	}
	return clip(string(w.b), t.limit)
}

func renderTexts(texts []text, c *Context) map[string]string {
	if len(texts) == 0 {
		return nil
	}
	out := make(map[string]string, len(texts))
	for i := range texts {
		out[texts[i].key] = texts[i].render(c)
	}
	return out
}

// clip cuts s to at most n bytes of valid UTF-8.
func clip(s string, n int) string {
	s = strings.ToValidUTF8(s, "")
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
