package plan

import (
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"weir/expr"
)

func page(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/pipelines.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestTheExamplesOfThePageAreAccepted(t *testing.T) {
	blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(page(t), -1)
	if len(blocks) < 5 {
		t.Fatalf("%d examples", len(blocks))
	}
	for _, b := range blocks {
		if _, err := Parse([]byte(b[1])); err != nil {
			t.Errorf("%s\n%v", b[1], err)
		}
	}
	text, err := os.ReadFile("../../deploy/pipelines.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Parse(text); err != nil {
		t.Errorf("deploy/pipelines.example.yaml: %v", err)
	}
}

func TestThePageNamesEveryKey(t *testing.T) {
	text := page(t)
	var walk func(reflect.Type, string)
	walk = func(typ reflect.Type, prefix string) {
		for key, f := range fieldsOf(reflect.New(typ).Elem()) {
			if !strings.Contains(text, "`"+key+"`") && !strings.Contains(text, "`"+prefix+key+"`") && !strings.Contains(text, "## "+key) && !strings.Contains(text, "{"+key+":") {
				t.Errorf("docs/pipelines.md does not name %s%s", prefix, key)
			}
			of := f.value.Type()
			for of.Kind() == reflect.Pointer || of.Kind() == reflect.Slice {
				of = of.Elem()
			}
			if of.Kind() == reflect.Struct && of != reflect.TypeFor[Pattern]() {
				walk(of, key+".")
			}
		}
	}
	walk(reflect.TypeFor[file](), "")
	for _, f := range expr.Functions() {
		if !strings.Contains(text, f) {
			t.Errorf("docs/pipelines.md does not name the function %s", f)
		}
	}
}
