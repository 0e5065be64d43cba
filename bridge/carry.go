package bridge

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"weir/bridge/formula"
	"weir/commands"
	"weir/kafka"
	"weir/rooms"
	"weir/telemetry"
	"weir/wire"
)

// Verdict is what has become of a record.
type Verdict uint8

// The verdicts.
const (
	Sent       Verdict = iota // it has become a message, a command or a reading
	Filtered                  // the filter is false, or the record has no value
	Expired                   // it is older than max_age, or the message or command it would be has outlived its time
	DeadLetter                // an expression failed, or what came out is not to be taken
	verdicts
)

var verdictNames = [verdicts]string{"sent", "filtered", "expired", "dead_letter"}

func (v Verdict) String() string { return verdictNames[v] }

// Origin is where a record comes from.
type Origin struct {
	Topic     string
	Partition int
	Record    *kafka.Record
}

// Outcome is what a bridge makes of a record.
type Outcome struct {
	Verdict Verdict
	// One of these is set when it is sent. A reading is JSON as devices send it: labels and times are not checked yet.
	Message *wire.MessageValue
	Command *commands.Command
	Reading []byte
	// key and value are the record of a message or a command.
	key   string
	value []byte
	// Failure is why it is a dead letter; its Path names the bridge's setting.
	Failure *wire.Error
}

// MaxValueBytes bounds the value of a record that expressions look at.
const MaxValueBytes = 1 << 20

// Apply makes of a record what the bridge says. It depends on the record and on now alone, and on now only for what is too old.
func (b *Bridge) Apply(o Origin, now time.Time) (out Outcome) {
	if o.Record.Value == nil {
		return Outcome{Verdict: Filtered}
	}
	if b.MaxAge > 0 && o.Record.Time > 0 && now.Sub(time.UnixMilli(o.Record.Time)) > b.MaxAge {
		return Outcome{Verdict: Expired}
	}
	scope, refusal := b.scope(o)
	if refusal != nil {
		return failed(refusal)
	}
	if b.filter != nil {
		pass, err := b.filter.Truth(scope)
		if err != nil {
			return failed(expressionFailed("filter", err))
		}
		if !pass {
			return Outcome{Verdict: Filtered}
		}
	}
	switch b.To {
	case ToDevice:
		out, refusal = b.commandOf(o, scope, now)
	case ToSeries:
		out.Reading, refusal = b.readingOf(o, scope)
	default:
		out, refusal = b.messageOf(o, scope, now)
	}
	if refusal != nil {
		return failed(refusal)
	}
	return out
}

// applySafely is Apply for records that are foreign: none may end the process.
func (b *Bridge) applySafely(o Origin, now time.Time) (out Outcome) {
	defer func() {
		if fault := recover(); fault != nil {
			out = failed(&wire.Error{Code: wire.CodeInternal, Message: fmt.Sprintf("the bridge failed on the record: %v", fault)})
		}
	}()
	return b.Apply(o, now)
}

func failed(refusal *wire.Error) Outcome { return Outcome{Verdict: DeadLetter, Failure: refusal} }

func expressionFailed(setting string, err error) *wire.Error {
	return &wire.Error{Code: wire.CodeExpressionFailed, Path: setting, Message: err.Error()}
}

// scope are the values of the variables.
func (b *Bridge) scope(o Origin) ([]any, *wire.Error) {
	r := o.Record
	value, refusal := b.value(r.Value)
	if refusal != nil {
		return nil, refusal
	}
	var key any
	if r.Key != nil {
		key = strings.ToValidUTF8(string(r.Key), "\uFFFD")
	}
	headers := make(map[string]any, len(r.Headers))
	for _, h := range r.Headers {
		if _, twice := headers[h.Key]; !twice {
			headers[h.Key] = strings.ToValidUTF8(string(h.Value), "\uFFFD")
		}
	}
	return []any{value, key, headers, o.Topic, float64(o.Partition), float64(r.Offset), float64(r.Time)}, nil
}

func (b *Bridge) value(raw []byte) (any, *wire.Error) {
	if len(raw) > MaxValueBytes {
		return nil, &wire.Error{Code: wire.CodeFrameTooLarge, Path: "value", Message: fmt.Sprintf("the value is larger than %d bytes", MaxValueBytes)}
	}
	switch b.Format {
	case FormatBytes:
		return base64.StdEncoding.EncodeToString(raw), nil
	case FormatText:
		if !utf8.Valid(raw) {
			return nil, wire.NewError(wire.CodeJSONUTF8, "value")
		}
		return string(raw), nil
	}
	v, err := formula.ParseJSON(raw)
	if err != nil {
		return nil, &wire.Error{Code: wire.CodeJSONSyntax, Path: "value", Message: "the value " + err.Error()}
	}
	return v, nil
}

// fill fills in a template.
func fill(t *formula.Template, setting string, scope []any) (string, *wire.Error) {
	s, err := t.Eval(scope)
	if err != nil {
		return "", expressionFailed(setting, err)
	}
	return s, nil
}

// asJSON computes an expression as JSON; null without one.
func asJSON(p *formula.Program, setting string, scope []any) ([]byte, *wire.Error) {
	if p == nil {
		return []byte("null"), nil
	}
	v, err := p.Eval(scope)
	if err == nil {
		var encoded []byte
		if encoded, err = formula.Encode(v); err == nil {
			return encoded, nil
		}
	}
	return nil, expressionFailed(setting, err)
}

// identify is the id of what a record becomes: as the bridge says, or made of the record's place, so that a repetition
// has the same. The time tells the records of a topic that was made anew from those before.
func (b *Bridge) identify(o Origin, scope []any) (string, *wire.Error) {
	if b.id != nil {
		return fill(b.id, "id", scope)
	}
	sum := sha256.Sum256([]byte(b.Name + "\x00" + o.Topic + "\x00" + strconv.FormatInt(o.Record.Time, 10)))
	return fmt.Sprintf("%d-%d-%s", o.Partition, o.Record.Offset, hex.EncodeToString(sum[:6])), nil
}

// sender is who a message is from, and who gives a command.
func (b *Bridge) sender() string { return "_bridges/" + b.Name }

func (b *Bridge) messageOf(o Origin, scope []any, now time.Time) (out Outcome, refusal *wire.Error) {
	m := &wire.MessageValue{From: wire.Sender{User: b.sender()}, Tenant: b.tenant, Ephemeral: b.ephemeral}
	switch b.To {
	case ToRoom:
		m.Room, refusal = fill(b.target, "to.room", scope)
	case ToUser:
		m.User, refusal = fill(b.target, "to.user", scope)
	default:
		m.Broadcast = true
	}
	if refusal != nil {
		return out, refusal
	}
	if m.Room+m.User == "" && !m.Broadcast {
		return out, &wire.Error{Code: wire.CodeFieldMissing, Path: "to." + b.To, Message: "the path is empty"}
	}
	if m.Type, refusal = fill(b.kind, "type", scope); refusal != nil {
		return out, refusal
	}
	if m.ID, refusal = b.identify(o, scope); refusal != nil {
		return out, refusal
	}
	if m.ID == "" {
		return out, wire.NewError(wire.CodeFieldMissing, "id")
	}
	if b.ttl > 0 {
		until := madeAt(o, now).Add(b.ttl)
		if !now.Before(until) {
			return Outcome{Verdict: Expired}, nil // nobody would be told
		}
		m.Expires = until.UnixMicro()
	}
	if m.Payload, refusal = asJSON(b.payload, "payload", scope); refusal != nil {
		return out, refusal
	}
	out.Message = m
	out.key, out.value, refusal = rooms.Record(m)
	return out, named(refusal)
}

// named puts the setting in the place of what a refusal names.
func named(refusal *wire.Error) *wire.Error {
	if refusal == nil {
		return nil
	}
	path := refusal.Path
	switch {
	case strings.HasPrefix(path, "target"):
		path = "to" + strings.TrimPrefix(path, "target")
	case path == "name":
		path = "command"
	case path == "device" || path == "metric":
		path = "to.series"
	case path == "value":
		path = "reading"
	case path == "ts":
		path = "time"
	}
	return &wire.Error{Code: refusal.Code, Path: path, Message: refusal.Message}
}

// madeAt is when a record was made, by its time, which may be wrong: not after now.
func madeAt(o Origin, now time.Time) time.Time {
	if at := time.UnixMilli(o.Record.Time); o.Record.Time > 0 && at.Before(now) {
		return at
	}
	return now
}

// defaultTTL is that of commands.
const defaultTTL = time.Minute

func (b *Bridge) commandOf(o Origin, scope []any, now time.Time) (out Outcome, refusal *wire.Error) {
	c := &commands.Command{By: b.sender(), Created: madeAt(o, now)}
	if c.Device, refusal = fill(b.target, "to.device", scope); refusal != nil {
		return out, refusal
	}
	if err := telemetry.CheckDevice(c.Device); err != nil {
		return out, pathRefused("to.device", err)
	}
	if c.Name, refusal = fill(b.kind, "command", scope); refusal != nil {
		return out, refusal
	}
	if c.ID, refusal = b.identify(o, scope); refusal != nil {
		return out, refusal
	}
	if b.payload != nil {
		if c.Args, refusal = asJSON(b.payload, "args", scope); refusal != nil {
			return out, refusal
		}
	}
	ttl := b.ttl
	if ttl == 0 {
		ttl = defaultTTL
	}
	if c.Expires = c.Created.Add(ttl); !now.Before(c.Expires) {
		return Outcome{Verdict: Expired}, nil
	}
	out.Command, out.key = c, c.Device
	out.value, refusal = commands.Record(c)
	return out, named(refusal)
}

func pathRefused(setting string, err error) *wire.Error {
	refusal := &wire.Error{Code: telemetry.CodePathChar, Path: setting, Message: err.Error()}
	var e *telemetry.PathError
	if errors.As(err, &e) {
		refusal.Code = e.Code
	}
	return refusal
}

// readingOf is a frame as devices send it.
func (b *Bridge) readingOf(o Origin, scope []any) ([]byte, *wire.Error) {
	series, refusal := fill(b.target, "to.series", scope)
	if refusal != nil {
		return nil, refusal
	}
	device, metric, ok := telemetry.SplitSeries(series)
	if !ok {
		return nil, &wire.Error{Code: wire.CodeFieldValue, Path: "to.series", Message: "a series is a device and a metric"}
	}
	if err := cmp.Or(telemetry.CheckDevice(device), telemetry.CheckMetric(metric)); err != nil {
		return nil, pathRefused("to.series", err)
	}
	value, err := b.payload.Eval(scope)
	if err != nil {
		return nil, expressionFailed("reading", err)
	}
	if _, err := formula.Text(value); err != nil {
		return nil, &wire.Error{Code: wire.CodeValueType, Path: "reading", Message: "a reading is a number, a condition or a label: " + err.Error()}
	}
	frame := map[string]any{"device": device, "metric": metric, "value": value}
	if b.time != nil {
		if frame["ts"], err = b.time.Eval(scope); err != nil {
			return nil, expressionFailed("time", err)
		}
	} else if o.Record.Time > 0 {
		frame["ts"] = float64(o.Record.Time)
	}
	text, err := formula.Encode(frame)
	if err != nil {
		return nil, expressionFailed("reading", err)
	}
	return text, nil
}
