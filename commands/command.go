package commands

import (
	"bytes"
	"encoding/json"
	"time"

	"weir/telemetry"
	"weir/wire"
)

// Limits of what operators and devices write.
const (
	// MaxArgsBytes bounds a command's arguments, MaxResultBytes what a device answers.
	MaxArgsBytes   = 16 << 10
	MaxResultBytes = 16 << 10
	// MaxNameBytes and MaxIDBytes bound a command's name and id, maxErrorBytes a device's sentence.
	MaxNameBytes  = 64
	MaxIDBytes    = 64
	maxErrorBytes = 1024
)

// Command is what a device is asked to do. It does not change.
type Command struct {
	// ID is unique among the commands of the device.
	ID     string
	Device string
	// Name is the device's own vocabulary, Args any JSON or nil.
	Name string
	Args json.RawMessage
	// By is the subject of who asked.
	By               string
	Created, Expires time.Time
}

// Result is a device's answer.
type Result struct {
	OK bool `json:"ok"`
	// Result is any JSON or nil, Error a sentence when OK is false.
	Result json.RawMessage `json:"result,omitempty"`
	Error  string          `json:"error,omitempty"`
}

// Status is how far a command has come.
type Status string

// The statuses. A command that was delivered may yet expire.
const (
	Pending   Status = "pending"
	Delivered Status = "delivered"
	Done      Status = "done"
	Failed    Status = "failed"
	Expired   Status = "expired"
)

// Finished reports whether the status is final.
func (s Status) Finished() bool { return s == Done || s == Failed || s == Expired }

// payload is what a device gets.
type payload struct {
	ID      string          `json:"id"`
	Name    string          `json:"name"`
	Args    json.RawMessage `json:"args,omitempty"`
	Expires string          `json:"expires_at"`
}

// AppendPayload appends the command as a device gets it: {"id","name","args","expires_at"}.
func (c *Command) AppendPayload(dst []byte) []byte {
	text, err := json.Marshal(payload{c.ID, c.Name, c.Args, stamp(c.Expires)})
	if err != nil {
		return dst // Args has been through the decoder, so it is JSON
	}
	return append(dst, text...)
}

// AppendMessage appends the command as a message of /v1/ingest, {"type":"command","payload":{…}}.
func (c *Command) AppendMessage(dst []byte) []byte {
	dst = append(dst, `{"type":"command","payload":`...)
	dst = c.AppendPayload(dst)
	return append(dst, '}')
}

// DecodeResult reads what a device answers: {"ok","result"?,"error"?}, and the id of the command if it is there.
// The error is an *wire.Error.
func DecodeResult(text []byte) (id string, r Result, err error) {
	var p struct {
		ID     string          `json:"id"`
		OK     *bool           `json:"ok"`
		Result json.RawMessage `json:"result"`
		Error  string          `json:"error"`
	}
	switch e := json.Unmarshal(text, &p); {
	case e != nil:
		return "", r, &wire.Error{Code: wire.CodeFieldType, Path: "payload", Message: `a result is {"id","ok","result"?,"error"?}`}
	case p.OK == nil:
		return "", r, wire.NewError(wire.CodeFieldMissing, "payload.ok")
	case len(p.Result) > MaxResultBytes:
		return "", r, &wire.Error{Code: wire.CodeFieldRange, Path: "payload.result", Message: "a result has at most 16 KiB"}
	}
	if len(p.Error) > maxErrorBytes {
		p.Error = p.Error[:maxErrorBytes]
	}
	return p.ID, Result{OK: *p.OK, Result: compact(p.Result), Error: p.Error}, nil
}

// checkID accepts what can be part of an MQTT topic.
func checkID(id string) *wire.Error {
	if len(id) > MaxIDBytes || telemetry.CheckMetric(id) != nil {
		return &wire.Error{Code: wire.CodeFieldRange, Path: "id", Message: "an id has 1 to 64 bytes and no /, +, #, control character or leading _"}
	}
	return nil
}

func checkName(name string) *wire.Error {
	switch {
	case name == "":
		return wire.NewError(wire.CodeFieldMissing, "name")
	case len(name) > MaxNameBytes || telemetry.CheckMetric(name) != nil:
		return &wire.Error{Code: wire.CodeFieldRange, Path: "name", Message: "a name has 1 to 64 bytes and no /, +, #, control character or leading _"}
	}
	return nil
}

const argsTooLarge = "a command's arguments have at most 16 KiB"

func checkArgs(args json.RawMessage) *wire.Error {
	if len(args) > MaxArgsBytes {
		return &wire.Error{Code: wire.CodeFieldRange, Path: "args", Message: argsTooLarge}
	}
	return nil
}

// compact drops the white space of JSON, and null.
func compact(text json.RawMessage) json.RawMessage {
	if len(text) == 0 || string(text) == "null" {
		return nil
	}
	var out bytes.Buffer
	if json.Compact(&out, text) != nil {
		return nil
	}
	return out.Bytes()
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z07:00") }
