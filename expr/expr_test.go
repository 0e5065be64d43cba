package expr

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	lang "github.com/expr-lang/expr"
	"pgregory.net/rapid"
)

var seriesOptions = Options{
	Vars:    []string{"value", "avg", "lo", "hi"},
	Strings: []Text{{Name: "state", Values: []string{"ok", "warming", "alert"}}},
	Result:  Bool,
}

func seriesEnv() *Env {
	return &Env{Numbers: []float64{90, 75, math.NaN(), math.Inf(1)}, Strings: []string{"alert"}}
}

func TestConditionsAreEvaluated(t *testing.T) {
	for source, want := range map[string]string{
		`value > 80 && avg > 70`:                "true",
		`value > 80 and avg > 80`:               "false",
		`state == "alert"`:                      "true",
		`"alert" != state`:                      "false",
		`state in ["ok", "alert"]`:              "true",
		`state not in ["ok", "alert"]`:          "false",
		`value in [1, 90]`:                      "true",
		`not (value >= 90)`:                     "false",
		`!(value < 90)`:                         "true",
		`80 < value < 100`:                      "true",
		`avg < value`:                           "true",
		`(value > 1) == (avg > 100)`:            "false",
		`(value > 1) != (avg > 100)`:            "true",
		`value > 1 ? avg < 1 : true`:            "false",
		`true`:                                  "true",
		`1 < 2`:                                 "true",
		`isnan(lo)`:                             "true",
		`isnan(hi)`:                             "true",
		`isnan(value)`:                          "false",
		`lo > 1`:                                "unknown",
		`hi > 1`:                                "unknown",
		`value < hi`:                            "unknown",
		`lo == lo`:                              "unknown",
		`lo != 1`:                               "unknown",
		`!(lo > 1)`:                             "unknown",
		`lo > 1 || value > 80`:                  "true",
		`value > 80 || lo > 1`:                  "true",
		`lo > 1 || value > 100`:                 "unknown",
		`lo > 1 && value > 100`:                 "false",
		`lo > 1 && value > 80`:                  "unknown",
		`value > 80 && lo > 1`:                  "unknown",
		`(lo > 1) == true`:                      "unknown",
		`lo > 1 ? true : true`:                  "unknown",
		`(lo ?? 5) > 4`:                         "true",
		`value / (avg - 75) > 1`:                "unknown",
		`value % (avg - 75) > 1`:                "unknown",
		`1 / (value / (avg - 75)) == 0`:         "unknown",
		`min(value / (avg - 75), 5) == 5`:       "unknown",
		`pow(value, 1000) > 1 || value == 90`:   "true",
		`if value > 1 { true } else { false }`:  "true",
		"value > 80 &&\n  avg > 70 // a remark": "true",
	} {
		p, err := Compile(source, seriesOptions)
		if err != nil {
			t.Errorf("%s: %v", source, err)
			continue
		}
		var got string
		switch b, err := p.Bool(seriesEnv()); {
		case errors.Is(err, ErrNotFinite):
			got = "unknown"
		case err != nil:
			got = err.Error()
		default:
			got = fmt.Sprint(b)
		}
		if got != want {
			t.Errorf("%s is %s, want %s", source, got, want)
		}
	}
}

func TestNumbersAreEvaluated(t *testing.T) {
	o := seriesOptions
	o.Result = Number
	for source, want := range map[string]float64{
		`value * 2 - avg / 3`: 155,
		`-value + +1`:         -89,
		`7 % 4`:               3,
		`7.5 % 2`:             1.5,
		`1 / 2`:               0.5,
		`2 ** 3 ** 2`:         512,
		`2 ^ 3`:               8,
		`abs(-3) + ceil(1.2) + floor(1.8) + round(2.5) + trunc(2.9)`: 3 + 2 + 1 + 3 + 2,
		`min(3, 1, 2) + max(value, avg)`:                             91,
		`sqrt(9) + pow(2, 3)`:                                        11,
		`log(exp(2)) + log2(8) + log10(100)`:                         7,
		`sin(0) + cos(0) + tan(0) + atan2(0, 1)`:                     1,
		`lo ?? avg`:                                                  75,
		`hi ?? -1`:                                                   -1,
		`value > 80 ? 1 : 0`:                                         1,
		`m["value"] + m.avg`:                                         165,
		`0xff + 1_000`:                                               1255,
	} {
		p, err := Compile(source, o)
		if err != nil {
			t.Errorf("%s: %v", source, err)
			continue
		}
		if got, err := p.Float(seriesEnv()); err != nil || got != want {
			t.Errorf("%s is %v, %v; want %v", source, got, err, want)
		}
	}
	for _, source := range []string{`lo`, `hi`, `value / (avg - 75)`, `log(avg - 75)`, `sqrt(-value)`, `exp(1000 * value)`,
		`value * 1e300 * 1e300`, `lo > 1 ? 1 : 2`, `max(1, lo)`, `min(lo, 1)`, `1 / hi`, `exp(-hi)`, `5 % hi`, `lo ** 0`, `atan2(hi, 1)`, `-hi + 1`} {
		p, err := Compile(source, o)
		if err != nil {
			t.Errorf("%s: %v", source, err)
			continue
		}
		if got, err := p.Float(seriesEnv()); !errors.Is(err, ErrNotFinite) {
			t.Errorf("%s is %v, %v; want ErrNotFinite", source, got, err)
		}
	}
}

func TestFaultsTellWhereAndWhat(t *testing.T) {
	for source, want := range map[string]string{
		``:                              `column 1: the expression is empty`,
		`value > `:                      `column 8: the expression is not complete`,
		`value > foo(avg)`:              `column 9: unknown function foo; there are: abs, atan2, ceil, cos, exp, floor, isnan, log, log10, log2, max, min, pow, round, sin, sqrt, tan, trunc`,
		`vaule > 3`:                     `column 1: unknown variable vaule; there are: value, avg, lo, hi, state`,
		"value > 1 ||\n  x > 3":         `line 2, column 3: unknown variable x; there are: value, avg, lo, hi, state`,
		`x > y`:                         "column 1: unknown variable x; there are: value, avg, lo, hi, state\ncolumn 5: unknown variable y; there are: value, avg, lo, hi, state",
		`value`:                         `column 1: the result is a number, and must be a condition`,
		`state`:                         `column 1: the result is a text, and must be a condition`,
		`value > state`:                 `column 7: > takes numbers, not a text`,
		`value == state`:                `column 7: a number cannot be compared with a text`,
		`state == "alret"`:              `column 7: the text is never "alret"; it is one of: ok, warming, alert`,
		`"x" == state`:                  `column 5: the text is never "x"; it is one of: ok, warming, alert`,
		`state in ["ok", "bad"]`:        `column 7: the text is never "bad"; it is one of: ok, warming, alert`,
		`value in [avg]`:                `column 11: the list must hold constants of the same kind as what is looked for`,
		`value in []`:                   `column 7: the list is empty`,
		`value in 1..3`:                 `column 7: in needs a list of constants, such as [1, 2]`,
		`value && true`:                 `column 7: && takes conditions, not a number`,
		`!value`:                        `column 1: ! takes conditions, not a number`,
		`-(value > 1) > 1`:              `column 1: - takes numbers, not a condition`,
		`1/0 > value`:                   `column 2: 1 / 0 is not a finite number`,
		`log(-1) > value`:               `column 1: log(-1) is not a finite number`,
		`pow(2) > value`:                `column 1: pow takes 2 numbers, not 1`,
		`min(1) > value`:                `column 1: min takes 2 to 16 numbers, not 1`,
		`abs(1, 2) > value`:             `column 1: abs takes 1 number, not 2`,
		`abs(state) > value`:            `column 1: abs takes numbers, not a text`,
		`any([1], # > 0)`:               `column 5: a list is not possible here` + "\n" + `column 10: a loop is not possible here` + "\n" + `column 1: unknown function any; there are: ` + strings.Join(Functions(), ", "),
		`let x = 1; x > 2`:              `column 5: a sequence of expressions is not possible here`,
		`true; false`:                   `column 1: a sequence of expressions is not possible here`,
		`state contains "a"`:            `column 7: unknown operator contains`,
		`state + "a" == "b"`:            `column 7: + takes numbers, not a text`,
		`now() > 1`:                     `column 1: unknown function now; there are: ` + strings.Join(Functions(), ", "),
		`value.x > 1`:                   `column 7: a name that is not only letters, digits and _ is written m["the.name"]`,
		`value.abs() > 1`:               `column 7: only functions can be called; there are: ` + strings.Join(Functions(), ", "),
		`m["temp.1"] > 1`:               `column 2: unknown variable temp.1; there are: value, avg, lo, hi, state`,
		`value ? true : false`:          `column 1: before ? there must be a condition, not a number`,
		`true ? 1 : false`:              `column 1: both results of ?: must be numbers, or conditions`,
		`nil == value`:                  `column 1: nil is not possible here`,
		`{a: 1} == value`:               `column 1: a map is not possible here`,
		`value > 'x`:                    `column 11: literal not terminated`,
		strings.Repeat("1+", 200) + "1": `column 258: the expression has more than 256 parts`,
		strings.Repeat(" ", 1025):       `column 1: the expression is longer than 1024 bytes`,
	} {
		_, err := Compile(source, seriesOptions)
		if err == nil {
			t.Errorf("%q is accepted", source)
		} else if err.Error() != want {
			t.Errorf("%q: %v\nwant   %s", source, err, want)
		}
	}
}

func TestAnyVarTakesNamesInTheOrderOfTheSource(t *testing.T) {
	p, err := Compile(`voltage * m["current.l1"] + voltage`, Options{AnyVar: true, Result: Number})
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(p.Vars()); got != "[voltage current.l1]" {
		t.Fatal(got)
	}
	if !p.Uses("voltage") || p.Uses("current") {
		t.Error("Uses is wrong")
	}
	if got, err := p.Float(&Env{Numbers: []float64{2, 3}}); err != nil || got != 8 {
		t.Error(got, err)
	}
	if _, err := p.Float(&Env{Numbers: []float64{2}}); err == nil || errors.Is(err, ErrNotFinite) {
		t.Errorf("an environment that is too small gives %v", err)
	}
	if _, err := p.Bool(&Env{Numbers: []float64{2, 3}}); err == nil || errors.Is(err, ErrNotFinite) {
		t.Errorf("the wrong kind of result gives %v", err)
	}
}

func TestNumbersWithNamesAreComparedWithEither(t *testing.T) {
	o := Options{
		Vars: []string{"state", "max"}, Named: map[string][]string{"state": {"ok", "warming", "alert"}},
		Strings: []Text{{Name: "unit"}}, Groups: []string{"tags"}, Result: Bool,
	}
	for source, want := range map[string]bool{
		`state == "alert"`: true, `"alert" == state`: true, `state == 2`: true, `state != "ok"`: true, `state >= "warming"`: true,
		`state < "warming"`: false, `state in ["ok", "alert"]`: true, `state in ["ok", 1]`: false, `state - 1 == 1`: true,
		`tags.line == "7"`: true, `tags["the line"] == "8"`: true, `tags.line == tags["the line"]`: false, `tags.none == ""`: true,
		`tags.line == "7" && unit == "°C" && max > 90`: true, `tags.line in ["6", "7"]`: true,
	} {
		p, err := Compile(source, o)
		if err != nil {
			t.Errorf("%s: %v", source, err)
			continue
		}
		tags := map[Member]string{{"tags", "line"}: "7", {"tags", "the line"}: "8"}
		env := Env{Numbers: []float64{2, 91}, Strings: []string{"°C"}}
		for _, m := range p.Members() {
			env.Strings = append(env.Strings, tags[m])
		}
		if got, err := p.Bool(&env); err != nil || got != want {
			t.Errorf("%s is %v, %v", source, got, err)
		}
	}
	for source, want := range map[string]string{
		`state == "alrt"`:       `column 10: it is never "alrt"; it is one of: ok, warming, alert`,
		`max > "alert"`:         "column 5: > takes numbers, not a text",
		`state + "ok" > 1`:      "column 7: + takes numbers, not a text",
		`state in ["ok", "no"]`: `column 17: it is never "no"; it is one of: ok, warming, alert`,
		`tag.line == "7"`:       `column 5: a name that is not only letters, digits and _ is written m["the.name"]`,
		`tags.line > 7`:         "column 11: > takes numbers, not a text",
		`line == "7"`:           "column 1: unknown variable line; there are: state, max, unit, tags.…",
		`tags == "7"`:           "column 1: unknown variable tags; there are: state, max, unit, tags.…",
	} {
		if _, err := Compile(source, o); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", source, err, want)
		}
	}
}

func TestExpressionsOfASeriesFindItsVariables(t *testing.T) {
	env := SeriesEnv()
	env.Strings[0] = "alert"
	for i, name := range Series(Bool).Vars {
		p, err := Compile(name+` == 7 && state == "alert"`, Series(Bool))
		if err != nil {
			t.Fatal(err)
		}
		if !p.Uses(name) || !p.Uses("state") || p.Uses("other") {
			t.Errorf("%s: Uses is wrong", name)
		}
		if _, err := p.Bool(env); !errors.Is(err, ErrNotFinite) {
			t.Errorf("%s is known before it is set: %v", name, err)
		}
		env.Numbers[i] = 7
		if ok, err := p.Bool(env); !ok || err != nil {
			t.Errorf("%s: %v, %v", name, ok, err)
		}
	}
	if len(env.Numbers) != len(Series(Bool).Vars) {
		t.Errorf("%d numbers for %d variables", len(env.Numbers), len(Series(Bool).Vars))
	}
	if _, err := Compile(`state == "late"`, Series(Bool)); err == nil {
		t.Error("a state that does not exist is accepted")
	}
}

// genNumber and genTruth make expressions that the library's own machine evaluates, too.
func genNumber(depth int) *rapid.Generator[string] {
	leaves := []*rapid.Generator[string]{
		rapid.SampledFrom([]string{"value", "avg", "lo", "hi", `m["value"]`}),
		rapid.Map(rapid.Float64Range(-100, 100), func(f float64) string { return fmt.Sprintf("(%f)", f) }),
	}
	if depth == 0 {
		return rapid.OneOf(leaves...)
	}
	return rapid.OneOf(append(leaves,
		rapid.Custom(func(t *rapid.T) string {
			return "(" + genNumber(depth-1).Draw(t, "l") + rapid.SampledFrom([]string{" + ", " - ", " * ", " / ", " ** "}).Draw(t, "op") + genNumber(depth-1).Draw(t, "r") + ")"
		}),
		rapid.Custom(func(t *rapid.T) string {
			return rapid.SampledFrom([]string{"abs", "ceil", "floor", "round", "-"}).Draw(t, "f") + "(" + genNumber(depth-1).Draw(t, "x") + ")"
		}),
		rapid.Custom(func(t *rapid.T) string {
			return rapid.SampledFrom([]string{"min", "max"}).Draw(t, "f") + "(" + genNumber(depth-1).Draw(t, "x") + ", " + genNumber(depth-1).Draw(t, "y") + ")"
		}),
		rapid.Custom(func(t *rapid.T) string {
			return "(" + genTruth(depth-1).Draw(t, "c") + " ? " + genNumber(depth-1).Draw(t, "x") + " : " + genNumber(depth-1).Draw(t, "y") + ")"
		}))...)
}

func genTruth(depth int) *rapid.Generator[string] {
	comparison := rapid.Custom(func(t *rapid.T) string {
		d := max(depth-1, 0)
		return "(" + genNumber(d).Draw(t, "l") + rapid.SampledFrom([]string{" < ", " <= ", " > ", " >= ", " == ", " != "}).Draw(t, "op") + genNumber(d).Draw(t, "r") + ")"
	})
	leaves := []*rapid.Generator[string]{comparison, rapid.SampledFrom([]string{`state == "alert"`, `state != "ok"`, `(state in ["ok", "warming"])`, "true"})}
	if depth == 0 {
		return rapid.OneOf(leaves...)
	}
	return rapid.OneOf(append(leaves, rapid.Custom(func(t *rapid.T) string {
		return "(" + genTruth(depth-1).Draw(t, "l") + rapid.SampledFrom([]string{" && ", " || ", " == "}).Draw(t, "op") + genTruth(depth-1).Draw(t, "r") + ")"
	}), rapid.Map(genTruth(depth-1), func(s string) string { return "!(" + s + ")" }))...)
}

func TestKnownResultsAreThoseOfTheLibrary(t *testing.T) {
	compared := 0
	rapid.Check(t, func(t *rapid.T) {
		o := seriesOptions
		o.Result = rapid.SampledFrom([]Kind{Number, Bool}).Draw(t, "kind")
		var source string
		if o.Result == Number {
			source = genNumber(3).Draw(t, "source")
		} else {
			source = genTruth(3).Draw(t, "source")
		}
		value := rapid.Float64Range(-10, 10)
		env := &Env{Numbers: []float64{value.Draw(t, "value"), value.Draw(t, "avg"), value.Draw(t, "lo"), value.Draw(t, "hi")},
			Strings: []string{rapid.SampledFrom(seriesOptions.Strings[0].Values).Draw(t, "state")}}
		p, err := Compile(source, o)
		if err != nil {
			return // a constant part that is not finite, or too long
		}
		names := map[string]any{"state": env.Strings[0]}
		for i, n := range o.Vars {
			names[n] = env.Numbers[i]
		}
		names["m"] = names
		want, err := lang.Eval(source, names)
		if err != nil {
			t.Fatalf("%s: the library: %v", source, err)
		}
		var got any
		if o.Result == Number {
			got, err = p.Float(env)
		} else {
			got, err = p.Bool(env)
		}
		if err != nil {
			return
		}
		compared++
		if i, ok := want.(int); ok {
			want = float64(i)
		}
		if got != want {
			t.Fatalf("%s with %v is %v, and %v by the library", source, names, got, want)
		}
	})
	if compared == 0 {
		t.Fatal("nothing was compared")
	}
}

func TestTheOrderOfConditionsDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := genTruth(2).Draw(t, "a"), genTruth(2).Draw(t, "b")
		value := rapid.SampledFrom([]float64{0, 1, -1, 2, math.NaN(), math.Inf(1), math.Inf(-1)})
		env := &Env{Numbers: []float64{value.Draw(t, "value"), value.Draw(t, "avg"), value.Draw(t, "lo"), value.Draw(t, "hi")}, Strings: []string{"ok"}}
		for _, op := range []string{" && ", " || "} {
			p, err := Compile(a+op+b, seriesOptions)
			q, err2 := Compile(b+op+a, seriesOptions)
			if err != nil || err2 != nil {
				return
			}
			x, errX := p.Bool(env)
			y, errY := q.Bool(env)
			if x != y || !errors.Is(errX, errY) {
				t.Fatalf("%s is %v, %v; turned round it is %v, %v", p, x, errX, y, errY)
			}
		}
	})
}

func TestEvaluationDoesNotAllocate(t *testing.T) {
	for _, source := range []string{`value > 80 && avg > 70`, `abs(value - avg) / max(avg, 1) > 0.1 || state in ["ok", "alert"]`, `lo > 1`} {
		p, err := Compile(source, seriesOptions)
		if err != nil {
			t.Fatal(err)
		}
		env := seriesEnv()
		if n := testing.AllocsPerRun(100, func() { _, _ = p.Bool(env) }); n != 0 {
			t.Errorf("%s: %v allocations", source, n)
		}
	}
}

func FuzzCompileAndEvaluateNeverPanic(f *testing.F) {
	for _, s := range []string{`value > 80 && avg > 70`, `m["a.b"] ?? 1`, `x in [1,2]`, `any([1], # > 1)`, `a?.b[1:2]`, `let x = 1; x`, `if a { b } else { c }`, strings.Repeat("(", 1000), strings.Repeat("-", 1000), strings.Repeat("a?b:", 200)} {
		f.Add(s, 1.0, 2.0)
	}
	f.Fuzz(func(t *testing.T, source string, a, b float64) {
		o := seriesOptions
		o.AnyVar = true
		env := &Env{Strings: []string{"ok"}}
		for i := range MaxNodes + 4 {
			env.Numbers = append(env.Numbers, []float64{a, b, math.NaN()}[i%3])
		}
		if p, err := Compile(source, o); err == nil {
			if _, err := p.Bool(env); err != nil && !errors.Is(err, ErrNotFinite) {
				t.Fatal(err)
			}
		}
		o.Result = Number
		if p, err := Compile(source, o); err == nil {
			if v, err := p.Float(env); err != nil && !errors.Is(err, ErrNotFinite) || !finite(v) {
				t.Fatal(v, err)
			}
		}
	})
}

func BenchmarkBool(b *testing.B) {
	for _, source := range []string{`value > 80 && avg > 70`, `abs(value - avg) / max(avg, 1) > 0.1 || state == "ok"`} {
		b.Run(source, func(b *testing.B) {
			p, err := Compile(source, seriesOptions)
			if err != nil {
				b.Fatal(err)
			}
			env := seriesEnv()
			b.ReportAllocs()
			for b.Loop() {
				if _, err := p.Bool(env); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
