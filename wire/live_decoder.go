package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
)

// ServerMessage is one of *Welcome, *Subscribed, *SeriesMsg, *Updates, *AlertMsg, *Resync, *ErrorMsg,
// *Draining, *Ping, *Pong, *Stats, *Authenticated, *TokenExpiring, *Joined, *Left, *RoomList, *RoomMessage,
// *RoomPresence, *MessageReceipt and *Other.
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
// dictionaries, so that the updates it returns carry their series' names. Unknown fields and columns are skipped. It is
// not safe for concurrent use.
type LiveDecoder struct {
	scan  scanner
	views map[int]*liveView
}

// liveView is what a connection has been told of a view: its columns, and the names of its series.
type liveView struct {
	layout *layout
	names  map[int]string
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
		d.learn(m.View, m.Changed)
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
	case TypeStats:
		return unmarshal(payload, new(Stats))
	case TypePing:
		return &Ping{Payload: slices.Clone(payload)}, nil
	case TypePong:
		return &Pong{Payload: slices.Clone(payload)}, nil
	}
	if m := ofRooms(kind); m != nil {
		return unmarshal(payload, m)
	}
	return &Other{Type: kind, Payload: slices.Clone(payload)}, nil
}

// ofRooms is an empty message about rooms, or nil.
func ofRooms(kind string) ServerMessage {
	switch kind {
	case TypeJoined:
		return new(Joined)
	case TypeLeft:
		return new(Left)
	case TypeRooms:
		return new(RoomList)
	case TypeMessage:
		return new(RoomMessage)
	case TypePresence:
		return new(RoomPresence)
	case TypeReceipt:
		return new(MessageReceipt)
	}
	return nil
}

func unmarshal(payload []byte, m ServerMessage) (ServerMessage, error) {
	return m, json.Unmarshal(payload, m)
}

// Name is the series that a view's dictionary has under an index, empty if it has none.
func (d *LiveDecoder) Name(view, index int) string {
	if v := d.views[view]; v != nil {
		return v.names[index]
	}
	return ""
}

func (d *LiveDecoder) learn(view int, entries []Entry) {
	v := d.views[view]
	if v == nil {
		v = d.begin(view, wholeRows, len(entries))
	}
	for _, e := range entries {
		v.names[e.I] = e.Series
	}
}

func (d *LiveDecoder) begin(view int, l *layout, series int) *liveView {
	if d.views == nil {
		d.views = make(map[int]*liveView)
	}
	v := &liveView{layout: l, names: make(map[int]string, series)}
	d.views[view] = v
	return v
}

// updates reads the payload of an Updates message.
func (d *LiveDecoder) updates() (*Updates, error) {
	m := new(Updates)
	s := &d.scan
	var view *liveView
	var later []byte // rows that came before their view
	ok := s.object(func(name []byte) (ok bool) {
		switch string(name) {
		case "view":
			var n int64
			n, ok = s.integer()
			m.View, view = int(n), d.views[int(n)]
		case "push_ts":
			m.PushTime, ok = s.integer()
		case "cursor":
			var raw []byte
			raw, ok = s.raw()
			ok = ok && (json.Unmarshal(raw, &m.Cursor) == nil || s.fail(CodeFieldType, "a cursor that is no string"))
		case "rows":
			if view == nil {
				later, ok = s.raw()
				return ok
			}
			m.Rows, ok = s.rows(view.layout)
		case "left":
			m.Left, ok = s.indexes()
		default:
			ok = s.skip()
		}
		return ok
	})
	switch {
	case !ok:
		return nil, s.failure()
	case view == nil:
		return m, fmt.Errorf("view %d is not known", m.View)
	case later != nil:
		var err error
		if m.Rows, err = rowsOf(later, view.layout); err != nil {
			return nil, err
		}
	}
	return m, nameRows(m.Rows, view.names)
}

// indexes reads an array of whole numbers.
func (s *scanner) indexes() (list []uint32, ok bool) {
	if s.peek() != '[' {
		return nil, s.fail(CodeFieldType, "no array")
	}
	if !s.open() {
		return nil, false
	}
	for {
		more, ok := s.more(len(list) == 0, ']')
		if !more {
			return list, ok
		}
		n, ok := s.integer()
		if !ok {
			return nil, false
		}
		if n < 0 || n > math.MaxUint32 {
			return nil, s.fail(CodeFieldRange, "no index")
		}
		list = append(list, uint32(n))
	}
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
		case "alerts_resumed":
			return json.Unmarshal(raw, &m.AlertsResumed)
		case "left":
			return json.Unmarshal(raw, &m.Left)
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
	d.begin(m.View, st.layout, len(st.dictionary))
	d.learn(m.View, st.dictionary)
	m.Columns = st.layout.has.canonical()
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
