package device

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"weir/wire"
)

// Types of messages about rooms.
const (
	typeJoin     = "join"
	typeJoined   = "joined"
	typeLeave    = "leave"
	typeLeft     = "left"
	typeRooms    = "rooms"
	typeSend     = "send"
	typeMessage  = "message"
	typePresence = "presence"
	typeKick     = "kick"
	typeBan      = "ban"
	typeAck      = "ack"
)

// Sender is who sent a message.
type Sender struct {
	User    string `json:"user"`
	Session string `json:"session"`
}

// Target is whom a message is for: one of the fields is set.
type Target struct {
	Room      string `json:"room,omitempty"`
	User      string `json:"user,omitempty"`
	Session   string `json:"session,omitempty"`
	Broadcast bool   `json:"broadcast,omitempty"`
}

// Message is one that somebody has sent.
type Message struct {
	Target
	// Version grows in a room, and in what a user gets.
	Version Version         `json:"version"`
	ID      string          `json:"id"`
	Type    string          `json:"type"`
	Payload json.RawMessage `json:"payload"`
	From    Sender          `json:"from"`
	// Time is when it was sent (µs).
	Time int64 `json:"time"`
	// Ephemeral messages are neither kept nor told again.
	Ephemeral bool `json:"ephemeral,omitempty"`
}

// Outgoing is a message to send.
type Outgoing struct {
	Target
	// Type is the application's, Payload anything that marshals to JSON.
	Type    string
	Payload any
	// ID tells a message from the same sent again; empty: one is drawn.
	ID          string
	ExcludeSelf bool
	Ephemeral   bool
	// TTL is how long the message is wanted; 0: as long as it is kept.
	TTL time.Duration
}

// sending is a message without receipt. Guarded by live.mu.
type sending struct {
	text    []byte
	sent    bool // on this connection
	version Version
	done    chan error
}

func (s *sending) end(version Version, err error) {
	s.version = version
	s.done <- err
}

// Send sends a message and waits until the server has stored it, over lost connections too: the server knows it by its ID.
// The version is what the message got. The server's refusal is an *Error.
func (l *Live) Send(ctx context.Context, m Outgoing) (Version, error) {
	if m.ID == "" {
		m.ID = rand.Text()
	}
	text, err := json.Marshal(envelope{typeSend, struct {
		ID string `json:"id"`
		Target
		Type        string `json:"type"`
		Payload     any    `json:"payload"`
		ExcludeSelf bool   `json:"exclude_self,omitempty"`
		Ephemeral   bool   `json:"ephemeral,omitempty"`
		TTL         int64  `json:"ttl_ms,omitempty"`
	}{m.ID, m.Target, m.Type, m.Payload, m.ExcludeSelf, m.Ephemeral, m.TTL.Milliseconds()}})
	if err != nil {
		return 0, fmt.Errorf("live: send: %w", err)
	}
	s := &sending{text: text, done: make(chan error, 1)}
	l.mu.Lock()
	if l.failure != nil {
		defer l.mu.Unlock()
		return 0, l.failure
	}
	if l.sends[m.ID] != nil {
		l.mu.Unlock()
		return 0, fmt.Errorf("live: send: a message with the id %q is on its way", m.ID)
	}
	l.sends[m.ID] = s
	l.signal()
	l.mu.Unlock()
	select {
	case err := <-s.done:
		return s.version, err
	case <-ctx.Done():
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.sends, m.ID)
		return 0, ctx.Err()
	}
}

// envelope is a message of the client.
type envelope struct {
	Type    string `json:"type"`
	Payload any    `json:"payload"`
}

// message is the envelope as text. What is in it marshals.
func (e envelope) message() []byte {
	text, err := json.Marshal(e)
	if err != nil {
		panic("device: " + err.Error())
	}
	return text
}

// Ack tells the server that all messages to the user up to a version are read; they do not come again.
func (l *Live) Ack(version Version) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.state == LiveOpen {
		l.postLocked(envelope{typeAck, map[string]any{"version": version}}.message())
	}
}

// Kick ends a user's stay in a room.
func (l *Live) Kick(room, user, reason string) error {
	return l.moderate(typeKick, room, user, 0, reason)
}

// Ban keeps a user out of a room for a time; 0: as long as the server does.
func (l *Live) Ban(room, user string, d time.Duration, reason string) error {
	return l.moderate(typeBan, room, user, d, reason)
}

func (l *Live) moderate(kind, room, user string, d time.Duration, reason string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failure != nil {
		return l.failure
	}
	if l.state != LiveOpen {
		return errLost
	}
	l.postLocked(envelope{kind, struct {
		Room   string `json:"room"`
		User   string `json:"user"`
		For    int64  `json:"for_ms,omitempty"`
		Reason string `json:"reason,omitempty"`
	}{room, user, d.Milliseconds(), reason}}.message())
	return nil
}

// RoomInfo is what the list of rooms says of one.
type RoomInfo struct {
	Room string `json:"room"`
	// Members is how many there are.
	Members int     `json:"members"`
	Version Version `json:"version"`
}

// Rooms lists the rooms that may be read.
func (l *Live) Rooms(ctx context.Context) ([]RoomInfo, error) {
	text, err := l.ask(ctx, &l.asks.rooms, envelope{typeRooms, struct{}{}}.message())
	if err != nil {
		return nil, fmt.Errorf("live: list rooms: %w", err)
	}
	var list struct{ Rooms []RoomInfo }
	err = json.Unmarshal(text, &list)
	return list.Rooms, err
}

// takeOwnLocked does what a message that wire has no type for asks for.
func (l *Live) takeOwnLocked(k *liveLink, kind string, payload json.RawMessage) {
	var err error
	switch kind {
	case wire.TypePing:
		l.postLocked((&wire.Pong{Payload: payload}).Append(nil))
	case wire.TypeStats:
		answer(&l.asks.stats, payload)
	case typeRooms:
		answer(&l.asks.rooms, payload)
	case wire.TypeReceipt:
		err = l.receiptLocked(payload)
	case wire.TypeError:
		err = l.errorLocked(payload)
	case typeJoined:
		err = l.joinedLocked(payload)
	case typePresence:
		err = l.presenceLocked(k, payload)
	}
	if err != nil {
		k.giveUpLocked(fmt.Errorf("a message that cannot be read: %q: %w", kind, err))
	}
}

func (l *Live) receiptLocked(payload json.RawMessage) error {
	var r struct {
		ID      string  `json:"id"`
		Version Version `json:"version"`
	}
	err := json.Unmarshal(payload, &r)
	if s := l.sends[r.ID]; s != nil && err == nil {
		delete(l.sends, r.ID)
		s.end(r.Version, nil)
	}
	return err
}

// errorLocked finds out what was refused.
func (l *Live) errorLocked(payload json.RawMessage) error {
	var e struct {
		wire.ErrorMsg
		Room string `json:"room"`
	}
	if err := json.Unmarshal(payload, &e); err != nil {
		return err
	}
	refusal := e.Error
	if s := l.sends[e.ID]; s != nil {
		delete(l.sends, e.ID)
		s.end(0, &refusal)
		return nil
	}
	if s := l.byID[e.ID]; s != nil {
		s.refusedLocked(&refusal)
		return nil
	}
	if r := l.joining; r != nil && e.ID == "" && (e.Room == r.name || e.Room == "") && e.Code != wire.CodeCreditInvalid {
		l.joining = nil
		delete(l.rooms, r.name)
		r.endLocked(&refusal)
		l.signal()
		return nil
	}
	l.count.errors.Add(1)
	l.log.Warn("the server reports an error", "code", e.Code, "message", e.Message, "path", e.Path)
	if e.Code == wire.CodeMessageType { // an older server: what was asked will not be answered
		lose(&l.asks.stats)
		lose(&l.asks.rooms)
	}
	return nil
}

// ErrKicked says that a moderator has ended the stay in a room.
var ErrKicked = errors.New("live: put out of the room")

// takeMessage passes a message on.
func (l *Live) takeMessage(k *liveLink, payload json.RawMessage) {
	var m Message
	err := json.Unmarshal(payload, &m)
	l.mu.Lock()
	if l.current != k {
		l.mu.Unlock()
		return
	}
	if err != nil {
		k.giveUpLocked(fmt.Errorf("a message that cannot be read: %q: %w", typeMessage, err))
		l.mu.Unlock()
		return
	}
	if m.Room != "" {
		if r := l.rooms[m.Room]; r != nil {
			r.messageLocked(&m)
		}
		l.mu.Unlock()
		return
	}
	again := l.repeatedLocked(&m)
	l.mu.Unlock()
	if l.o.OnMessage != nil && !again {
		l.o.OnMessage(m)
	}
}

// repeatedLocked reports whether a message was told before: what is not acknowledged comes again with each connection.
func (l *Live) repeatedLocked(m *Message) bool {
	seen := &l.seenUser
	switch {
	case m.Broadcast:
		seen = &l.seenAll
	case m.User == "":
		return false
	}
	if m.Version <= *seen {
		return true
	}
	*seen = m.Version
	return false
}
