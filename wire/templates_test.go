package wire

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"weir/telemetry"
)

func templatesOf(t testing.TB, c TemplatesConfig) *Templates {
	t.Helper()
	parsed, err := ParseTemplates(c)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

func TestTemplatesNameInfluxReadings(t *testing.T) {
	const line = "cpu,cpu=cpu0,host=web,site=x usage=1"
	for _, c := range []struct{ device, metric, want string }{
		{"", "", "web cpu_usage.cpu=cpu0.site=x"},
		{"{tag.site}/{tag.host}", "", "x/web cpu_usage.cpu0"},
		{"plants/{tag.site}", "{measurement}.{field}", "plants/x cpu.usage"},
		{"{tag.missing|tag.host}", "{tag.cpu}-{field}{.tags}", "web cpu0-usage.site=x"},
		{"{tag.missing|'nobody'}", "{field}{:tag.missing}{_tag.cpu}", "nobody usage_cpu0"},
		{"{tag.missing}", "", "!template_mismatch line 1"},
		{"{device}", "", "!device_missing line 1"},
		{"a{/tags}", "{field}", "a/cpu=cpu0/host=web/site=x usage"},
		{"{tag.host}", "{tag.missing}", "!template_mismatch line 1.usage"},
		{"{tag.host}", "{field}{.tags!cpu!site}", "web usage"},
		{"{topic.2}/{topic.-1}", "{field}", "b/d usage"},
		{"{topic.3-}", "{field}", "c/d usage"},
		{"{topic.9}", "{field}", "!template_mismatch line 1"},
		{"{topic}", "{field}", "a/b/c/d usage"},
	} {
		opts := testOptions()
		opts.Topic = "a/b/c/d"
		opts.Templates = templatesOf(t, TemplatesConfig{Influx: TemplateConfig{c.device, c.metric}})
		got := strings.TrimSuffix(decodeAs(t, FormatInflux, opts, line), " 1@0")
		if got != c.want {
			t.Errorf("%s and %s: %s, want %s", c.device, c.metric, got, c.want)
		}
	}
}

func TestADeviceMadeByATemplateIsTheTenants(t *testing.T) {
	for host, want := range map[string]string{"web": "t/web m 1@0", "t/web": "t/web m 1@0", "t": "t/t m 1@0", "/t/x": "t/x m 1@0", "u/web": "t/u/web m 1@0"} {
		opts := testOptions()
		opts.Tenant = "t"
		if got := decodeAs(t, FormatInflux, opts, "m,host="+host+" value=1"); got != want {
			t.Errorf("host %s: %s, want %s", host, got, want)
		}
	}
	opts := testOptions()
	opts.Tenant, opts.DefaultDevice = "t", "t"
	if got := decodeAs(t, FormatInflux, opts, "m,host=x value=1"); got != "t m 1@0" {
		t.Error(got)
	}
}

func TestTemplatesOfSenMLAndTopics(t *testing.T) {
	opts := testOptions()
	opts.Templates = templatesOf(t, TemplatesConfig{
		SenML: TemplateConfig{"x/{base}", "{name}"}, Topic: TemplateConfig{"{topic.1}/{topic.2}", "{topic.-1}"},
	})
	if got := decodeAs(t, FormatSenMLJSON, opts, `[{"bn":"a/b/","n":"c","v":1}]`); got != "x/a/b a-b-c 1@0" {
		t.Error(got)
	}
	device, metric, err := opts.Templates.Topic("a/b/c", "", "")
	if device != "a/b" || metric != "c" || err != nil {
		t.Errorf("%s, %s, %v", device, metric, err)
	}
	if _, _, err = opts.Templates.Topic("a", "", ""); err == nil || err.Code != CodeTemplateMismatch {
		t.Errorf("topic of one segment: %v", err)
	}
	device, metric, err = DefaultTemplates().Topic("a/+/_c", "", "t")
	if device != "t/a/-/-c" || metric != "" || err != nil {
		t.Errorf("%s, %s, %v", device, metric, err)
	}
}

func TestTemplatesThatCannotWorkAreNamed(t *testing.T) {
	for text, want := range map[string]string{
		"{meausrement}": `"meausrement" cannot be used here`, "{": "{ without }", "a}": "} without {", "{tag.}": "cannot be used",
		"{}": "cannot be used", "{topic.0}": "cannot be used", "{topic.x}": "cannot be used", "{name}": "cannot be used", "{field}": "cannot be used",
		"{tag.a!b}": "cannot be used", strings.Repeat("a", maxTemplateBytes+1): "longer than",
	} {
		err := TemplatesConfig{Influx: TemplateConfig{Device: text}, SenML: TemplateConfig{Metric: "{field}"}}.Validate()
		if err == nil || !strings.Contains(err.Error(), "influx.device: ") || !strings.Contains(err.Error(), want) ||
			!strings.Contains(err.Error(), "senml.metric: ") {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
	if err := DefaultTemplatesConfig().Validate(); err != nil {
		t.Error(err)
	}
}

func TestCleanedNamesPassTheChecks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		raw := rapid.SliceOfN(rapid.OneOf(rapid.Byte(), rapid.SampledFrom([]byte("/_+#ab"))), 1, 30).Draw(t, "raw")
		if err := telemetry.CheckMetric(cleanSegment(raw)); err != nil {
			t.Errorf("segment %q of %q: %v", cleanSegment(raw), raw, err)
		}
		device := cleanPath(raw)
		if err := telemetry.CheckDevice(device); err != nil && device != "" && strings.Count(device, "/") < telemetry.MaxPathSegments-1 {
			t.Errorf("path %q of %q: %v", device, raw, err)
		}
		if telemetry.CheckDevice(string(raw)) == nil && device != string(raw) {
			t.Errorf("%q became %q", raw, device)
		}
	})
}

func TestNameCachesAreBounded(t *testing.T) {
	opts := testOptions()
	influx, senml := newInfluxDecoder(opts), newSenMLJSONDecoder(opts)
	for i := range 200 {
		var lines, pack []byte
		pack = append(pack, '[')
		for j := range 40 {
			lines = fmt.Appendf(lines, "m%d,host=a f%d=1,g%d=2\n", i, j, i*40+j)
			pack = fmt.Appendf(pack, `{"n":"dev/%d/n%d","v":1},`, i, j)
		}
		pack[len(pack)-1] = ']'
		for _, d := range []struct {
			FrameDecoder
			frame []byte
		}{{influx, lines}, {senml, pack}} {
			if f, err := d.Decode(d.frame); err != nil || len(f.Rejected) > 0 {
				t.Fatal(err, f)
			}
		}
		names := 0
		for _, s := range influx.cache.series {
			names += 1 + len(s.fields.list) + len(s.single.list)
		}
		if names > maxSeriesNames || influx.cache.bytes > maxSeriesBytes || len(senml.resolver.resolved) > maxSeriesNames {
			t.Fatalf("%d names of %d bytes, %d of SenML", names, influx.cache.bytes, len(senml.resolver.resolved))
		}
	}
	var line strings.Builder
	line.WriteString("m,host=a ")
	for i := range telemetry.MaxReadingsPerRecord {
		fmt.Fprintf(&line, "%cf%d=1", " ,"[min(i, 1)], i)
	}
	for range 3 {
		f, err := influx.Decode([]byte(line.String()))
		if err != nil || len(f.Rejected) > 0 || f.Total != telemetry.MaxReadingsPerRecord {
			t.Fatal(err, f.Total)
		}
	}
}
