package wire

import (
	"math"
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
		err := NewError(d.code, d.path)
		if d.reason != "" {
			err.Message = d.reason
		}
		return d.msg, err
	}
	return d.msg, nil
}

// clientDecoder reads one ClientMessage. path is where it is, reason what is wrong there, if there is more to say than
// what the table of codes has.
type clientDecoder struct {
	scanner
	path, reason string
	msg          ClientMessage
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
	if d.msg.Type == TypePing || d.msg.Type == TypePong {
		if payload == nil {
			payload = []byte("null")
		}
		if d.msg.Type == TypePing {
			d.msg.Ping.Payload = payload
		} else {
			d.msg.Pong.Payload = payload
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
	case TypeCredit:
		body = d.credit
	case TypeStats:
		body = d.stats
	case TypeJoin, TypeLeave, TypeRooms, TypeSend, TypeKick, TypeBan, TypeAck:
		body = d.room
	default:
		return d.refuse(CodeMessageType, "type")
	}
	if payload == nil {
		if d.msg.Type == TypeStats || d.msg.Type == TypeRooms {
			return true
		}
		return d.refuse(CodeFieldMissing, "payload")
	}
	d.reset(payload)
	return body()
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

func (d *clientDecoder) credit() bool {
	some := false
	ok := d.fields("payload", func(name, path string) (ok bool) {
		if name != "frames" {
			return d.refuse(CodeFieldUnknown, path)
		}
		some = true
		d.msg.Credit.Frames, ok = d.whole(path, 0, math.MaxInt64)
		return ok
	})
	if ok && !some {
		return d.refuse(CodeFieldMissing, "payload.frames")
	}
	return ok
}

// stats has no fields.
func (d *clientDecoder) stats() bool {
	return d.fields("payload", func(_, path string) bool { return d.refuse(CodeFieldUnknown, path) })
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

// whole reads an integer from least to most.
func (d *clientDecoder) whole(path string, least, most int64) (int64, bool) {
	if c := d.peek(); c != '-' && !isDigit(c) {
		return 0, d.skip() && d.refuse(CodeFieldType, path)
	}
	n, ok := d.number()
	if !ok {
		return 0, false
	}
	v, ok := n.integer()
	if !ok || v < least || v > most {
		return 0, d.refuse(CodeFieldRange, path)
	}
	return v, true
}
