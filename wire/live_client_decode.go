package wire

import (
	"errors"
	"strconv"

	"weir/telemetry"
)

// DecodeClientMessage reads a message of a live client. It is strict: unknown types and fields are refused,
// so that a misspelt one does not go unnoticed. The error is an *Error; beside it the message holds what was
// understood, so that the subscription can be named.
func DecodeClientMessage(b []byte) (ClientMessage, error) {
	d := clientDecoder{}
	d.reset(b)
	if !d.read() {
		if d.code == CodeJSONSyntax || d.code == CodeJSONUTF8 || d.code == CodeJSONDepth {
			err := d.failure()
			err.Path = d.path
			return d.msg, err
		}
		return d.msg, NewError(d.code, d.path)
	}
	return d.msg, nil
}

// clientDecoder reads one ClientMessage. path is where it is.
type clientDecoder struct {
	scanner
	path string
	msg  ClientMessage
}

// refuse fails at path.
func (d *clientDecoder) refuse(code, path string) bool {
	d.path = path
	return d.fail(code, "")
}

// fields calls field for each field of the object at path that follows.
func (d *clientDecoder) fields(path string, field func(name, path string) bool) bool {
	d.path = path
	if d.peek() != '{' {
		return d.skip() && d.refuse(CodeFieldType, path)
	}
	if !d.open() {
		return false
	}
	for first := true; ; first = false {
		more, ok := d.more(first, '}')
		if !more {
			return ok
		}
		raw, ok := d.key()
		if !ok {
			return false
		}
		name := string(clip(raw))
		d.path = name
		if path != "" {
			d.path = path + "." + name
		}
		if !field(name, d.path) {
			return false
		}
		d.path = path
	}
}

func (d *clientDecoder) read() bool {
	var payload []byte
	typed := false
	ok := d.fields("", func(name, path string) (ok bool) {
		switch name {
		case "type":
			d.msg.Type, ok = d.text(path)
			typed = true
		case "payload":
			payload, ok = d.raw()
		default:
			return d.refuse(CodeFieldUnknown, path)
		}
		return ok
	})
	switch {
	case !ok || !d.end():
		return false
	case !typed:
		return d.refuse(CodeFieldMissing, "type")
	}
	return d.payload(payload)
}

// payload reads the payload, known to be well-formed, by the message's type.
func (d *clientDecoder) payload(payload []byte) bool {
	if d.msg.Type == TypePing {
		d.msg.Ping.Payload = payload
		if payload == nil {
			d.msg.Ping.Payload = []byte("null")
		}
		return true
	}
	var body func() bool
	switch d.msg.Type {
	case TypeSubscribe:
		body = d.subscribe
	case TypeUnsubscribe:
		body = d.unsubscribe
	case TypeAuth:
		body = d.auth
	default:
		return d.refuse(CodeMessageType, "type")
	}
	if payload == nil {
		return d.refuse(CodeFieldMissing, "payload")
	}
	d.reset(payload)
	return body()
}

func (d *clientDecoder) subscribe() bool {
	sub := &d.msg.Subscribe
	ok := d.fields("payload", func(name, path string) (ok bool) {
		switch name {
		case "id":
			sub.ID, ok = d.id(path)
		case "patterns":
			ok = d.patterns(path)
		case "max_hz":
			sub.MaxHz, ok = d.rate(path)
			sub.HasMaxHz = true
		default:
			return d.refuse(CodeFieldUnknown, path)
		}
		return ok
	})
	switch {
	case !ok:
		return false
	case sub.ID == "":
		return d.refuse(CodeFieldMissing, "payload.id")
	case len(sub.Patterns) == 0:
		return d.refuse(CodeFieldMissing, "payload.patterns")
	}
	return true
}

func (d *clientDecoder) unsubscribe() bool {
	ok := d.fields("payload", func(name, path string) (ok bool) {
		if name != "id" {
			return d.refuse(CodeFieldUnknown, path)
		}
		d.msg.Unsubscribe.ID, ok = d.id(path)
		return ok
	})
	if ok && d.msg.Unsubscribe.ID == "" {
		return d.refuse(CodeFieldMissing, "payload.id")
	}
	return ok
}

func (d *clientDecoder) auth() bool {
	auth := &d.msg.Auth
	ok := d.fields("payload", func(name, path string) (ok bool) {
		var token *string
		switch name {
		case "token":
			token = &auth.Token
		case "refresh_token":
			token = &auth.RefreshToken
		default:
			return d.refuse(CodeFieldUnknown, path)
		}
		if *token, ok = d.text(path); ok && len(*token) > MaxTokenBytes {
			return d.refuse(CodeFieldRange, path)
		}
		return ok
	})
	switch {
	case ok && auth.Token == "" && auth.RefreshToken == "":
		return d.refuse(CodeFieldMissing, "payload.token")
	case ok && auth.Token != "" && auth.RefreshToken != "":
		return d.refuse(CodeFieldRange, "payload.refresh_token")
	}
	return ok
}

// text reads a string.
func (d *clientDecoder) text(path string) (string, bool) {
	if d.peek() != '"' {
		return "", d.skip() && d.refuse(CodeFieldType, path)
	}
	raw, ok := d.str()
	return string(raw), ok
}

func (d *clientDecoder) id(path string) (string, bool) {
	id, ok := d.text(path)
	if ok && (id == "" || len(id) > MaxSubscriptionID) {
		return "", d.refuse(CodeFieldRange, path)
	}
	return id, ok
}

func (d *clientDecoder) patterns(path string) bool {
	if d.peek() != '[' {
		return d.skip() && d.refuse(CodeFieldType, path)
	}
	if !d.open() {
		return false
	}
	list := &d.msg.Subscribe.Patterns
	for *list = nil; ; {
		more, ok := d.more(len(*list) == 0, ']')
		if !more {
			return ok
		}
		if len(*list) == MaxPatterns {
			return d.refuse(CodePatternsTooMany, path)
		}
		p, ok := d.pattern(path + "[" + strconv.Itoa(len(*list)) + "]")
		if !ok {
			return false
		}
		*list = append(*list, p)
	}
}

func (d *clientDecoder) pattern(path string) (telemetry.Pattern, bool) {
	d.path = path
	text, ok := d.text(path)
	if !ok {
		return telemetry.Pattern{}, false
	}
	p, err := telemetry.ParsePattern(text)
	if err != nil {
		code := telemetry.CodePatternForm
		var e *telemetry.PathError
		if errors.As(err, &e) {
			code = e.Code
		}
		return p, d.refuse(code, path)
	}
	return p, true
}

func (d *clientDecoder) rate(path string) (float64, bool) {
	if c := d.peek(); c != '-' && !isDigit(c) {
		return 0, d.skip() && d.refuse(CodeFieldType, path)
	}
	n, ok := d.number()
	if !ok {
		return 0, false
	}
	hz, finite := d.float(n)
	if !finite || hz < 0 || hz > MaxRate {
		return 0, d.refuse(CodeFieldRange, path)
	}
	return hz, true
}
