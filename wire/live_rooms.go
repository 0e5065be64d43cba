package wire

import (
	"encoding/json"
	"strconv"
)

// Limits of messages to rooms and users.
const (
	// MaxRoomPayload bounds the payload of a message, in bytes.
	MaxRoomPayload = 32 << 10
	// MaxRoomType bounds the type of a message, MaxReason the reason of a kick or ban, in bytes.
	MaxRoomType = 64
	MaxReason   = 256
	// MaxLast bounds how many messages of the history a join may ask for.
	MaxLast = 1000
	// MaxTTLMS bounds for how long a message may be wanted, and MaxForMS how long a ban lasts: a day.
	MaxTTLMS = 24 * 3600 * 1000
	MaxForMS = 24 * 3600 * 1000
)

// Types of the live protocol's messages about rooms.
const (
	TypeJoin     = "join"
	TypeJoined   = "joined"
	TypeLeave    = "leave"
	TypeLeft     = "left"
	TypeRooms    = "rooms"
	TypeSend     = "send"
	TypeMessage  = "message"
	TypePresence = "presence"
	TypeKick     = "kick"
	TypeBan      = "ban"
	TypeAck      = "ack"
)

// Target is whom a message is for; one of the fields is set.
type Target struct {
	Room      string `json:"room,omitempty"`
	User      string `json:"user,omitempty"`
	Session   string `json:"session,omitempty"`
	Broadcast bool   `json:"broadcast,omitempty"`
}

// RoomRequest is what a client asks of rooms. Which fields count is the message's type's.
type RoomRequest struct {
	// Target is that of send; its Room that of join, leave, kick and ban, its User that of kick and ban.
	Target
	// Last is how many messages join wants; without HasLast as many as are kept.
	Last    int
	HasLast bool
	// After, of a join with HasAfter, is the version of the newest message that the client knows: what came after it is wanted.
	After    int64
	HasAfter bool
	// ID, Type, Payload (JSON), ExcludeSelf, Ephemeral and TTLMS are those of send; TTLMS 0: as long as it is kept. ID is also
	// that of kick and ban, which may have none.
	ID, Type               string
	Payload                []byte
	ExcludeSelf, Ephemeral bool
	TTLMS                  int64
	// ForMS and Reason are those of kick and ban.
	ForMS  int64
	Reason string
	// Version is that of ack.
	Version int64
}

// Sender is who has sent a message; Session is empty for a program's.
type Sender struct {
	User    string `json:"user"`
	Session string `json:"session,omitempty"`
}

// RoomMessage is a message as its readers are told it. Its target is one of Target's fields.
type RoomMessage struct {
	Target
	// Version grows in a room, and in what a user gets.
	Version int64 `json:"version"`
	// ID is the sender's choice, Type the application's.
	ID   string `json:"id"`
	Type string `json:"type"`
	From Sender `json:"from"`
	// Time is when it was stored, in microseconds.
	Time    int64           `json:"time"`
	Payload json.RawMessage `json:"payload"`
	// Ephemeral messages are neither kept nor told again.
	Ephemeral bool `json:"ephemeral,omitempty"`
}

// RoomMember is a session in a room.
type RoomMember struct {
	User, Session string
	Away          bool
	Since         int64 // µs
}

// roomMember is a RoomMember as JSON has it.
type roomMember struct {
	User    string `json:"user"`
	Session string `json:"session"`
	State   string `json:"state"`
	Since   int64  `json:"since"`
}

const (
	memberActive = "active"
	memberAway   = "away"
)

func (m *RoomMember) json() roomMember {
	state := memberActive
	if m.Away {
		state = memberAway
	}
	return roomMember{m.User, m.Session, state, m.Since}
}

// MarshalJSON writes the member as Joined has it.
func (m RoomMember) MarshalJSON() ([]byte, error) { return json.Marshal(m.json()) }

// UnmarshalJSON reads a member.
func (m *RoomMember) UnmarshalJSON(b []byte) error {
	var r roomMember
	err := json.Unmarshal(b, &r)
	*m = RoomMember{r.User, r.Session, r.State == memberAway, r.Since}
	return err
}

// Joined answers join with the room as it is. What follows continues from it.
type Joined struct {
	Room     string         `json:"room"`
	Members  []RoomMember   `json:"members"`
	Messages []*RoomMessage `json:"messages"`
	Version  int64          `json:"version"`
	// Gap says that between what the client said it knows and Messages some may be missing.
	Gap bool `json:"gap,omitempty"`
}

// RoomPresence tells of a session in a room. Event is joined, left, away, active or kicked.
type RoomPresence struct {
	Room    string `json:"room"`
	Event   string `json:"event"`
	User    string `json:"user"`
	Session string `json:"session"`
	Time    int64  `json:"time"` // µs
}

// RoomInfo is a room in a list.
type RoomInfo struct {
	Room string `json:"room"`
	// Members is how many there are, Version that of the newest message.
	Members int   `json:"members"`
	Version int64 `json:"version"`
}

// RoomList answers rooms.
type RoomList struct {
	Rooms []RoomInfo `json:"rooms"`
}

// Left answers leave.
type Left struct {
	Room string `json:"room"`
}

// MessageReceipt says that a message is stored, or that a kick or ban has come to pass.
type MessageReceipt struct {
	ID      string `json:"id"`
	Version int64  `json:"version"`
}

// Append appends the message.
func (m *MessageReceipt) Append(dst []byte) []byte {
	dst = stringField(head(dst, TypeReceipt), `{"id":`, m.ID)
	return append(intField(dst, `,"version":`, m.Version), "}}"...)
}

// Append appends the message.
func (m *Left) Append(dst []byte) []byte {
	return append(stringField(head(dst, TypeLeft), `{"room":`, m.Room), "}}"...)
}

// Append appends the message.
func (m *RoomPresence) Append(dst []byte) []byte {
	dst = stringField(head(dst, TypePresence), `{"room":`, m.Room)
	dst = stringField(dst, `,"event":`, m.Event)
	dst = stringField(dst, `,"user":`, m.User)
	dst = stringField(dst, `,"session":`, m.Session)
	return append(intField(dst, `,"time":`, m.Time), "}}"...)
}

// Append appends the message.
func (m *RoomList) Append(dst []byte) []byte {
	dst = append(head(dst, TypeRooms), `{"rooms":[`...)
	for i := range m.Rooms {
		dst = stringField(separate(dst, i), `{"room":`, m.Rooms[i].Room)
		dst = intField(dst, `,"members":`, int64(m.Rooms[i].Members))
		dst = append(intField(dst, `,"version":`, m.Rooms[i].Version), '}')
	}
	return append(dst, "]}}"...)
}

// Append appends the message.
func (m *Joined) Append(dst []byte) []byte {
	dst = stringField(head(dst, TypeJoined), `{"room":`, m.Room)
	dst = append(dst, `,"members":[`...)
	for i := range m.Members {
		member := &m.Members[i]
		dst = stringField(separate(dst, i), `{"user":`, member.User)
		dst = stringField(dst, `,"session":`, member.Session)
		dst = stringField(dst, `,"state":`, member.json().State)
		dst = append(intField(dst, `,"since":`, member.Since), '}')
	}
	dst = append(dst, `],"messages":[`...)
	for i, message := range m.Messages {
		dst = message.body(separate(dst, i))
	}
	dst = intField(append(dst, ']'), `,"version":`, m.Version)
	if m.Gap {
		dst = append(dst, `,"gap":true`...)
	}
	return append(dst, "}}"...)
}

// Append appends the message.
func (m *RoomMessage) Append(dst []byte) []byte {
	return append(m.body(head(dst, TypeMessage)), '}')
}

func (m *RoomMessage) body(dst []byte) []byte {
	switch {
	case m.Room != "":
		dst = stringField(dst, `{"room":`, m.Room)
	case m.User != "":
		dst = stringField(dst, `{"user":`, m.User)
	case m.Session != "":
		dst = stringField(dst, `{"session":`, m.Session)
	default:
		dst = strconv.AppendBool(append(dst, `{"broadcast":`...), m.Broadcast)
	}
	dst = intField(dst, `,"version":`, m.Version)
	dst = stringField(dst, `,"id":`, m.ID)
	dst = stringField(dst, `,"type":`, m.Type)
	dst = stringField(dst, `,"from":{"user":`, m.From.User)
	dst = append(stringField(dst, `,"session":`, m.From.Session), '}')
	dst = intField(dst, `,"time":`, m.Time)
	dst = append(append(dst, `,"payload":`...), m.Payload...)
	if m.Ephemeral {
		dst = append(dst, `,"ephemeral":true`...)
	}
	return append(dst, '}')
}

func separate(dst []byte, i int) []byte {
	if i > 0 {
		dst = append(dst, ',')
	}
	return dst
}
