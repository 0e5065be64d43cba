package device

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"weir/wire"
)

// Sender is who sent a message.
type Sender = wire.Sender

// Target is whom a message is for: one of the fields is set.
type Target = wire.Target

// Message is one that somebody has sent.
type Message = wire.RoomMessage

// Outgoing is a message to send.
type Outgoing struct {
	Target
	// Type is the application's, Payload anything that marshals to JSON, of 32 KiB at most.
	Type    string
	Payload any
	// ID tells a message from the same sent again; empty: one is drawn.
	ID string
	// ExcludeSelf does not deliver the message to this connection.
	ExcludeSelf bool
	// Ephemeral messages are neither kept nor told again.
	Ephemeral bool
	// TTL is how long the message is wanted; 0: as long as it is kept.
	TTL time.Duration
}

// text is the message as the server wants it. What it would refuse by the looks is refused here, as an *Error.
func (m *Outgoing) text() ([]byte, error) {
	payload, err := json.Marshal(m.Payload)
	if err != nil {
		return nil, err
	}
	r := wire.RoomRequest{
		Target: m.Target, ID: m.ID, Type: m.Type, Payload: payload, ExcludeSelf: m.ExcludeSelf, Ephemeral: m.Ephemeral,
		TTLMS: m.TTL.Milliseconds(),
	}
	if m.TTL > 0 {
		r.TTLMS = max(1, r.TTLMS)
	}
	return sound(&r, wire.TypeSend)
}

// sound is a request as text, if the server can read it: a connection would not survive what is too long.
func sound(r *wire.RoomRequest, kind string) ([]byte, error) {
	text := r.Append(nil, kind)
	_, err := wire.DecodeClientMessage(text)
	return text, err
}

// sending is a message, a kick or a ban without receipt. Guarded by live.mu.
type sending struct {
	number  uint64
	room    string // that it is about; empty: none
	text    []byte
	sent    bool      // on this connection
	after   time.Time // not sent before
	version int64
	done    chan error
}

func (s *sending) end(version int64, err error) {
	s.version = version
	s.done <- err
}

// Send sends a message and waits until the server has stored it, over lost connections too: the server knows it by its ID.
// The version is what the message got, in what its readers are told. The server's refusal is an *Error; if it asks to send
// again later, that is done until ctx ends.
func (l *Live) Send(ctx context.Context, m Outgoing) (version int64, err error) {
	if m.ID == "" {
		m.ID = rand.Text()
	}
	text, err := m.text()
	if err != nil {
		return 0, fmt.Errorf("live: send: %w", err)
	}
	return l.post(ctx, m.ID, m.Room, text)
}

// post has a message with an id sent, and waits for its receipt.
func (l *Live) post(ctx context.Context, id, room string, text []byte) (version int64, err error) {
	s := &sending{room: room, text: text, done: make(chan error, 1)}
	l.mu.Lock()
	if l.failure != nil {
		defer l.mu.Unlock()
		return 0, l.failure
	}
	if l.sends[id] != nil {
		l.mu.Unlock()
		return 0, fmt.Errorf("live: send: a message with the id %q is on its way", id)
	}
	l.number++
	s.number = l.number
	l.sends[id] = s
	l.signal()
	l.mu.Unlock()
	select {
	case err := <-s.done:
		return s.version, err
	case <-ctx.Done():
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.sends[id] == s {
			delete(l.sends, id)
		}
		return 0, ctx.Err()
	}
}

// sendsDueLocked are the messages that are to be sent now, the oldest first, and how long until others are.
func (l *Live) sendsDueLocked(now time.Time) (messages [][]byte, again time.Duration) {
	var due []*sending
	for _, s := range l.sends {
		if wait := s.after.Sub(now); !s.sent && wait > 0 {
			again = sooner(again, wait)
		} else if !s.sent {
			due = append(due, s)
		}
	}
	slices.SortFunc(due, func(a, b *sending) int { return cmp.Compare(a.number, b.number) })
	for _, s := range due {
		if wait := l.pace.wait(now); wait > 0 {
			return messages, sooner(again, wait)
		}
		l.pace.sent(1)
		s.sent = true
		messages = append(messages, s.text)
	}
	return messages, again
}

func (l *Live) receiptLocked(m *wire.MessageReceipt) {
	s := l.sends[m.ID]
	if s == nil {
		return
	}
	delete(l.sends, m.ID)
	if r := l.rooms[s.room]; r != nil {
		// All that was said in the room before this has been told, and this, too, unless the sender did not want it.
		r.reachedLocked(m.Version)
	}
	s.end(m.Version, nil)
}

// Ack tells the server that the user has read a message and all to the user before it: they do not come again. Other messages
// need none. It does not wait: without a connection the next one is told.
func (l *Live) Ack(m *Message) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if m.User != "" {
		l.acked = max(l.acked, m.Version)
		l.signal()
	}
}

// takeMessage passes a message on.
func (l *Live) takeMessage(k *liveLink, m *Message) {
	l.mu.Lock()
	if l.current != k {
		l.mu.Unlock()
		return
	}
	if m.Room != "" {
		if r := l.rooms[m.Room]; r != nil {
			r.messageLocked(m)
		}
		l.mu.Unlock()
		return
	}
	// What the user has not acknowledged comes again with each connection; what was for a session or for all does not.
	again := m.User != "" && m.Version <= l.inbox
	if m.User != "" {
		l.inbox = max(l.inbox, m.Version)
	}
	l.mu.Unlock()
	if l.o.OnMessage != nil && !again {
		l.o.OnMessage(*m)
	}
}
