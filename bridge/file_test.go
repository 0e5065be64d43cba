package bridge

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"weir/kafka"
)

// faultsOf is what is wrong with a file, a fault a line.
func faultsOf(t *testing.T, text string) string {
	t.Helper()
	_, err := Parse([]byte(text))
	if err == nil {
		return ""
	}
	return err.Error()
}

// entry is a bridge that is right, with lines added, each in the place of the one of its key.
func entry(lines ...string) string {
	text := map[string]string{"name": "name: a", "topic": "topic: t", "to": "to: {room: plant1/ops}", "type": "type: x"}
	order := []string{"name", "topic", "to", "type"}
	for _, l := range lines {
		key, rest, _ := strings.Cut(l, ":")
		if _, known := text[key]; !known {
			order = append(order, key)
		}
		if text[key] = l; rest == "" {
			text[key] = "#"
		}
	}
	var out strings.Builder
	out.WriteString("bridges:\n  -\n")
	for _, key := range order {
		out.WriteString("    " + text[key] + "\n")
	}
	return out.String()
}

func TestFaultsAreToldWithPathAndLine(t *testing.T) {
	for text, want := range map[string]string{
		"bridges: {}":                        "bridges (line 1): must be a list",
		"bridge: []":                         "bridge (line 1): unknown key (bridges?)",
		"[]":                                 "line 1: must be a section of keys and values",
		"bridges: [":                         "is not YAML",
		"a: 1\n---\nb: 2":                    "a second document is not possible",
		"bridges: &a [*a]":                   "anchors, aliases and << are not possible",
		"bridges:\n- 7":                      "bridges[0] (line 2): must be a section of keys and values",
		"# " + strings.Repeat("x", MaxBytes): "the file is larger than",
		"bridges:\n" + strings.Repeat("- {}\n", MaxBridges+1): "bridges (line 1): there are 101, and may be 100",
		entry("name:"):                                      "bridges[0].name (line 4): is missing",
		entry("name: a/b"):                                  "bridges[0].name (line 3): has to be 1 to 32 letters",
		entry("topic:"):                                     "bridges[0].topic (line 3): is missing",
		entry("topic: weir.messages"):                       "bridges[0].topic (line 4): weir.messages is Weir's own",
		entry("topic: weir.latest"):                         "weir.latest is Weir's own",
		entry("topic: __consumer_offsets"):                  "__consumer_offsets is Kafka's own",
		entry("topic: a b"):                                 "a topic's name has",
		entry("type:"):                                      "bridges[0].type (line 3): is missing",
		entry("to:"):                                        "bridges[0].to (line 3): is missing",
		entry("to: {}"):                                     "bridges[0].to (line 5): names no target",
		entry("to: plant1/ops"):                             "bridges[0].to (line 5): must be a section",
		entry("to: {rom: a}"):                               "bridges[0].to.rom (line 5): unknown key (room?)",
		entry("to: {room: a, user: b}"):                     "bridges[0].to.user (line 5): there is room already",
		entry(`to: {room: '"plant1/ops"'}`):                 "it needs no quotes of its own",
		entry("to: {room: plant1/+}"):                       "bridges[0].to.room (line 5): ",
		entry("to: {room: '{{ vlaue }}'}"):                  "bridges[0].to.room (line 5): {{ vlaue }}: column 1: unknown variable vlaue",
		entry("to: {user: plant1/ada}"):                     "a user is TENANT/_users/NAME",
		entry("to: {broadcast: yes please}"):                "bridges[0].to.broadcast (line 5): must be true",
		entry("to: {broadcast: true, tenant: a/b}"):         "bridges[0].to.tenant (line 5): must be the first segment",
		entry("to: {room: a/b, tenant: a}"):                 "bridges[0].to.tenant (line 5): is for broadcasts",
		entry("to: {device: a/b}"):                          "bridges[0].type (line 6): does not go with to.device; what does: command, args, id, ttl",
		entry("to: {device: a/b}", "type:"):                 "bridges[0].command (line 3): is missing",
		entry("to: {series: temperature}", "type:"):         "a series is a device and a metric",
		entry("from: middle"):                               "bridges[0].from (line 7): must be one of start, end",
		entry("format: xml"):                                "must be one of json, text, bytes",
		entry("max_age: 5"):                                 "bridges[0].max_age (line 7): must be a duration",
		entry("to: {crowd: a}"):                             "bridges[0].to.crowd (line 5): unknown key; there are: room, user",
		entry("ttl: 2d"):                                    "must be between 1ms and 24h0m0s, is 48h0m0s",
		entry("max_age: -1d"):                               "must be between 1ms and",
		entry("ttl: 48h"):                                   "must be between 1ms and 24h0m0s, is 48h0m0s",
		entry("rate: many"):                                 "must be a whole number of records a second",
		entry("filter: value.x = 1"):                        "bridges[0].filter (line 7): column 9: ",
		entry("filter: foo(value)"):                         "unknown function foo",
		entry("payload: {text: value.x}"):                   "bridges[0].payload (line 7): is an expression: put it in quotes",
		entry("ephemeral: perhaps"):                         "must be true or false",
		entry("reading: value"):                             "bridges[0].reading (line 7): does not go with to.room",
		entry("name: a", "id: [1]"):                         "bridges[0].id (line 7): must be a single value",
		entry() + strings.TrimPrefix(entry(), "bridges:\n"): "bridges[1].name (line 8): there are two called a",
	} {
		if got := faultsOf(t, text); !strings.Contains(got, want) {
			t.Errorf("%.80s\nis told as %q\nwant %q", text, got, want)
		}
	}
}

func TestAllFaultsAreToldAtOnceInTheirOrder(t *testing.T) {
	got := faultsOf(t, entry("topic: weir.x", "filter: a + b", "ttl: x", "colour: red", "from: x"))
	var lines []int
	for _, one := range strings.Split(got, "\n") {
		var line int
		if _, rest, ok := strings.Cut(one, "(line "); ok {
			_, _ = fmt.Sscan(strings.TrimSuffix(strings.Fields(rest)[0], "):"), &line)
		}
		lines = append(lines, line)
	}
	if fmt.Sprint(lines) != "[4 7 7 8 9 10]" {
		t.Errorf("lines %v of\n%s", lines, got)
	}
}

func TestEachFaultOfATextIsToldOnceAndOnALineOfItsOwn(t *testing.T) {
	for text, want := range map[string]int{
		entry("to: {room: '{{ a + b }}/{{ c }}'}"): 3,
		entry("type: '{{ a + b }}'"):               2,
		entry("type: '{{ value'"):                  1, // it is not missing
	} {
		got := strings.Split(faultsOf(t, text), "\n")
		for _, one := range got {
			if !strings.HasPrefix(one, "bridges[0].") {
				t.Errorf("%q does not tell where", one)
			}
		}
		if len(got) != want {
			t.Errorf("%s\nhas %d faults: %q; want %d", text, len(got), got, want)
		}
	}
}

func TestExamplesAreRight(t *testing.T) {
	text, err := os.ReadFile("../deploy/bridges.example.yaml")
	must(t, err)
	p, err := Parse(text)
	must(t, err)
	if got := p.Summary(); got != "5 bridges of 4 topics" {
		t.Error(got)
	}
	now := time.Now()
	apply := func(bridge, key, value string) Outcome {
		b := p.Find(bridge)
		return b.Apply(Origin{Topic: b.Topic, Record: &kafka.Record{Key: []byte(key), Value: []byte(value), Time: now.UnixMilli()}}, now)
	}
	if out := apply("assigned", "", `{"id":"o-1","title":"Oil","assignee":"ada"}`); out.Message == nil || out.Message.User != "plant1/_users/ada" {
		t.Errorf("%+v", out)
	}
	if out := apply("storm", "", `{"headline":"Gale"}`); out.Message == nil || !out.Message.Broadcast || out.Message.Tenant != "plant1" || out.Message.Expires <= now.UnixMicro() {
		t.Errorf("%+v", out)
	}
	if out := apply("meters", "plant1/m1", "12.5"); string(out.Reading) != fmt.Sprintf(`{"device":"plant1/m1","metric":"energy","ts":%d,"value":12.5}`, now.UnixMilli()) {
		t.Errorf("%s %v", out.Reading, out.Failure)
	}
	if out := apply("meters", "plant2/m1", "12.5"); out.Verdict != Filtered {
		t.Errorf("%+v", out)
	}
}

func TestWhatIsTooOldIsPassedOver(t *testing.T) {
	p, err := Parse([]byte(entry("max_age: 10m")))
	must(t, err)
	days, err := Parse([]byte(entry("max_age: 2d")))
	must(t, err)
	command, err := Parse([]byte(entry("to: {device: a/b}", "type:", "command: x", "ttl: 1m")))
	must(t, err)
	message, err := Parse([]byte(entry("ttl: 30m")))
	must(t, err)
	now := time.Now()
	for age, want := range map[time.Duration][4]Verdict{
		0: {Sent, Sent, Sent, Sent}, 2 * time.Minute: {Sent, Expired, Sent, Sent}, time.Hour: {Expired, Expired, Expired, Sent},
		-time.Hour: {Sent, Sent, Sent, Sent}, 47 * time.Hour: {Expired, Expired, Expired, Sent}, 49 * time.Hour: {Expired, Expired, Expired, Expired},
	} {
		o := Origin{Topic: "t", Record: &kafka.Record{Value: []byte("1"), Time: now.Add(-age).UnixMilli()}}
		var got [4]Verdict
		for i, plan := range []*Plan{p, command, message, days} {
			got[i] = plan.Bridges()[0].Apply(o, now).Verdict
		}
		if got != want {
			t.Errorf("%s old: %v, want %v", age, got, want)
		}
	}
	o := Origin{Topic: "t", Record: &kafka.Record{Value: []byte("1"), Time: now.Add(time.Hour).UnixMilli()}}
	if c := command.Bridges()[0].Apply(o, now).Command; c.Created.After(now) || c.Expires.Sub(now) != time.Minute {
		t.Errorf("a record of the future makes %+v", c)
	}
}

// A dry run sees of a bridge what Apply says.
func TestAReadingThatIsNoneIsNotSent(t *testing.T) {
	p, err := Parse([]byte(`bridges: [{name: a, topic: t, to: {series: "plant1/{{value.tank}}/ph"}, reading: value.ph}]`))
	must(t, err)
	for value, want := range map[string]string{
		`{"tank":"t1"}`: "value_type reading", `{"tank":"t1","ph":[7]}`: "value_type reading", `{"tank":"_x","ph":7}`: "path_reserved to.series",
		`{"tank":"#","ph":7}`: "path_wildcard to.series", `{"tank":"t1","ph":7}`: "", `{"tank":"t1","ph":true}`: "", `{"tank":"t1","ph":"acid"}`: "",
	} {
		out, got := p.Bridges()[0].Apply(Origin{Topic: "t", Record: &kafka.Record{Value: []byte(value)}}, time.Now()), ""
		if out.Failure != nil {
			got = out.Failure.Code + " " + out.Failure.Path
		}
		if got != want {
			t.Errorf("%s: %q, want %q", value, got, want)
		}
	}
}

func TestIDsAreOfTheRecordAndOfNoOther(t *testing.T) {
	p, err := Parse([]byte(entry() + "  - {name: b, topic: t, to: {room: plant1/ops}, type: x}\n"))
	must(t, err)
	now := time.Now()
	id := func(bridge, topic string, partition int, offset, at int64) string {
		r := &kafka.Record{Value: []byte("1"), Offset: offset, Time: at}
		return p.Find(bridge).Apply(Origin{topic, partition, r}, now).Message.ID
	}
	seen := map[string]bool{}
	for _, one := range []string{
		id("a", "t", 0, 1, 7), id("b", "t", 0, 1, 7), id("a", "u", 0, 1, 7), id("a", "t", 1, 1, 7), id("a", "t", 0, 2, 7), id("a", "t", 0, 1, 8),
		id("a", "t", 11, 1, 7), id("a", "t", 1, 11, 7),
	} {
		if seen[one] {
			t.Errorf("%s twice", one)
		}
		seen[one] = true
	}
	if again := id("a", "t", 0, 1, 7); !seen[again] {
		t.Errorf("a repetition has another id, %s", again)
	}
}

func TestValuesAreReadAsTheirFormatSays(t *testing.T) {
	now := time.Now()
	for _, c := range []struct{ format, value, want string }{
		{"json", `{"a":1}`, `{"a":1}`}, {"text", `{"a":1}`, `"{\"a\":1}"`}, {"bytes", "\xff\x00", `"/wA="`},
		{"json", "\xff", "json_syntax"}, {"text", "\xff", "json_utf8"}, {"json", strings.Repeat(" ", MaxValueBytes) + "1", "frame_too_large"},
	} {
		p, err := Parse([]byte(entry("format: " + c.format)))
		must(t, err)
		out := p.Bridges()[0].Apply(Origin{Topic: "t", Record: &kafka.Record{Value: []byte(c.value)}}, now)
		var got string
		if out.Failure != nil {
			got = out.Failure.Code
		} else {
			got = string(out.Message.Payload)
		}
		if got != c.want {
			t.Errorf("%s %.20q: %s, want %s", c.format, c.value, got, c.want)
		}
	}
}

func TestAFaultOfABridgeIsADeadLetter(t *testing.T) {
	out := (&Bridge{To: ToRoom}).applySafely(Origin{Record: &kafka.Record{Value: []byte("1")}}, time.Now())
	if out.Verdict != DeadLetter || out.Failure == nil || out.Failure.Code != "internal" {
		t.Errorf("%+v", out)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(entry("filter: value.x", "id: '{{key}}'"))
	f.Add(entry("to: {device: 'a/{{value}}'}", "type:", "command: x", "args: '{a: 1}'"))
	f.Add("bridges: [{name: a, topic: t, to: {series: a/b/c}, reading: value.x, time: value.t}]")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := Parse([]byte(text))
		if err != nil {
			return
		}
		for _, b := range p.Bridges() {
			b.Apply(Origin{b.Topic, 0, &kafka.Record{Value: []byte(`{"x":1,"t":2}`), Key: []byte("k")}}, time.Now())
		}
	})
}
