package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// ServerMessage is one of *Welcome, *Subscribed, *SeriesMsg, *Updates, *AlertMsg, *Resync, *ErrorMsg,
// *Draining, *Pong, *Authenticated, *TokenExpiring and *Other.
type ServerMessage interface{ Append(dst []byte) []byte }

// Other is a message of a type this package does not know.
type Other struct {
	Type    string
	Payload []byte
}

// Append appends the message.
func (m *Other) Append(dst []byte) []byte {
	dst = appendString(append(dst, `{"type":`...), m.Type)
	dst = append(dst, `,"payload":`...)
	dst = append(dst, m.Payload...)
	return append(dst, '}')
}

// LiveDecoder reads the messages of one live connection, for clients written in Go. It keeps the views'
// dictionaries, so that the updates it returns carry their series' names. Unknown fields, and columns behind
// the known ones, are skipped. It is not safe for concurrent use.
type LiveDecoder struct {
	scan  scanner
	views map[int]map[int]string
}

// updatesStart is how the server begins the one kind of message that is frequent.
var updatesStart = head(nil, TypeUpdates)

// Decode reads one message. The result does not refer to frame.
func (d *LiveDecoder) Decode(frame []byte) (ServerMessage, error) {
	s := &d.scan
	s.reset(frame)
	if bytes.HasPrefix(frame, updatesStart) {
		s.pos, s.depth = len(updatesStart), 1
		m, err := d.updates()
		if err == nil && (s.peek() != '}' || !s.close() || !s.end()) {
			err = errors.New("data after the payload")
		}
		return m, wrapLive(TypeUpdates, err)
	}
	kind, payload, err := s.message()
	if err != nil {
		return nil, wrapLive("", err)
	}
	m, err := d.payload(kind, payload)
	return m, wrapLive(kind, err)
}

func wrapLive(kind string, err error) error {
	if err != nil {
		return fmt.Errorf("decode live message %q: %w", kind, err)
	}
	return nil
}

// message reads the frame around a payload.
func (s *scanner) message() (kind string, payload []byte, err error) {
	ok := s.object(func(name []byte) (ok bool) {
		switch string(name) {
		case "type":
			var raw []byte
			if raw, ok = s.raw(); ok {
				err = json.Unmarshal(raw, &kind)
			}
		case "payload":
			payload, ok = s.raw()
		default:
			ok = s.skip()
		}
		return ok && err == nil
	})
	switch {
	case err != nil:
	case !ok || !s.end():
		err = s.failure()
	case payload == nil:
		err = errors.New("no payload")
	}
	return kind, payload, err
}

func (d *LiveDecoder) payload(kind string, payload []byte) (ServerMessage, error) {
	d.scan.reset(payload)
	switch kind {
	case TypeUpdates:
		return d.updates()
	case TypeSubscribed:
		return d.subscribed()
	case TypeSeries:
		m := new(SeriesMsg)
		err := json.Unmarshal(payload, m)
		d.learn(m.View, m.Added)
		return m, err
	case TypeAlert:
		a, err := DecodeAlertJSON(payload)
		return &AlertMsg{a}, err
	case TypeWelcome:
		return unmarshal(payload, new(Welcome))
	case TypeResync:
		return unmarshal(payload, new(Resync))
	case TypeError:
		return unmarshal(payload, new(ErrorMsg))
	case TypeDraining:
		return unmarshal(payload, new(Draining))
	case TypeAuthenticated:
		return unmarshal(payload, new(Authenticated))
	case TypeTokenExpiring:
		return unmarshal(payload, new(TokenExpiring))
	case TypePong:
		return &Pong{Payload: slices.Clone(payload)}, nil
	}
	return &Other{Type: kind, Payload: slices.Clone(payload)}, nil
}

func unmarshal(payload []byte, m ServerMessage) (ServerMessage, error) {
	return m, json.Unmarshal(payload, m)
}

func (d *LiveDecoder) learn(view int, entries []Entry) {
	if d.views == nil {
		d.views = make(map[int]map[int]string)
	}
	if d.views[view] == nil {
		d.views[view] = make(map[int]string, len(entries))
	}
	for _, e := range entries {
		d.views[view][e.I] = e.Series
	}
}

// updates reads the payload of an Updates message.
func (d *LiveDecoder) updates() (*Updates, error) {
	m := new(Updates)
	s := &d.scan
	ok := s.object(func(name []byte) (ok bool) {
		switch string(name) {
		case "view":
			var n int64
			n, ok = s.integer()
			m.View = int(n)
		case "push_ts":
			m.PushTime, ok = s.integer()
		case "cursor":
			var raw []byte
			raw, ok = s.raw()
			ok = ok && (json.Unmarshal(raw, &m.Cursor) == nil || s.fail(CodeFieldType, "a cursor that is no string"))
		case "rows":
			m.Rows, ok = s.rows()
		default:
			ok = s.skip()
		}
		return ok
	})
	if !ok {
		return nil, s.failure()
	}
	return m, nameRows(m.Rows, d.views[m.View])
}

// subscribed reads the payload of a Subscribed message.
func (d *LiveDecoder) subscribed() (*Subscribed, error) {
	m := new(Subscribed)
	st, err := d.scan.state(func(name string, raw []byte) error {
		switch name {
		case "id":
			return json.Unmarshal(raw, &m.ID)
		case "view":
			return json.Unmarshal(raw, &m.View)
		case "max_hz":
			return json.Unmarshal(raw, &m.MaxHz)
		case "resumed":
			return json.Unmarshal(raw, &m.Resumed)
		case "cursor":
			return json.Unmarshal(raw, &m.Cursor)
		case "push_ts":
			return json.Unmarshal(raw, &m.PushTime)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	delete(d.views, m.View)
	d.learn(m.View, st.dictionary)
	m.Dictionary, m.Rows, m.Alerts = st.dictionary, st.rows, st.alerts
	return m, nil
}

// DecodeSnapshot reads the body of GET /v1/snapshot.
func DecodeSnapshot(b []byte) (*Snapshot, error) {
	m := new(Snapshot)
	var s scanner
	s.reset(b)
	st, err := s.state(func(name string, raw []byte) error {
		switch name {
		case "epoch":
			return json.Unmarshal(raw, &m.Epoch)
		case "cursor":
			return json.Unmarshal(raw, &m.Cursor)
		case "server_time":
			return json.Unmarshal(raw, &m.ServerTime)
		case "resumed":
			return json.Unmarshal(raw, &m.Resumed)
		}
		return nil
	})
	if err == nil && !s.end() {
		err = s.failure()
	}
	if err != nil {
		return nil, fmt.Errorf("decode snapshot: %w", err)
	}
	m.Dictionary, m.Rows, m.Alerts = st.dictionary, st.rows, st.alerts
	return m, nil
}
