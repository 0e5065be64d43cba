package ingest

import (
	"bytes"
	"context"
	"encoding/json"

	"weir/auth"
	"weir/telemetry"
	"weir/wire"
)

const (
	// maxTypedBytes is the longest message with a type.
	maxTypedBytes = 64 << 10
	// A client may send so many of them.
	typedPerSecond = 20
	typedAtOnce    = 100
)

// Types of a device's messages; those of credentials and pings are wire's.
const (
	typeHello         = "hello"
	typeCommandResult = "command_result"
)

// Hello takes what a device says about itself: metadata, and what is to be said of it when it goes. The device is
// one that p may speak for; the payload, a JSON value or nil, is not kept by the caller. A refusal is shown to the device.
type Hello interface {
	Hello(ctx context.Context, p *auth.Principal, device string, payload json.RawMessage) *wire.Error
}

// CommandResults takes what became of a command, by the same rules.
type CommandResults interface {
	CommandResult(ctx context.Context, p *auth.Principal, device string, payload json.RawMessage) *wire.Error
}

// typed is a device's message that is not readings.
type typed struct {
	Type    string          `json:"type"`
	Payload json.RawMessage `json:"payload"`
}

// isTyped reports whether a message has a type: it is a JSON object whose first field is that.
func isTyped(data []byte) bool {
	const space = " \t\r\n"
	data, ok := bytes.CutPrefix(bytes.TrimLeft(data, space), []byte("{"))
	if !ok {
		return false
	}
	if data, ok = bytes.CutPrefix(bytes.TrimLeft(data, space), []byte(`"type"`)); !ok {
		return false
	}
	return bytes.HasPrefix(bytes.TrimLeft(data, space), []byte(":"))
}

// aside runs what needs a deep stack: the connection's own would keep the size for as long as it lasts.
func (c *conn) aside(do func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer c.recovered()
		do()
	}()
	<-done
}

// converse deals with a message that has a type. One that cannot be read does not become a frame of readings: it might
// hold credentials, and would be kept.
func (c *conn) converse(data []byte) {
	if !c.typedRate.allow(1, nowMicros()) {
		c.breaks(manyMessages)
		return
	}
	m, refusal := readTyped(data)
	if c.who.Load() == nil && (refusal != nil || m.Type != wire.TypeAuth) {
		c.expel(wire.NewError(wire.CodeUnauthenticated, ""))
		return
	}
	if refusal == nil {
		refusal = c.hear(m)
	}
	if refusal != nil && c.ctx.Err() == nil {
		byCode(c.srv.metrics.refusedMessages, refusal.Code).Inc()
		c.say((&wire.ErrorMsg{Error: *refusal}).Append(nil))
	}
}

func readTyped(data []byte) (m typed, refusal *wire.Error) {
	if len(data) > maxTypedBytes {
		return m, &wire.Error{Code: wire.CodeFrameTooLarge, Message: "a message with a type is larger than 64 KiB"}
	}
	if json.Unmarshal(data, &m) != nil {
		return m, wire.NewError(wire.CodeJSONSyntax, "")
	}
	return m, nil
}

// hear acts on a message by its type. The refusal is to be told.
func (c *conn) hear(m typed) *wire.Error {
	switch m.Type {
	case wire.TypeAuth:
		return c.hearAuth(m.Payload)
	case wire.TypePing:
		return c.hearPing(m.Payload)
	case typeHello:
		if c.srv.hello == nil {
			return wire.NewError(wire.CodeNotFound, "type")
		}
		return c.hearFor(m.Payload, c.greet)
	case typeCommandResult:
		if c.srv.results == nil {
			return wire.NewError(wire.CodeNotFound, "type")
		}
		return c.hearFor(m.Payload, c.srv.results.CommandResult)
	}
	return wire.NewError(wire.CodeMessageType, "type")
}

func (c *conn) hearAuth(payload json.RawMessage) *wire.Error {
	var credentials wire.Auth
	if json.Unmarshal(payload, &credentials) != nil || (credentials.Token == "") == (credentials.RefreshToken == "") {
		return wire.NewError(wire.CodeFieldMissing, "payload.token")
	}
	if refusal := c.authenticate(&credentials); refusal != nil {
		c.expel(refusal)
	}
	return nil
}

func (c *conn) hearPing(payload json.RawMessage) *wire.Error {
	if len(payload) == 0 {
		payload = json.RawMessage("null")
	}
	c.say((&wire.Pong{Payload: payload}).Append(nil))
	return nil
}

// hearFor hands on a message about one device: the one that the payload names, or else the connection, or the only one
// that its credentials are for.
func (c *conn) hearFor(payload json.RawMessage, take func(context.Context, *auth.Principal, string, json.RawMessage) *wire.Error) *wire.Error {
	var about struct {
		Device string `json:"device"`
	}
	if len(payload) > 0 && json.Unmarshal(payload, &about) != nil {
		return wire.NewError(wire.CodeFieldType, "payload")
	}
	device := about.Device
	if device == "" {
		device = c.device
	}
	if device == "" {
		device = onlyDevice(c.who.Load())
	}
	if device == "" {
		return wire.NewError(wire.CodeDeviceMissing, "payload.device")
	}
	if err := telemetry.CheckDevice(device); err != nil {
		refusal := pathError(err)
		refusal.Path = "payload.device"
		return refusal
	}
	p := c.who.Load()
	if !p.MaySpeakFor(device) {
		return wire.NewError(wire.CodeForbidden, "payload.device")
	}
	c.attach(device)
	return take(c.ctx, p, device, payload)
}
