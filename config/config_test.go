package config

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

func writeFile(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "weir.yaml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestTheDefaultsWork(t *testing.T) {
	c, err := Load(Sources{})
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.Data = DefaultData // the embedded broker's
	if !reflect.DeepEqual(c, want) {
		t.Errorf("loading nothing changes the defaults:\n%+v\n%+v", c, want)
	}
}

func TestFlagsOverrideTheEnvironmentOverridesTheFile(t *testing.T) {
	file := writeFile(t, `
listen: 127.0.0.1:1
data: from-file
pipeline:
  flush_period: 20ms
ingest:
  credit: 7
kafka:
`)
	c, err := Load(Sources{
		File: file,
		Environ: []string{
			"WEIR_DATA=from-env", "WEIR_LISTEN=127.0.0.1:2", "WEIR_PIPELINE__LATENESS=1m", "WEIR_CONFIG=ignored", "WEIR_BIN=ignored",
			"WEIR_URL=ignored", "WEIR_TOKEN=ignored",
			"WEIR_KAFKA__BROKERS=one:9092, two:9092", "WEIR_INGEST__MAX_READINGS=100", "WEIR_PUSH__DEFAULT_MAX_HZ=2.5",
			"WEIR_INSECURE_OPEN=true", "PATH=/bin",
		},
		Flags: map[string]any{"listen": "127.0.0.1:3", "roles": []string{"ingest", "push"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.Listen, want.Data, want.InsecureOpen = "127.0.0.1:3", "from-env", true
	want.Roles = []string{"ingest", "push"}
	want.Kafka.Brokers = []string{"one:9092", "two:9092"}
	want.Pipeline.FlushPeriod, want.Pipeline.Lateness = 20*time.Millisecond, time.Minute
	want.Ingest.Credit, want.Ingest.MaxReadings = 7, 100
	want.Push.DefaultMaxHz = 2.5
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got\n%+v\nwant\n%+v", c, want)
	}
}

func TestErrorsNameTheFullPath(t *testing.T) {
	cases := []struct {
		name, file string
		env        []string
		flags      map[string]any
		want       []string
	}{
		{name: "unknown key", file: "pipeline: {flush_perid: 5ms}",
			want: []string{"weir.yaml: pipeline.flush_perid: unknown (pipeline.flush_period?)"}},
		{name: "key in the wrong section", file: "flush_period: 5ms",
			want: []string{"weir.yaml: flush_period: unknown (pipeline.flush_period?)"}},
		{name: "unknown variable", env: []string{"WEIR_PIPELINE_FLUSH_PERIOD=5ms"},
			want: []string{"environment: pipeline_flush_period: unknown (pipeline.flush_period?)"}},
		{name: "unknown flag", flags: map[string]any{"nonsense": 1}, want: []string{"flags: nonsense: unknown"}},
		{name: "value for a section", file: "pipeline: 7", want: []string{"weir.yaml: pipeline: is a section, not a value"}},
		{name: "duration without unit", file: "pipeline: {flush_period: 5}",
			want: []string{"pipeline.flush_period: 5 has no unit"}},
		{name: "nested component", file: "pipeline: {average: {window: -1s}}", want: []string{"pipeline.average.window: "}},
		{name: "no number", env: []string{"WEIR_INGEST__CREDIT=many"}, want: []string{`ingest.credit: "many" is not a whole number`}},
		{name: "half a connection", file: "ingest: {credit: 1.5}", want: []string{"ingest.credit: 1.5 is not a whole number"}},
		{name: "list for a number", file: "ingest: {credit: [1]}", want: []string{"ingest.credit: "}},
		{name: "number for text", file: "log: {level: 3}", want: []string{"log.level: "}},
		{name: "no boolean", file: "insecure_open: perhaps", want: []string{"insecure_open: "}},
		{name: "several out of range", file: "ingest: {credit: 0}\npush: {send_buffer: 1}\npipeline: {flush_period: 0s}\nrooms: {inbox: 0}",
			want: []string{"ingest.credit: must be", "push.send_buffer: must be", "pipeline.flush_period: must be", "rooms.inbox: must be"}},
		{name: "half an origin", file: "allowed_origins: ['*', dash.example]",
			want: []string{`allowed_origins[1]: "dash.example" is neither scheme://host[:port] nor *`}},
		{name: "drains longer than the stop", file: "stop_timeout: 6s\npush: {drain_timeout: 6s}\ningest: {drain_timeout: 5s}",
			want: []string{"push.drain_timeout: must be below stop_timeout (6s), is 6s"}},
		{name: "stop shorter than the drains", file: "stop_timeout: 2s",
			want: []string{"ingest.drain_timeout: must be below", "push.drain_timeout: must be below"}},
		{name: "updates go before their readings", file: "retention: {readings: {age: 48h}}",
			want: []string{"retention.updates.age: must be at least retention.readings.age (48h0m0s), is 24h0m0s"}},
		{name: "alerts go before their readings", file: "retention: {alerts: {age: 1h}}",
			want: []string{"retention.alerts.age: must be at least retention.readings.age (24h0m0s), is 1h0m0s"}},
		{name: "no address", file: "listen: here", want: []string{`listen: "here" is not host:port`}},
		{name: "unknown role", file: "roles: [ingest, cook]", want: []string{`roles[1]: "cook" is none of ingest, pipeline, push`}},
		{name: "roles without brokers", file: "roles: [ingest]", want: []string{"roles: without pipeline this process needs kafka.brokers"}},
		{name: "open profiler", file: "admin_listen: 0.0.0.0:1", want: []string{"admin_listen: 0.0.0.0:1 is not on loopback"}},
		{name: "broken YAML", file: "a: [", want: []string{"weir.yaml: "}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := Sources{Environ: c.env, Flags: c.flags}
			if c.file != "" {
				s.File = writeFile(t, c.file)
			}
			_, err := Load(s)
			if err == nil {
				t.Fatal("accepted")
			}
			lines := strings.Split(err.Error(), "\n")
			for _, want := range c.want {
				found := false
				for _, line := range lines {
					found = found || strings.HasPrefix(line, want) || strings.Contains(line, "/"+want)
				}
				if !found {
					t.Errorf("no line is %q in:\n%v", want, err)
				}
			}
			if len(lines) != len(c.want) && c.name != "broken YAML" {
				t.Errorf("%d lines instead of %d:\n%v", len(lines), len(c.want), err)
			}
		})
	}
}

func TestVariablesOfKubernetesServicesAreNotSettings(t *testing.T) {
	links := []string{
		"WEIR_SERVICE_HOST=10.96.0.1", "WEIR_SERVICE_PORT=7420", "WEIR_SERVICE_PORT_HTTP=7420",
		"WEIR_PORT=tcp://10.96.0.1:7420", "WEIR_PORT_7420_TCP=tcp://10.96.0.1:7420", "WEIR_PORT_7420_TCP_PROTO=tcp",
		"WEIR_PORT_7420_TCP_PORT=7420", "WEIR_PORT_7420_TCP_ADDR=10.96.0.1",
		"WEIR_INGEST_SERVICE_HOST=10.96.0.2", "WEIR_INGEST_SERVICE_PORT=7420", "WEIR_INGEST_PORT=tcp://10.96.0.2:7420",
		"WEIR_INGEST_PORT_7420_TCP_ADDR=10.96.0.2", "WEIR_LIVE_PUSH_PORT=udp://10.96.0.3:7420",
	}
	if _, err := Load(Sources{Environ: links}); err != nil {
		t.Error(err)
	}
	for _, setting := range []string{"WEIR_PORT=7420", "WEIR_LISTEN_PORT=7420", "WEIR_SERVICE=weir", "WEIR_INGEST__PORT=7420"} {
		if _, err := Load(Sources{Environ: []string{setting}}); err == nil {
			t.Errorf("%s was taken for a Service's", setting)
		}
	}
	for _, key := range settings(t) {
		name := envPrefix + strings.ToUpper(strings.ReplaceAll(key, delimiter, "__"))
		if serviceLink(name, "tcp://10.96.0.1:7420") {
			t.Errorf("%s cannot be set by its variable", key)
		}
	}
}

// settings are the paths of all of them.
func settings(t *testing.T) []string {
	t.Helper()
	merged, err := Sources{}.merge()
	if err != nil {
		t.Fatal(err)
	}
	return merged.Keys()
}

func TestAMissingFileIsNamed(t *testing.T) {
	_, err := Load(Sources{File: "/nowhere/weir.yaml"})
	if err == nil || err.Error() != "configuration file /nowhere/weir.yaml does not exist" {
		t.Errorf("%v", err)
	}
}

func TestThePrintedConfigurationLoadsAsItself(t *testing.T) {
	want := Default()
	want.Kafka.Brokers = []string{"one:9092"}
	want.Pipeline.FlushPeriod = 25 * time.Millisecond
	text, err := want.YAML()
	if err != nil {
		t.Fatal(err)
	}
	got, err := Load(Sources{File: writeFile(t, string(text))})
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("printed and loaded:\n%+v\nwant\n%+v\n%s", got, want, text)
	}
}

func TestOnlyLoopbackIsLoopback(t *testing.T) {
	for address, want := range map[string]bool{
		"127.0.0.1:7420": true, "[::1]:7420": true, "localhost:7420": true, "127.9.9.9:0": true,
		":7420": false, "0.0.0.0:7420": false, "[::]:7420": false, "192.168.1.5:7420": false, "weir.example:7420": false,
	} {
		if got := LoopbackAddress(address); got != want {
			t.Errorf("%s: %v", address, got)
		}
	}
}
