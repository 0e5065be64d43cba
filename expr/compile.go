package expr

import (
	"fmt"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"
)

type (
	numberFunc func(*Env) float64
	truthFunc  func(*Env) truth
	textFunc   func(*Env) string
)

// operand is a checked part of an expression. kind 0: it has a fault, which is told already.
type operand struct {
	kind   Kind
	number numberFunc
	truth  truthFunc
	text   textFunc
	// constant: it needs no environment; its value is in value or words.
	constant bool
	value    float64
	words    string
	// slot is the place of a variable that stands by itself, else -1.
	slot int
	// values are all that a text can be.
	values []string
	// names are those that a number stands for.
	names []string
}

type compiler struct {
	options Options
	source  string
	faults  []error
	vars    []string
	used    []bool
	words   []string
	members []Member
	numbers int
	texts   int
}

// fail records a fault of the node.
func (c *compiler) fail(n ast.Node, format string, args ...any) operand {
	c.faults = append(c.faults, At(c.source, n, fmt.Sprintf(format, args...)))
	return operand{}
}

func (c *compiler) compile(n ast.Node) operand {
	switch n := n.(type) {
	case *ast.IntegerNode:
		return constant(float64(n.Value))
	case *ast.FloatNode:
		return constant(n.Value)
	case *ast.BoolNode:
		t := truthOf(n.Value)
		return operand{kind: Bool, constant: true, slot: -1, truth: func(*Env) truth { return t }}
	case *ast.StringNode:
		return operand{kind: String, constant: true, slot: -1, words: n.Value, text: func(*Env) string { return n.Value }}
	case *ast.IdentifierNode:
		return c.variable(n, n.Value)
	case *ast.MemberNode:
		return c.member(n)
	case *ast.UnaryNode:
		return c.unary(n)
	case *ast.BinaryNode:
		return c.binary(n)
	case *ast.ConditionalNode:
		return c.conditional(n)
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
	case *ast.NilNode:
		return "nil"
	case *ast.ArrayNode, *ast.SliceNode:
		return "a list"
	case *ast.MapNode, *ast.PairNode:
		return "a map"
	case *ast.PredicateNode, *ast.PointerNode:
		return "a loop"
	case *ast.VariableDeclaratorNode, *ast.SequenceNode:
		return "a sequence of expressions"
	case *ast.ChainNode:
		return "?."
	}
	return "this"
}

func constant(v float64) operand {
	return operand{kind: Number, constant: true, slot: -1, value: v, number: func(*Env) float64 { return v }}
}

func (c *compiler) variable(n ast.Node, name string) operand {
	if i := slices.IndexFunc(c.options.Strings, func(t Text) bool { return t.Name == name }); i >= 0 {
		c.texts, c.words = max(c.texts, i+1), append(c.words, name)
		return operand{kind: String, slot: i, values: c.options.Strings[i].Values, text: func(e *Env) string { return e.Strings[i] }}
	}
	i := slices.Index(c.vars, name)
	if i < 0 {
		if !c.options.AnyVar {
			return c.fail(n, "unknown variable %s; there are: %s", name, strings.Join(c.names(), ", "))
		}
		i = len(c.vars)
		c.vars, c.used = append(c.vars, name), append(c.used, false)
	}
	c.used[i] = true
	c.numbers = max(c.numbers, i+1)
	return operand{kind: Number, slot: i, names: c.options.Named[name], number: func(e *Env) float64 { return e.Numbers[i] }}
}

func (c *compiler) names() []string {
	names := slices.Clone(c.options.Vars)
	for _, t := range c.options.Strings {
		names = append(names, t.Name)
	}
	for _, group := range c.options.Groups {
		names = append(names, group+".…")
	}
	return names
}

// member reads m["any name"], which reaches variables whose names are no identifiers, and the members of groups.
func (c *compiler) member(n *ast.MemberNode) operand {
	name, constant := n.Property.(*ast.StringNode)
	if base, ok := n.Node.(*ast.IdentifierNode); ok && constant && !n.Optional {
		switch {
		case base.Value == "m":
			return c.variable(n, name.Value)
		case slices.Contains(c.options.Groups, base.Value):
			return c.memberOf(Member{base.Value, name.Value})
		}
	}
	return c.fail(n, `a name that is not only letters, digits and _ is written m["the.name"]`)
}

// memberOf is a text of a group.
func (c *compiler) memberOf(m Member) operand {
	at := slices.Index(c.members, m)
	if at < 0 {
		at = len(c.members)
		c.members = append(c.members, m)
	}
	i := len(c.options.Strings) + at
	c.texts = max(c.texts, i+1)
	return operand{kind: String, slot: i, text: func(e *Env) string { return e.Strings[i] }}
}

func (c *compiler) unary(n *ast.UnaryNode) operand {
	x := c.compile(n.Node)
	want := Number
	if n.Operator == "!" || n.Operator == "not" {
		want = Bool
	}
	if !c.expect(n, n.Operator, want, x) {
		return operand{}
	}
	switch n.Operator {
	case "+":
		return x
	case "-":
		f := x.number
		return c.fold(n, operand{kind: Number, number: func(e *Env) float64 { return -f(e) }}, x)
	}
	f := x.truth
	return c.fold(n, operand{kind: Bool, truth: func(e *Env) truth { return f(e).not() }}, x)
}

func (c *compiler) binary(n *ast.BinaryNode) operand {
	if n.Operator == "in" {
		return c.in(n)
	}
	l, r := c.compile(n.Left), c.compile(n.Right)
	if l.kind == 0 || r.kind == 0 {
		return operand{}
	}
	op := n.Operator
	if slices.Contains(comparisons, op) {
		l, r = c.byNumber(n.Left, l, r), c.byNumber(n.Right, r, l)
		if l.kind == 0 || r.kind == 0 {
			return operand{}
		}
	}
	if f := arithmetic(op, l, r); f != nil {
		if !c.expect(n, op, Number, l, r) {
			return operand{}
		}
		return c.fold(n, operand{kind: Number, number: f}, l, r)
	}
	var f truthFunc
	switch op {
	case "&&", "and", "||", "or":
		if !c.expect(n, op, Bool, l, r) {
			return operand{}
		}
		f = logic(op, l.truth, r.truth)
	case "==", "!=":
		f = c.equality(n, op, l, r)
	case "<", "<=", ">", ">=":
		if !c.expect(n, op, Number, l, r) {
			return operand{}
		}
		f = compare(op, l, r)
	default:
		return c.fail(n, "unknown operator %s", op)
	}
	if f == nil {
		return operand{}
	}
	return c.fold(n, operand{kind: Bool, truth: f}, l, r)
}

var comparisons = []string{"==", "!=", "<", "<=", ">", ">="}

// byNumber is x, or if it is the name of a number that other stands for, that number.
func (c *compiler) byNumber(n ast.Node, x, other operand) operand {
	if len(other.names) == 0 || x.kind != String || !x.constant {
		return x
	}
	v := slices.Index(other.names, x.words)
	if v < 0 {
		return c.fail(n, "it is never %q; it is one of: %s", x.words, strings.Join(other.names, ", "))
	}
	return constant(float64(v))
}

func (c *compiler) equality(n ast.Node, op string, l, r operand) truthFunc {
	if l.kind != r.kind {
		c.fail(n, "%s cannot be compared with %s", l.kind, r.kind)
		return nil
	}
	var f truthFunc
	switch l.kind {
	case Number:
		return compare(op, l, r)
	case Bool:
		f = sameTruth(l.truth, r.truth)
	default:
		if !c.possible(n, l, r) {
			return nil
		}
		f = sameText(l, r)
	}
	if op == "!=" {
		return func(e *Env) truth { return f(e).not() }
	}
	return f
}

// possible refuses the comparison of a text with one that it never is.
func (c *compiler) possible(n ast.Node, l, r operand) bool {
	if l.constant {
		l, r = r, l
	}
	if !r.constant || len(l.values) == 0 || slices.Contains(l.values, r.words) {
		return true
	}
	c.fail(n, "the text is never %q; it is one of: %s", r.words, strings.Join(l.values, ", "))
	return false
}

// in is membership in a list of constants.
func (c *compiler) in(n *ast.BinaryNode) operand {
	x := c.compile(n.Left)
	list, ok := n.Right.(*ast.ArrayNode)
	if !ok {
		return c.fail(n, "in needs a list of constants, such as [1, 2]")
	}
	var f truthFunc
	for _, item := range list.Nodes {
		r := c.byNumber(item, c.compile(item), x)
		if x.kind == 0 || r.kind == 0 {
			continue
		}
		if !r.constant || r.kind != x.kind {
			return c.fail(item, "the list must hold constants of the same kind as what is looked for")
		}
		same := c.equality(n, "==", x, r)
		if f == nil || same == nil {
			f = same
			continue
		}
		f = logic("||", f, same)
	}
	if len(c.faults) > 0 || x.kind == 0 {
		return operand{}
	}
	if f == nil {
		return c.fail(n, "the list is empty")
	}
	return c.fold(n, operand{kind: Bool, truth: f}, x)
}

func (c *compiler) conditional(n *ast.ConditionalNode) operand {
	cond, a, b := c.compile(n.Cond), c.compile(n.Exp1), c.compile(n.Exp2)
	if cond.kind == 0 || a.kind == 0 || b.kind == 0 {
		return operand{}
	}
	if cond.kind != Bool {
		return c.fail(n.Cond, "before ? there must be a condition, not %s", cond.kind)
	}
	if a.kind != b.kind || a.kind == String {
		return c.fail(n.Cond, "both results of ?: must be numbers, or conditions")
	}
	result := operand{kind: a.kind}
	if a.kind == Number {
		result.number = chooseNumber(cond.truth, a.number, b.number)
	} else {
		result.truth = chooseTruth(cond.truth, a.truth, b.truth)
	}
	return c.fold(n, result, cond, a, b)
}

func (c *compiler) call(n ast.Node, name string, args []ast.Node) operand {
	operands := make([]operand, len(args))
	for i, a := range args {
		operands[i] = c.compile(a)
	}
	f, ok := functions[name]
	if !ok {
		return c.fail(n, "unknown function %s; there are: %s", name, strings.Join(Functions(), ", "))
	}
	if len(args) < f.least || len(args) > f.most {
		return c.fail(n, "%s takes %s, not %d", name, f.arity(), len(args))
	}
	if !c.expect(n, name, Number, operands...) {
		return operand{}
	}
	numbers := make([]numberFunc, len(operands))
	for i, o := range operands {
		numbers[i] = o.number
	}
	if f.test != nil {
		return c.fold(n, operand{kind: Bool, truth: f.test(numbers)}, operands...)
	}
	return c.fold(n, operand{kind: Number, number: f.build(numbers)}, operands...)
}

// expect reports whether all operands are of the kind, and records a fault if not.
func (c *compiler) expect(n ast.Node, of string, want Kind, operands ...operand) bool {
	for _, o := range operands {
		if o.kind == 0 {
			return false
		}
	}
	for _, o := range operands {
		if o.kind != want {
			c.fail(n, "%s takes %ss, not %s", of, strings.TrimPrefix(want.String(), "a "), o.kind)
			return false
		}
	}
	return true
}

// fold evaluates what needs no environment, so that 1/0 is found when it is written.
func (c *compiler) fold(n ast.Node, result operand, from ...operand) operand {
	result.slot = -1
	for _, o := range from {
		if !o.constant {
			return result
		}
	}
	if result.kind == Number {
		v := result.number(nil)
		if !finite(v) {
			return c.fail(n, "%s is not a finite number", n.String())
		}
		return constant(v)
	}
	t := result.truth(nil)
	return operand{kind: Bool, constant: true, slot: -1, truth: func(*Env) truth { return t }}
}
