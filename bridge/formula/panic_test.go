package formula

import (
	"errors"
	"strings"
	"testing"

	"github.com/expr-lang/expr/ast"

	"weir/expr"
)

func TestAPanicOfAnEvaluationIsItsError(t *testing.T) {
	functions["fall"] = function{0, 0, func(*evaluation, []any) (any, error) { panic("fell") }}
	defer delete(functions, "fall")
	p, err := Compile("fall()", names)
	if err != nil {
		t.Fatal(err)
	}
	if v, err := p.Eval(nil); v != nil || err == nil || !strings.Contains(err.Error(), "fell") {
		t.Errorf("%v, %v", v, err)
	}
	if pass, err := p.Truth(nil); pass || err == nil {
		t.Errorf("%v, %v", pass, err)
	}
	text, err := CompileTemplate("a/{{ fall() }}", names)
	if err != nil {
		t.Fatal(err)
	}
	if v, err := text.Eval(nil); v != "" || err == nil {
		t.Errorf("%q, %v", v, err)
	}
}

func TestAPanicOverATreeIsAFaultOfItsExpression(t *testing.T) {
	var fault *expr.Error
	if p, err := build("true", (*ast.BoolNode)(nil), names); p != nil || !errors.As(err, &fault) {
		t.Errorf("%v, %v", p, err)
	}
}
