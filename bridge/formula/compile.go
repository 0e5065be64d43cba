package formula

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"

	"github.com/expr-lang/expr/ast"

	"weir/expr"
)

// Program is a compiled expression. It is immutable and safe for concurrent use.
type Program struct {
	source string
	run    step
}

// step computes a part of an expression.
type step func(*evaluation) (any, error)

// evaluation is one run of a program.
type evaluation struct {
	vars  []any
	built int // bytes of texts so far
	steps int // of patterns so far
}

// grow takes note of a text that is about to be built.
func (e *evaluation) grow(n int) error {
	if e.built += n; e.built > MaxBuilt || n < 0 {
		return errTooLarge
	}
	return nil
}

// maxSteps bounds what the patterns of one evaluation take: bytes of text times instructions of the pattern. It is less than a second.
const maxSteps = 1 << 25

var errTooManySteps = errors.New("matches: the text is too long for the pattern")

// search takes note of a text that is about to be searched.
func (e *evaluation) search(bytes, instructions int) error {
	if e.steps += bytes * instructions; e.steps > maxSteps {
		return errTooManySteps
	}
	return nil
}

// Compile checks an expression over the variables. Its error joins an *expr.Error for every fault.
func Compile(source string, vars []string) (*Program, error) {
	node, err := expr.Parse(source)
	if err != nil {
		return nil, err
	}
	return build(source, node, vars)
}

// build turns the tree of a source into closures.
func build(source string, node ast.Node, vars []string) (_ *Program, err error) {
	defer expr.Guard(&err)
	c := compiler{source: source, vars: vars}
	run := c.compile(node)
	if len(c.faults) > 0 {
		return nil, errors.Join(c.faults...)
	}
	return &Program{source: source, run: run}, nil
}

// Eval computes the expression; vars are the values of the variables in the order of Compile. What it returns may share
// memory with them. A panic on the way is an error like others, so that it is told with the setting that the expression is of.
func (p *Program) Eval(vars []any) (v any, err error) {
	defer func() {
		if fault := recover(); fault != nil {
			v, err = nil, fmt.Errorf("the expression failed: %v", fault)
		}
	}()
	return p.run(&evaluation{vars: vars})
}

// Truth computes a condition.
func (p *Program) Truth(vars []any) (bool, error) {
	v, err := p.Eval(vars)
	if err != nil {
		return false, err
	}
	return truth(v)
}

// String is the source.
func (p *Program) String() string { return p.source }

type compiler struct {
	source string
	vars   []string
	faults []error
}

// fail records a fault of the node. What it returns is never run.
func (c *compiler) fail(n ast.Node, format string, args ...any) step {
	c.faults = append(c.faults, expr.At(c.source, n, fmt.Sprintf(format, args...)))
	return nil
}

func constant(v any) step { return func(*evaluation) (any, error) { return v, nil } }

func (c *compiler) compile(n ast.Node) step {
	switch n := n.(type) {
	case *ast.NilNode:
		return constant(nil)
	case *ast.BoolNode:
		return constant(n.Value)
	case *ast.StringNode:
		return constant(n.Value)
	case *ast.FloatNode:
		return constant(n.Value)
	case *ast.IntegerNode:
		if n.Value >= exact || n.Value <= -exact {
			return constant(json.Number(strconv.Itoa(n.Value)))
		}
		return constant(float64(n.Value))
	case *ast.IdentifierNode:
		return c.variable(n)
	case *ast.ChainNode:
		return c.chain(n)
	case *ast.MemberNode:
		return c.member(n)
	case *ast.UnaryNode:
		return c.unary(n)
	case *ast.BinaryNode:
		return c.binary(n)
	case *ast.ConditionalNode:
		return c.conditional(n)
	case *ast.ArrayNode:
		return c.list(n)
	case *ast.MapNode:
		return c.object(n)
	case *ast.BuiltinNode:
		return c.call(n, n.Name, n.Arguments)
	case *ast.CallNode:
		if callee, ok := n.Callee.(*ast.IdentifierNode); ok {
			return c.call(n, callee.Value, n.Arguments)
		}
		return c.fail(n, "only functions can be called; there are: %s", strings.Join(Functions(), ", "))
	}
	return c.fail(n, "%s is not possible here", describe(n))
}

// describe names what of the whole language is left out.
func describe(n ast.Node) string {
	switch n.(type) {
	case *ast.PredicateNode, *ast.PointerNode:
		return "a loop"
	case *ast.VariableDeclaratorNode, *ast.SequenceNode:
		return "a sequence of expressions"
	case *ast.SliceNode:
		return "a slice"
	}
	return "this"
}

func (c *compiler) variable(n *ast.IdentifierNode) step {
	i := slices.Index(c.vars, n.Value)
	if i < 0 {
		return c.fail(n, "unknown variable %s; there are: %s", n.Value, strings.Join(c.vars, ", "))
	}
	return func(e *evaluation) (any, error) { return e.vars[i], nil }
}

// errNothing ends a chain with ?. at what is not there.
var errNothing = errors.New("nothing there")

func (c *compiler) chain(n *ast.ChainNode) step {
	inner := c.compile(n.Node)
	return func(e *evaluation) (any, error) {
		v, err := inner(e)
		if errors.Is(err, errNothing) {
			return nil, nil
		}
		return v, err
	}
}

func (c *compiler) member(n *ast.MemberNode) step {
	of, name, optional := c.compile(n.Node), c.compile(n.Property), n.Optional
	what := n.String()
	return func(e *evaluation) (any, error) {
		base, err := of(e)
		if err != nil {
			return nil, err
		}
		if base == nil && optional {
			return nil, errNothing
		}
		at, err := name(e)
		if err != nil {
			return nil, err
		}
		v, err := memberOf(base, at)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", what, err)
		}
		return v, nil
	}
}

// memberOf is nil where an object or list has no such member.
func memberOf(base, at any) (any, error) {
	switch base := base.(type) {
	case map[string]any:
		if name, ok := at.(string); ok {
			return base[name], nil
		}
		return nil, fmt.Errorf("a member of an object is named by a text, not by %s", kindOf(at))
	case []any:
		f, ok := at.(float64)
		i := int(f)
		if !ok || float64(i) != f {
			return nil, fmt.Errorf("a place in a list is a whole number, not %s", kindOf(at))
		}
		if i < 0 {
			i += len(base)
		}
		if i < 0 || i >= len(base) {
			return nil, nil //nolint:nilnil // there is nothing at that place
		}
		return base[i], nil
	}
	return nil, fmt.Errorf("%s has no members", kindOf(base))
}

func (c *compiler) unary(n *ast.UnaryNode) step {
	x := c.compile(n.Node)
	switch n.Operator {
	case "!", "not":
		return func(e *evaluation) (any, error) {
			b, err := e.truth(x)
			return !b, err
		}
	case "-":
		return func(e *evaluation) (any, error) {
			f, err := e.number(x)
			return -f, err
		}
	case "+":
		return func(e *evaluation) (any, error) { return e.number(x) }
	}
	return c.fail(n, "unknown operator %s", n.Operator)
}

func (c *compiler) conditional(n *ast.ConditionalNode) step {
	cond, yes, no := c.compile(n.Cond), c.compile(n.Exp1), c.compile(n.Exp2)
	return func(e *evaluation) (any, error) {
		b, err := e.truth(cond)
		if err != nil {
			return nil, err
		}
		if b {
			return yes(e)
		}
		return no(e)
	}
}

func (c *compiler) list(n *ast.ArrayNode) step {
	items := c.all(n.Nodes)
	return func(e *evaluation) (any, error) { return e.all(items) }
}

func (c *compiler) object(n *ast.MapNode) step {
	var names, values []ast.Node
	for _, pair := range n.Pairs {
		if p, ok := pair.(*ast.PairNode); ok {
			names, values = append(names, p.Key), append(values, p.Value)
		}
	}
	keys, members := c.all(names), c.all(values)
	return func(e *evaluation) (any, error) {
		out := make(map[string]any, len(keys))
		for i := range keys {
			k, err := keys[i](e)
			if err != nil {
				return nil, err
			}
			name, ok := k.(string)
			if !ok {
				return nil, fmt.Errorf("the name of a member is %s, not a text", kindOf(k))
			}
			if out[name], err = members[i](e); err != nil {
				return nil, err
			}
		}
		return out, nil
	}
}

func (c *compiler) all(nodes []ast.Node) []step {
	out := make([]step, len(nodes))
	for i, n := range nodes {
		out[i] = c.compile(n)
	}
	return out
}

func (e *evaluation) all(steps []step) ([]any, error) {
	out := make([]any, len(steps))
	for i, s := range steps {
		var err error
		if out[i], err = s(e); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (e *evaluation) truth(s step) (bool, error) {
	v, err := s(e)
	if err != nil {
		return false, err
	}
	return truth(v)
}

func (e *evaluation) number(s step) (float64, error) {
	v, err := s(e)
	if err != nil {
		return 0, err
	}
	return number(v)
}

// pattern compiles what stands behind matches. It must be a constant, for it is checked when it is written. size is of how many
// instructions it is.
func (c *compiler) pattern(n ast.Node) (re *regexp.Regexp, size int) {
	text, ok := n.(*ast.StringNode)
	if !ok {
		c.fail(n, "behind matches there must be a constant text")
		return nil, 0
	}
	re, err := regexp.Compile(text.Value)
	if err != nil {
		c.fail(n, "%v", err)
		return nil, 0
	}
	parsed, err := syntax.Parse(text.Value, syntax.Perl)
	if err == nil {
		var program *syntax.Prog
		if program, err = syntax.Compile(parsed.Simplify()); err == nil {
			return re, len(program.Inst)
		}
	}
	c.fail(n, "%v", err)
	return nil, 0
}
