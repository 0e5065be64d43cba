package formula

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

var names = []string{"value", "key", "headers"}

func evaluate(t testing.TB, source, value string) (string, error) {
	t.Helper()
	p, err := Compile(source, names)
	if err != nil {
		t.Fatalf("%s: %v", source, err)
	}
	v, err := ParseJSON([]byte(value))
	if err != nil {
		t.Fatal(err)
	}
	out, err := p.Eval([]any{v, "k", map[string]any{"h": "x"}})
	if err != nil {
		return "", err
	}
	text, err := Encode(out)
	return string(text), err
}

const anOrder = `{"id":9007199254740993,"site":"plant1","n":3,"big":1e300,"on":true,"none":null,"lines":[{"sku":"a"},{"sku":"b"}],"text":" Hi <b> "}`

func TestExpressionsComputeJSON(t *testing.T) {
	for source, want := range map[string]string{
		`value.site == "plant1" && value.n > 2`:                  `true`,
		`value.id`:                                               `9007199254740993`,
		`value.id == 9007199254740993`:                           `true`,
		`value.id == 9007199254740992`:                           `false`,
		`value.id > 9007199254740992 && value.id < 1e16`:         `true`,
		`value.id == 9007199254740993 + 0`:                       `false`, // a sum is a float64: …992
		`9007199254740994 == 9007199254740992 + 2`:               `true`,
		`10000000000000000 == 1e16 && 1e16 <= 10000000000000000`: `true`,
		`"order " + string(value.id)`:                            `"order 9007199254740993"`,
		`value.lines[1].sku + value.lines[-2].sku`:               `"ba"`,
		`value.lines[7]`:                                         `null`,
		`value.nothing`:                                          `null`,
		`value.nothing?.deep.er`:                                 `null`,
		`value.nothing?.deep ?? "else"`:                          `"else"`,
		`value.n in [1, 2, 3] and "site" in value`:               `true`,
		`value.lines[0] in value.lines`:                          `true`,
		`{a: value.n, "b c": [key, headers.h], d: value.none}`:   `{"a":3,"b c":["k","x"],"d":null}`,
		`trim(lower(value.text))`:                                `"hi <b>"`,
		`value.on ? "yes" : "no"`:                                `"yes"`,
		`value.n / 2 + value.n % 2 - -1`:                         `3.5`,
		`value.site matches "^plant[0-9]$"`:                      `true`,
		`value.site startsWith "plant" or key contains "z"`:      `true`,
		`not (value.site endsWith "2")`:                          `true`,
		`split("a/b/c", "/")[1] + join([1, "x"], "-")`:           `"b1-x"`,
		`int("12.7") + round(2.5) + len(value.lines)`:            `17`,
		`value.lines == [{sku: "a"}, {sku: "b"}]`:                `true`,
		`value.n == "3"`:                                         `false`,
		`value.site | upper()`:                                   `"PLANT1"`,
		`max(1, value.n, 2) - min(value.n, 1)`:                   `2`,
		`1784000000000000`:                                       `1784000000000000`,
	} {
		if got, err := evaluate(t, source, anOrder); err != nil || got != want {
			t.Errorf("%s is %s, %v; want %s", source, got, err, want)
		}
	}
}

func TestWhatCannotBeComputedIsAnErrorThatSaysSo(t *testing.T) {
	for source, want := range map[string]string{
		`value.nothing.deep`:        "value.nothing.deep: null has no members",
		`value.site.x`:              "a text has no members",
		`value.n > "a"`:             ">: a text is not a number",
		`value.n && true`:           "a number is not a condition",
		`value.n + "a"`:             "+: a number and a text cannot be added; string(…) makes a text",
		`1 / (value.n - 3)`:         "/: the result is not a finite number",
		`value.big * value.big`:     "*: the result is not a finite number",
		`float("x")`:                `float: "x" is not a number`,
		`value.none ? 1 : 2`:        "null is not a condition",
		`value.n contains "a"`:      "not both texts",
		`"x" in value.site`:         "in: a text holds nothing",
		`lower(value.n)`:            "lower: a number is not a text",
		`len(value.n)`:              "len: a number has no length",
		`value.n matches "a"`:       "matches: a number is not a text",
		`value.lines["a"]`:          "a place in a list is a whole number, not a text",
		`split(value.site, "")`:     "split: ",
		`-value.site + +value.site`: "a text is not a number",
		`join([value.lines], "")`:   "join: a list is no text",
	} {
		if got, err := evaluate(t, source, anOrder); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %s, %v; want %q", source, got, err, want)
		}
	}
}

func TestFaultsAreToldWithTheirPlace(t *testing.T) {
	for source, want := range map[string]string{
		``:                              "column 1: the expression is empty",
		`valeu.x == 1`:                  "column 1: unknown variable valeu; there are: value, key, headers",
		`value.x == foo(1)`:             "column 12: unknown function foo; there are: abs, ",
		`value.x ==`:                    "the expression is not complete",
		`filter(value, .x > 1)`:         "unknown function filter",
		`let x = 1; x`:                  "a sequence of expressions is not possible here",
		`1..1000000`:                    ".. is not possible here",
		`value matches key`:             "column 15: behind matches there must be a constant text",
		`value matches "("`:             "missing closing )",
		`value.f(1)`:                    "only functions can be called",
		`len()`:                         "len takes 1, not 0",
		`value[1:2]`:                    "a slice is not possible here",
		strings.Repeat("1+", 600) + "1": "longer than",
		strings.Repeat("1+", 200) + "1": "more than 256 parts",
		`map(1..9, #)`:                  "unknown function map",
		`value.a == ref || foo == 1`:    "unknown variable ref",
	} {
		if _, err := Compile(source, names); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40s: %v; want %q", source, err, want)
		}
	}
	if _, err := Compile(`a + b + c`, names); err == nil || strings.Count(err.Error(), "\n") != 2 {
		t.Errorf("not all faults are told: %v", err)
	}
}

func TestWhatIsBuiltIsBounded(t *testing.T) {
	value := `{"s":"` + strings.Repeat("x", 400<<10) + `"}`
	for _, source := range []string{
		`value.s + value.s + value.s`, `[value, value, value]`, `{a: value.s, b: value.s, c: value.s}`,
		`join([value.s, value.s, value.s], value.s)`, `lower(value.s) + upper(value.s)`, `string([value, value, value])`,
	} {
		if got, err := evaluate(t, source, value); err == nil {
			t.Errorf("%s has %d bytes", source, len(got))
		}
	}
	if _, err := evaluate(t, `split(value.s, "x")`, value); err == nil {
		t.Error("a text may have any number of parts")
	}
	tmpl, err := CompileTemplate("{{value.s}}{{value.s}}{{value.s}}", names)
	if err != nil {
		t.Fatal(err)
	}
	v, _ := ParseJSON([]byte(value))
	if _, err := tmpl.Eval([]any{v, "", nil}); err == nil {
		t.Error("a text of a template may have any length")
	}
}

func TestPatternsTakeBoundedTime(t *testing.T) {
	value := `{"s":"` + strings.Repeat("x", 400<<10) + `"}`
	for source, want := range map[string]string{
		`value.s matches "^[a-z]+(-[a-z]+)*$"`:                            "true",
		`value.s matches "x{0,900}y"`:                                     "",
		`value.s matches "xx+y" || ` + repeated(`value.s matches "xx*y"`): "",
		`"` + strings.Repeat("x", 900) + `" matches "x{0,900}y"`:          "false",
	} {
		got, err := evaluate(t, source, value)
		if got != want || want == "" && (err == nil || !strings.Contains(err.Error(), "too long for the pattern")) {
			t.Errorf("%.40s is %s, %v; want %s", source, got, err, want)
		}
	}
}

// repeated is a condition thirty times.
func repeated(one string) string { return strings.TrimSuffix(strings.Repeat(one+" || ", 30), " || ") }

func TestTemplatesAreTextsWithExpressions(t *testing.T) {
	v, err := ParseJSON([]byte(anOrder))
	if err != nil {
		t.Fatal(err)
	}
	vars := []any{v, "k", map[string]any{}}
	for source, want := range map[string]string{
		"plant1/ops":                            "plant1/ops",
		"":                                      "",
		"{{ value.site }}/line{{value.n}}":      "plant1/line3",
		`{{ {a: {b: "}}"}}.a.b }}`:              "}}",
		`{{ value.on ? "it's }}" : 'no' }}done`: "it's }}done",
		"}} stays, { too":                       "}} stays, { too",
	} {
		tmpl, err := CompileTemplate(source, names)
		if err != nil {
			t.Errorf("%s: %v", source, err)
			continue
		}
		if got, err := tmpl.Eval(vars); err != nil || got != want {
			t.Errorf("%s is %q, %v; want %q", source, got, err, want)
		}
		if text, literal := tmpl.Literal(); literal != !strings.Contains(source, "{{") || literal && text != source {
			t.Errorf("%s: literal is %q, %v", source, text, literal)
		}
	}
	for source, want := range map[string]string{
		"{{ value.none }}":          "null is no text",
		"plant1/{{ value.lines }}":  "a list is no text",
		"plant1/{{ value.no.way }}": "has no members",
	} {
		tmpl, err := CompileTemplate(source, names)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := tmpl.Eval(vars); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s is %q, %v", source, got, err)
		}
	}
	for source, want := range map[string]string{
		"a{{ value":     "a {{ has no }}",
		"{{ vlue }}{{}": "a {{ has no }}",
		"{{ vlue }}":    "{{ vlue }}: column 1: unknown variable vlue",
		"{{}}":          "the expression is empty",
		strings.Repeat("{{key}}", maxExpressions+1): "more than 32 expressions",
		strings.Repeat("x", maxTemplate+1):          "longer than",
	} {
		if _, err := CompileTemplate(source, names); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.30s: %v", source, err)
		}
	}
}

func TestOnlyWholeJSONIsTaken(t *testing.T) {
	for _, bad := range []string{``, `{`, `1 2`, `{"a":1}}`, "\"\xff\"", `1e999`, `nan`} {
		if v, err := ParseJSON([]byte(bad)); err == nil {
			t.Errorf("%q is %v", bad, v)
		}
	}
}

func TestWhatIsReadIsWrittenAsItWas(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var value func(depth int) *rapid.Generator[any]
		value = func(depth int) *rapid.Generator[any] {
			plain := rapid.OneOf(
				rapid.Just[any](nil), rapid.Map(rapid.Bool(), func(b bool) any { return b }),
				rapid.Map(rapid.Float64(), func(f float64) any { return f }), rapid.Map(rapid.String(), func(s string) any { return strings.ToValidUTF8(s, "") }))
			if depth == 0 {
				return plain
			}
			return rapid.OneOf(plain, rapid.Map(rapid.SliceOfN(value(depth-1), 0, 3), func(l []any) any { return append([]any{}, l...) }),
				rapid.Map(rapid.MapOfN(rapid.StringN(0, 4, 8), value(depth-1), 0, 3), func(m map[string]any) any { return m }))
		}
		v := value(3).Draw(t, "value")
		text, err := Encode(v)
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseJSON(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		twice, err := Encode(again)
		if err != nil || string(twice) != string(text) {
			t.Fatalf("%s became %s: %v", text, twice, err)
		}
	})
}

func FuzzCompileAndEval(f *testing.F) {
	for _, s := range []string{`value.a?.b ?? {c: [1]}`, `split(key, "/")[0] matches "a+"`, `value in [1,"x",nil]`, `"a" + string(value)`} {
		f.Add(s, `{"a":[1,{"b":"c"}]}`)
	}
	f.Fuzz(func(t *testing.T, source, value string) {
		v, err := ParseJSON([]byte(value))
		if err != nil {
			return
		}
		p, err := Compile(source, names)
		if err != nil {
			return
		}
		out, err := p.Eval([]any{v, "k", map[string]any{}})
		if err != nil {
			return
		}
		if text, err := Encode(out); err == nil {
			if _, err := ParseJSON(text); err != nil && len(text) < 1000 {
				t.Fatalf("%s made %s: %v", source, text, err)
			}
		}
	})
}
