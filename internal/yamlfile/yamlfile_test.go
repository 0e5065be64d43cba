package yamlfile_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"weir/internal/joined"
	"weir/internal/yamlfile"
)

func TestAFileIsReadWithinItsBounds(t *testing.T) {
	for text, want := range map[string]string{
		"a: 1":                          "",
		"":                              "",
		"# nothing":                     "",
		"~":                             "",
		"a: [":                          "is not YAML",
		"a: 1\n---\nb: 2":               "line 2: a second document is not possible",
		"a: 1\n---\nb: [":               "is not YAML",
		"a:\n- &x 1\n- *x":              "line 2: anchors, aliases and << are not possible",
		"a: {<<: {b: 1}}":               "line 1: anchors, aliases and << are not possible",
		"a: " + strings.Repeat("x", 40): "the file is larger than 40 bytes",
	} {
		var f yamlfile.Faults
		root := f.Read([]byte(text), 40)
		err := f.Err()
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want) || root != nil) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
		if (root != nil) != (text == "a: 1") {
			t.Errorf("%q has a root of %+v", text, root)
		}
	}
}

func TestFaultsAreToldInTheOrderOfTheirLinesAsFarAsTheyAreTold(t *testing.T) {
	var f yamlfile.Faults
	if f.Err() != nil {
		t.Error("a fault of nothing")
	}
	for line := 300; line > 0; line-- {
		f.Add(&yamlfile.Fault{Path: "a", Line: line, Reason: "is wrong"})
	}
	told := joined.All(f.Err())
	var first *yamlfile.Fault
	if !f.Full() || f.Count() != 300 || len(told) != 201 || !errors.As(told[0], &first) || first.Line != 101 || told[200].Error() != "and 100 more" {
		t.Errorf("%d, %d: %v … %v", f.Count(), len(told), told[0], told[len(told)-1])
	}
}

func TestAFaultSaysWhereItIsAsFarAsThatIsKnown(t *testing.T) {
	for want, f := range map[string]yamlfile.Fault{
		"a.b (line 3): is wrong": {Path: "a.b", Line: 3}, "a.b: is wrong": {Path: "a.b"}, "line 3: is wrong": {Line: 3}, "is wrong": {},
	} {
		if f.Reason = "is wrong"; f.Error() != want {
			t.Errorf("%q, want %q", f.Error(), want)
		}
	}
}

func TestDurationsMayBeDays(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"7d": 7 * 24 * time.Hour, "-1d": -24 * time.Hour, "10000d": 10_000 * 24 * time.Hour, "1h30m": 90 * time.Minute, "0": 0,
	} {
		if got, err := yamlfile.Duration(text); got != want || err != nil {
			t.Errorf("%s is %s, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "d", "7", "1.5d", "1d12h", "10001d", "-10001d", "99999999999999d", "seven"} {
		if got, err := yamlfile.Duration(text); err == nil || got != 0 || !strings.Contains(err.Error(), "or 7d, is \""+text) {
			t.Errorf("%s is %s, %v", text, got, err)
		}
	}
}

func TestAnUnknownKeyIsToldWithWhatWasMeant(t *testing.T) {
	known := []string{"room", "user"}
	for key, want := range map[string]string{"rom": "unknown key (room?)", "colour": "unknown key; there are: room, user"} {
		if got := yamlfile.Unknown(key, known); got != want {
			t.Errorf("%s: %s", key, got)
		}
	}
	for key, want := range map[string]string{"a b": "a b", "a\nb": `"a\nb"`, "a\u202eb": `"a\u202eb"`} {
		if got := yamlfile.Printable(key); got != want {
			t.Errorf("%q is shown as %s", key, got)
		}
	}
	if got := yamlfile.Printable(strings.Repeat("x", 1000)); len(got) > 80 {
		t.Error(got)
	}
}
