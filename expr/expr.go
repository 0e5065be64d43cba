package expr

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"
)

// Bounds of an expression.
const (
	MaxSource = 1024 // bytes
	MaxNodes  = 256  // names, constants, operators and calls
)

// ErrNotFinite says that an expression has no result: a number that is not finite, or a condition that hangs on
// one.
var ErrNotFinite = errors.New("result is not a finite number")

var (
	errResult = errors.New("the program has another kind of result")
	errEnv    = errors.New("the environment has fewer variables than the program")
)

// Kind is a kind of value.
type Kind uint8

// Kinds of values. A result is a Number or a Bool.
const (
	Number Kind = iota + 1
	Bool
	String
)

func (k Kind) String() string {
	switch k {
	case Number:
		return "a number"
	case Bool:
		return "a condition"
	case String:
		return "a text"
	}
	return "nothing"
}

// Options say what an expression may use, and what it must result in.
type Options struct {
	// Vars are the names of numbers; the variable Vars[i] is Env.Numbers[i].
	Vars []string
	// AnyVar takes every further name for a number; it follows those of Vars in the order of the source.
	AnyVar bool
	// Named are numbers that stand for names: Named[variable][v] is that of v. They can be compared with either.
	Named map[string][]string
	// Strings are the names of texts; Strings[i] is Env.Strings[i].
	Strings []Text
	// Groups are names of which every member, as in group.member or group["any name"], is a text. Members follow those of
	// Strings in the order of Program.Members.
	Groups []string
	Result Kind
}

// Member is a text of a group.
type Member struct{ Group, Name string }

// Text is a variable that holds a text.
type Text struct {
	Name string
	// Values are all it can be: a comparison with another text is refused. Empty: anything.
	Values []string
}

// Env holds the values of an evaluation. It may be changed and used again as soon as the evaluation returned.
type Env struct {
	Numbers []float64
	Strings []string
}

// Program is a compiled expression. It is immutable and safe for concurrent use.
type Program struct {
	source  string
	vars    []string
	used    []bool
	words   []string // the texts that it names
	members []Member
	numbers int // what Env.Numbers must have at least
	texts   int
	number  numberFunc
	truth   truthFunc
}

// Error is a fault of an expression and where it is, counted from 1.
type Error struct {
	Line, Column int
	Reason       string
}

func (e *Error) Error() string {
	if e.Line > 1 {
		return fmt.Sprintf("line %d, column %d: %s", e.Line, e.Column, e.Reason)
	}
	return fmt.Sprintf("column %d: %s", e.Column, e.Reason)
}

// Parse reads an expression of the whole language within the bounds; what of it is possible is for the caller to check. Its
// error is an *Error.
func Parse(source string) (_ ast.Node, err error) {
	if len(source) > MaxSource {
		return nil, &Error{Line: 1, Column: 1, Reason: fmt.Sprintf("the expression is longer than %d bytes", MaxSource)}
	}
	if strings.TrimSpace(source) == "" {
		return nil, &Error{Line: 1, Column: 1, Reason: "the expression is empty"}
	}
	defer Guard(&err)
	settings := conf.CreateNew()
	settings.MaxNodes = MaxNodes
	tree, err := parser.ParseWithConfig(source, settings)
	if err != nil {
		return nil, parseError(err)
	}
	return tree.Node, nil
}

// Guard is deferred by what goes over an expression, and makes a panic there its error: sources are foreign, and a fault of who
// reads them must not end the process.
func Guard(err *error) {
	if fault := recover(); fault != nil {
		*err = &Error{Line: 1, Column: 1, Reason: fmt.Sprintf("the expression cannot be read: %v", fault)}
	}
}

// At is a fault of a node of the source.
func At(source string, n ast.Node, reason string) *Error {
	line, column := 1, 1
	for i, r := range []rune(source) {
		if i >= n.Location().From {
			break
		}
		column++
		if r == '\n' {
			line, column = line+1, 1
		}
	}
	return &Error{Line: line, Column: column, Reason: reason}
}

// Compile checks an expression. Its error joins an *Error for every fault.
func Compile(source string, o Options) (_ *Program, err error) {
	node, err := Parse(source)
	if err != nil {
		return nil, err
	}
	defer Guard(&err)
	c := compiler{options: o, source: source, vars: slices.Clone(o.Vars)}
	c.used = make([]bool, len(c.vars))
	result := c.compile(node)
	if len(c.faults) == 0 && result.kind != o.Result {
		c.fail(node, "the result is %s, and must be %s", result.kind, o.Result)
	}
	if len(c.faults) > 0 {
		return nil, errors.Join(c.faults...)
	}
	return &Program{
		source: source, vars: c.vars, used: c.used, words: c.words, members: c.members, numbers: c.numbers, texts: c.texts,
		number: result.number, truth: result.truth,
	}, nil
}

func parseError(err error) error {
	var at *file.Error
	if !errors.As(err, &at) {
		return &Error{Line: 1, Column: 1, Reason: err.Error()}
	}
	reason := at.Message
	switch {
	case reason == "unexpected token EOF":
		reason = "the expression is not complete"
	case strings.Contains(reason, "maximum allowed nodes"):
		reason = fmt.Sprintf("the expression has more than %d parts", MaxNodes)
	}
	return &Error{Line: max(at.Line, 1), Column: at.Column + 1, Reason: reason}
}

// Float evaluates a program whose result is a number. The error is ErrNotFinite unless the caller is at fault.
func (p *Program) Float(env *Env) (float64, error) {
	if p.number == nil {
		return 0, errResult
	}
	if len(env.Numbers) < p.numbers || len(env.Strings) < p.texts {
		return 0, errEnv
	}
	v := p.number(env)
	if !finite(v) {
		return 0, ErrNotFinite
	}
	return v, nil
}

// Bool evaluates a program whose result is a condition. The error is ErrNotFinite unless the caller is at fault.
func (p *Program) Bool(env *Env) (bool, error) {
	if p.truth == nil {
		return false, errResult
	}
	if len(env.Numbers) < p.numbers || len(env.Strings) < p.texts {
		return false, errEnv
	}
	switch p.truth(env) {
	case yes:
		return true, nil
	case no:
		return false, nil
	}
	return false, ErrNotFinite
}

// Vars are the names of the numbers by their place in Env.Numbers: those of Options, then those found. The
// caller must not change them.
func (p *Program) Vars() []string { return p.vars }

// Uses reports whether the expression names the variable.
func (p *Program) Uses(name string) bool {
	i := slices.Index(p.vars, name)
	return i >= 0 && p.used[i] || slices.Contains(p.words, name)
}

// Members are the members of groups by their place behind the texts of Options. The caller must not change them.
func (p *Program) Members() []Member { return p.members }

// String is the source.
func (p *Program) String() string { return p.source }

var unknown = math.NaN()

// finite reports whether v is known: neither NaN nor infinite.
func finite(v float64) bool { return v-v == 0 }
