package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"unicode/utf8"
)

// Kinds of records in weir.messages that are of rooms. Those of commands begin with "command".
const (
	RecordMessage = "message"
	RecordJoin    = "join"
	RecordLeave   = "leave"
	RecordGone    = "gone" // a node, with all its sessions in a room
	RecordAway    = "away"
	RecordActive  = "active"
	RecordKick    = "kick"
	RecordBan     = "ban"
	RecordAck     = "ack"
)

// messageLayout is that of RoomRecord.
const messageLayout = 1

// RoomRecord is a value of weir.messages that is of rooms. Its key is the path that it is about. Times are in µs.
type RoomRecord struct {
	Layout int    `json:"v"`
	Kind   string `json:"type"`
	// Room, User (a path) and Session say who does what where; User is also whose inbox an ack is about.
	Room    string `json:"room,omitempty"`
	User    string `json:"user,omitempty"`
	Session string `json:"session,omitempty"`
	// Node is the instance that the session of a join is at, or that is gone.
	Node string `json:"node,omitempty"`
	// ID and From are those of a kick or ban: who has asked for it is told what came of it.
	ID   string `json:"id,omitempty"`
	From Sender `json:"from,omitzero"`
	// Until is when a ban ends.
	Until   int64         `json:"until,omitempty"`
	Reason  string        `json:"reason,omitempty"`
	Version int64         `json:"version,omitempty"`
	Time    int64         `json:"time,omitempty"`
	Message *MessageValue `json:"message,omitempty"`
}

// MessageValue is a message in a RoomRecord.
type MessageValue struct {
	Target
	// Tenant confines a message to a session, or to all, to that tenant's; empty: any.
	Tenant      string          `json:"tenant,omitempty"`
	ID          string          `json:"id,omitempty"`
	Type        string          `json:"type"`
	Payload     json.RawMessage `json:"payload"`
	From        Sender          `json:"from,omitzero"`
	ExcludeSelf bool            `json:"exclude_self,omitempty"`
	Ephemeral   bool            `json:"ephemeral,omitempty"`
	// Expires is when the message is not wanted any more; 0: never.
	Expires int64 `json:"expires,omitempty"`
}

// ErrNotOfRooms is about records of others in weir.messages.
var ErrNotOfRooms = errors.New("not a record of rooms")

var errRoomRecord = errors.New("not a valid record of rooms")

// Append appends the record.
func (r *RoomRecord) Append(dst []byte) ([]byte, error) {
	r.Layout = messageLayout
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false) // or a payload would grow beyond its bound
	if err := e.Encode(r); err != nil {
		return dst, err
	}
	return append(dst, bytes.TrimRight(text.Bytes(), "\n")...), nil
}

// DecodeRoomRecord reads a value of weir.messages. Records of others are ErrNotOfRooms.
func DecodeRoomRecord(b []byte) (*RoomRecord, error) {
	if !utf8.Valid(b) {
		return nil, errRoomRecord
	}
	var r RoomRecord
	if err := json.Unmarshal(b, &r); err != nil {
		return nil, errRoomRecord
	}
	var valid bool
	switch r.Kind {
	case RecordMessage:
		valid = r.Message != nil && r.Message.valid()
	case RecordJoin:
		valid = r.Room != "" && r.User != "" && r.Session != "" && r.Node != ""
	case RecordGone:
		valid = r.Room != "" && r.Node != ""
	case RecordLeave, RecordAway, RecordActive:
		valid = r.Room != "" && r.Session != ""
	case RecordKick:
		valid = r.Room != "" && r.User != ""
	case RecordBan:
		valid = r.Room != "" && r.User != "" && r.Until > 0
	case RecordAck:
		valid = r.User != "" && r.Version > 0
	default:
		return nil, ErrNotOfRooms
	}
	if !valid || r.Layout != messageLayout || len(r.Reason) > MaxReason || len(r.ID) > MaxSubscriptionID {
		return nil, errRoomRecord
	}
	return &r, nil
}

func (m *MessageValue) valid() bool {
	targets := 0
	for _, set := range []bool{m.Room != "", m.User != "", m.Session != "", m.Broadcast} {
		if set {
			targets++
		}
	}
	if m.Payload == nil {
		m.Payload = []byte("null")
	}
	return targets == 1 && m.Type != "" && len(m.Type) <= MaxRoomType && len(m.ID) <= MaxSubscriptionID && len(m.Payload) <= MaxRoomPayload
}
