package bridge

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"weir/bridge/formula"
	"weir/internal/joined"
	"weir/internal/yamlfile"
	"weir/rooms"
	"weir/telemetry"
	"weir/wire"
)

// Where a bridge begins in a topic of which it has read nothing yet.
const (
	FromStart = "start"
	FromEnd   = "end"
)

// What the values of a topic are.
const (
	FormatJSON  = "json"
	FormatText  = "text"  // UTF-8
	FormatBytes = "bytes" // expressions see it in base64
)

// Kinds of targets.
const (
	ToRoom      = "room"
	ToUser      = "user"
	ToBroadcast = "broadcast"
	ToDevice    = "device"
	ToSeries    = "series"
)

// Bridge connects a topic with a target. It is immutable and safe for concurrent use.
type Bridge struct {
	Name, Topic  string
	From, Format string
	// MaxAge is the age from which on records are passed over; 0: none is too old.
	MaxAge time.Duration
	// Rate is how many records a second a process carries; 0: as many as it can.
	Rate int
	// To is the kind of the target.
	To string

	filter *formula.Program  // nil: every record
	target *formula.Template // nil of broadcasts
	tenant string            // of broadcasts
	kind   *formula.Template // the type of a message, the name of a command
	id     *formula.Template // nil: made of the record's place
	// payload is that of a message, or the arguments of a command (nil: none), or the value of a reading.
	payload   *formula.Program
	time      *formula.Program // of a reading; nil: the record's
	ttl       time.Duration
	ephemeral bool
	line      int // of the name
}

// ownTopics begins the names of Weir's topics, kafkasOwn those of Kafka's.
const (
	ownTopics = "weir."
	kafkasOwn = "__"
)

// Bounds of settings.
const (
	maxName  = 32
	maxTopic = 249 // Kafka's
	maxRate  = 100_000
	maxAge   = 365 * 24 * time.Hour
	maxTTL   = wire.MaxTTLMS * time.Millisecond
)

// variables are what expressions may name, in the order of the values of scope.
var variables = []string{"value", "key", "headers", "topic", "partition", "offset", "time"}

// reader reads one entry.
type reader struct {
	*faults
	at    string
	line  int
	given map[string]setting
	b     *Bridge
}

var entryKeys = []string{
	"name", "topic", "from", "format", "max_age", "rate", "filter", "to", "type", "payload", "id", "ttl", "ephemeral",
	"command", "args", "reading", "time",
}

func readBridge(n *yaml.Node, at string, f *faults) *Bridge {
	r := &reader{faults: f, at: at, line: n.Line, b: new(Bridge)}
	if r.given = f.section(n, at, entryKeys...); r.given == nil {
		return nil
	}
	b := r.b
	r.identity()
	b.From = f.oneOf(r.given["from"], FromStart, FromEnd)
	b.Format = f.oneOf(r.given["format"], FormatJSON, FormatText, FormatBytes)
	b.MaxAge = f.duration(r.given["max_age"], maxAge)
	b.Rate = r.rate()
	b.filter = r.program("filter", "")
	r.to()
	switch b.To {
	case ToRoom, ToUser, ToBroadcast:
		r.message()
	case ToDevice:
		r.command()
	case ToSeries:
		r.reading()
	}
	return b
}

func (r *reader) identity() {
	b, name, topic := r.b, r.given["name"], r.given["topic"]
	b.line = max(name.line, r.line)
	switch b.Name = r.text(name); {
	case b.Name == "":
		r.at1("name", "is missing; the bridge's place in the topic is kept under it")
	case len(b.Name) > maxName || strings.Trim(b.Name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != "":
		r.at1("name", "has to be 1 to %d letters, digits, dashes or underscores", maxName)
	}
	switch b.Topic = r.text(topic); {
	case b.Topic == "":
		r.at1("topic", "is missing")
	case strings.HasPrefix(b.Topic, ownTopics):
		r.at1("topic", "%.60s is Weir's own: what a bridge writes would come back to it, and its records are not JSON", b.Topic)
	case strings.HasPrefix(b.Topic, kafkasOwn):
		r.at1("topic", "%.60s is Kafka's own", b.Topic)
	case len(b.Topic) > maxTopic || strings.Trim(b.Topic, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") != "" || b.Topic == "." || b.Topic == "..":
		r.at1("topic", "a topic's name has 1 to %d letters, digits, dots, dashes or underscores", maxTopic)
	}
}

// at1 records a fault of a setting of the entry.
func (r *reader) at1(key, format string, args ...any) {
	line := r.line
	if s, ok := r.given[key]; ok {
		line = s.line
	}
	r.faults.at(yamlfile.Join(r.at, key), line, format, args...)
}

func (r *reader) rate() int {
	text := r.text(r.given["rate"])
	if text == "" {
		return 0
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > maxRate {
		r.at1("rate", "must be a whole number of records a second between 1 and %d, is %.40q", maxRate, text)
	}
	return n
}

// program compiles an expression; without one that of otherwise, and nil without that.
func (r *reader) program(key, otherwise string) *formula.Program {
	source := otherwise
	s, ok := r.given[key]
	switch {
	case ok && s.value.Kind != yaml.ScalarNode:
		r.at1(key, "is an expression: put it in quotes, as in '{text: value.title}'")
		return nil
	case ok:
		source = s.value.Value
	case source == "":
		return nil
	}
	p, err := formula.Compile(source, variables)
	r.wrong(s, err)
	return p
}

// wrong records all faults of an expression or a text with some.
func (r *reader) wrong(s setting, err error) {
	for _, one := range joined.All(err) {
		r.faults.at(s.path, s.line, "%v", one)
	}
}

// template compiles a text with {{ }}; nil without one, and of one that cannot be read.
func (r *reader) template(s setting) *formula.Template {
	if s.value == nil {
		return nil
	}
	t, err := formula.CompileTemplate(r.text(s), variables)
	r.wrong(s, err)
	return t
}

// kind is the text that there has to be: the type of a message, the name of a command.
func (r *reader) kind(key, missing string) *formula.Template {
	s, ok := r.given[key]
	if !ok {
		r.at1(key, "%s", missing)
	}
	return r.template(s)
}

// to reads the target: one of several.
func (r *reader) to() {
	to, ok := r.given["to"]
	if !ok {
		r.at1("to", "is missing; there are: to: {room: …}, {user: …}, {broadcast: true}, {device: …}, {series: …}")
		return
	}
	kinds := []string{ToRoom, ToUser, ToBroadcast, ToDevice, ToSeries}
	given := r.section(to.value, to.path, append(kinds, "tenant")...)
	if given == nil {
		return
	}
	for _, kind := range kinds {
		s, ok := given[kind]
		if !ok {
			continue
		}
		if r.b.To != "" {
			r.faults.at(s.path, s.line, "there is %s already; another target is another bridge", r.b.To)
			continue
		}
		r.b.To = kind
	}
	if r.b.To == "" {
		r.at1("to", "names no target; there are: %s", strings.Join(kinds, ", "))
		return
	}
	r.target(given)
}

func (r *reader) target(given map[string]setting) {
	s, tenant := given[r.b.To], given["tenant"]
	if r.b.To == ToBroadcast {
		if !r.truth(s) {
			r.faults.at(s.path, s.line, "must be true")
		}
		if r.b.tenant = r.text(tenant); r.b.tenant != "" && (strings.Contains(r.b.tenant, "/") || telemetry.CheckDevice(r.b.tenant) != nil) {
			r.faults.at(tenant.path, tenant.line, "must be the first segment of paths")
		}
		return
	}
	if tenant.value != nil {
		r.faults.at(tenant.path, tenant.line, "is for broadcasts; elsewhere the path tells")
	}
	t := r.template(s)
	if t == nil {
		return
	}
	r.b.target = t
	if text, literal := t.Literal(); literal {
		if err := checkTarget(r.b.To, text); err != nil {
			r.faults.at(s.path, s.line, "%v", err)
		}
	}
}

// checkTarget checks a target that is known before there is a record.
func checkTarget(to, text string) error {
	if strings.HasPrefix(text, `"`) {
		return errors.New(`is a text with expressions in {{ }}; it needs no quotes of its own`)
	}
	switch to {
	case ToSeries:
		device, metric, ok := telemetry.SplitSeries(text)
		if !ok {
			return errors.New("a series is a device and a metric, as in plant1/press7/temperature")
		}
		if err := telemetry.CheckDevice(device); err != nil {
			return err
		}
		return telemetry.CheckMetric(metric)
	case ToDevice:
		return telemetry.CheckDevice(text)
	}
	m := &wire.MessageValue{Type: "x", Payload: []byte("null")}
	if m.Room = text; to == ToUser {
		m.Room, m.User = "", text
	}
	if text == "" {
		return fmt.Errorf("a %s is a path", to)
	}
	if _, _, refusal := rooms.Record(m); refusal != nil {
		return errors.New(refusal.Message)
	}
	return nil
}

// only refuses settings of other targets.
func (r *reader) only(keys ...string) {
	for _, key := range []string{"type", "payload", "id", "ttl", "ephemeral", "command", "args", "reading", "time"} {
		_, given := r.given[key]
		for _, k := range keys {
			given = given && k != key
		}
		if given {
			r.at1(key, "does not go with to.%s; what does: %s", r.b.To, strings.Join(keys, ", "))
		}
	}
}

func (r *reader) message() {
	b := r.b
	r.only("type", "payload", "id", "ttl", "ephemeral")
	b.kind = r.kind("type", "is missing; clients tell messages apart by it")
	b.payload = r.program("payload", "value")
	b.id = r.template(r.given["id"])
	b.ttl = r.duration(r.given["ttl"], maxTTL)
	b.ephemeral = r.truth(r.given["ephemeral"])
}

func (r *reader) command() {
	b := r.b
	r.only("command", "args", "id", "ttl")
	b.kind = r.kind("command", "is missing: the name of what the device is to do")
	b.payload = r.program("args", "")
	b.id = r.template(r.given["id"])
	b.ttl = r.duration(r.given["ttl"], maxTTL)
}

func (r *reader) reading() {
	r.only("reading", "time")
	r.b.payload = r.program("reading", "value")
	r.b.time = r.program("time", "")
}
