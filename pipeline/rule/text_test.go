package rule

import (
	"math"
	"strings"
	"testing"
	"unicode/utf8"

	"weir/telemetry"
)

func TestTemplatesAreRendered(t *testing.T) {
	s := hot()
	s.Labels = map[string]string{"line": "{{.Tags.line}}", "none": "{{ .Tags.none }}", "device": "{{.Device}}"}
	s.Annotations = map[string]string{
		"text": "{{.Metric}} {{humanize .Value}}{{.Unit}} of {{.Labels.line}}{{if gt .Value 1000.0}}, hot{{else}}, warm{{end}}",
		"open": "{{.Phase}} {{humanizeDuration .Seconds}} {{ humanizePercentage 0.5 }} {{ .Reason }}",
	}
	b := newBed(t, s)
	b.s.Tags = map[string]string{"line": "3"}
	x := b.one(b.read(1, 12345), telemetry.Firing, telemetry.Raised)
	if x.Labels["line"] != "3" || x.Labels["none"] != "" || x.Labels["device"] != "plant1/press7" {
		t.Errorf("labels %q", x.Labels)
	}
	if got, want := x.Annotations["text"], "temperature 12.35k°C of 3, hot"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	b.s.Tags = map[string]string{"line": "4"}
	y := b.one(b.read(3700, 2), telemetry.Resolved, telemetry.Cleared)
	if y.Labels["line"] != "3" {
		t.Error("a label changed under an open alert")
	}
	if got, want := y.Annotations["open"], "resolved 1h1m39s 50% cleared"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestTemplatesThatCouldRunLongAreRefused(t *testing.T) {
	for _, source := range []string{
		`{{range 1000000000}}x{{end}}`, `{{printf "%1000000000d" 1}}`, `{{define "x"}}{{template "x"}}{{end}}`, `{{template "x"}}`,
		`{{$x := 1}}{{$x}}`, `{{call .Value}}`, `{{with .Value}}{{end}}`, `{{block "x" .}}{{end}}`, `{{.Nothing}}`, `{{js "x"}}`, `{{.Tags`,
		`{{.}}`, `{{if true}}{{print 1}}{{end}}`, `{{if true}}{{else}}{{len "x"}}{{end}}`, `{{humanize (index .Tags "x")}}`, `{{(print 1)}}`, "\xff{{.Value}}",
	} {
		s := hot()
		s.Annotations = map[string]string{"a": source}
		if err := s.Validate(); err == nil || !strings.Contains(err.Error(), "annotations.a: ") {
			t.Errorf("%s: %v", source, err)
		}
	}
}

func TestATemplateWithFieldsThatThereAreNotTellsThoseThatThereAre(t *testing.T) {
	s := hot()
	s.Annotations = map[string]string{"a": "{{ .Foo }} {{ .Value }}{{ if false }}{{ .Bar.x }}{{ end }}"}
	const there = "; there are: .Rule, .Kind, .Severity, .Phase, .Reason, .Series, .Device, .Metric, .Unit, .Detector, " +
		".Value, .Observed, .Limit, .Score, .Lo, .Hi, .Seconds, .Count, .Tags, .Labels"
	want := "annotations.a: unknown field .Foo" + there + "\nannotations.a: unknown field .Bar" + there
	if err := s.Validate(); err == nil || err.Error() != want {
		t.Errorf("%v\nwant %s", err, want)
	}
}

func TestRenderedTextIsBounded(t *testing.T) {
	s := hot()
	s.Labels = map[string]string{"tag": strings.Repeat("{{.Tags.ü}}", 1)}
	if err := s.Validate(); err != nil {
		t.Fatal(err)
	}
	b := newBed(t, s)
	b.s.Tags = map[string]string{"ü": strings.Repeat("ü", 1000)}
	x := b.one(b.read(1, 90), telemetry.Firing, telemetry.Raised)
	if got := x.Labels["tag"]; len(got) != MaxLabelBytes || !utf8.ValidString(got) {
		t.Errorf("%d bytes, want %d", len(got), MaxLabelBytes)
	}
}

func TestFailingTemplateSaysSo(t *testing.T) {
	s := hot()
	s.Annotations = map[string]string{"a": `x{{if .Tags.line}}{{lt .Value .Tags.line}}{{end}}`}
	b := newBed(t, s)
	b.s.Tags = map[string]string{"line": "3"}
	x := b.one(b.read(1, 90), telemetry.Firing, telemetry.Raised)
	if got := x.Annotations["a"]; !strings.HasPrefix(got, "x (template: ") {
		t.Errorf("%q", got)
	}
}

func TestDurationsReadAsPeopleSayThem(t *testing.T) {
	for seconds, want := range map[float64]string{
		0: "0s", 0.25: "250ms", 1.25: "1.3s", 120: "2m", 3600: "1h", 3660: "1h1m", 3661: "1h1m1s", 86400: "24h", -120: "-2m",
	} {
		if got := humanizeSeconds(seconds); got != want {
			t.Errorf("%v is %q, want %q", seconds, got, want)
		}
	}
	for _, f := range []float64{nan, math.Inf(1), math.Inf(-1), math.MaxFloat64} {
		_, _ = humanizeSeconds(f), humanize(f)
	}
}

func FuzzTemplate(f *testing.F) {
	f.Add("{{.Value}} {{if .Tags.x}}{{humanize .Value}}{{end}}")
	f.Add("{{range 3}}{{end}}")
	f.Add("{{ .Labels.a | eq .Unit }}{{/* c */}}")
	f.Fuzz(func(t *testing.T, source string) {
		x, wrong := compileText("a", source, 64)
		if len(wrong) > 0 {
			return
		}
		got := x.render(&Context{Value: 1, Tags: map[string]string{"x": strings.Repeat("ü", 100)}})
		if len(got) > 64 || !utf8.ValidString(got) {
			t.Fatalf("%q renders to %q", source, got)
		}
	})
}
