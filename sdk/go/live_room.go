package device

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// maxRoomEvents is how many events of a room may wait for who reads; of more, the oldest are dropped, and counted.
const maxRoomEvents = 1024

// rejoinLast is how many messages are asked for after a connection was lost, to find those that were missed.
const rejoinLast = 100

// Member is a session of a user in a room.
type Member struct {
	User    string `json:"user"`
	Session string `json:"session"`
	// State is active or away.
	State string `json:"state"`
	// Since is in microseconds.
	Since int64 `json:"since"`
}

// Presence is what a member does: joined, left, away, active or kicked.
type Presence struct {
	Room    string `json:"room"`
	Event   string `json:"event"`
	User    string `json:"user"`
	Session string `json:"session"`
	Time    int64  `json:"time"`
}

// RoomEvent is a message, or what a member does. One of the fields is set.
type RoomEvent struct {
	Message  *Message
	Presence *Presence
	// Missed: messages are missing here: more came while nobody read, or while the connection was lost, than were kept.
	Missed bool
}

// Room is a stay in a room. It survives lost connections: the room is joined again, and the messages that were missed are
// told. One goroutine at a time may call Next.
type Room struct {
	live *Live
	name string
	last int
	news chan struct{}

	// Guarded by live.mu.
	phase   phase
	joined  chan struct{} // closed with the first answer, or the end
	begun   bool
	joiners int     // who waits in Join
	seen    Version // of the newest message told
	members map[string]Member
	events  []RoomEvent
	err     error
	waiters []*waiter
}

// JoinOptions say how to join a room.
type JoinOptions struct {
	// Last is how many of the newest messages are told at first.
	Last int
}

// Join enters a room and waits until the server has answered, or ctx ends. To join a room again is to get the same Room.
// The server's refusal is an *Error.
func (l *Live) Join(ctx context.Context, room string, o JoinOptions) (*Room, error) {
	l.mu.Lock()
	if l.failure != nil {
		defer l.mu.Unlock()
		return nil, l.failure
	}
	r := l.rooms[room]
	if r == nil {
		r = &Room{
			live: l, name: room, last: max(0, o.Last), news: make(chan struct{}, 1), joined: make(chan struct{}), seen: -1,
			members: make(map[string]Member),
		}
		l.rooms[room] = r
		l.signal()
	}
	r.joiners++
	l.mu.Unlock()
	var err error
	select {
	case <-r.joined:
	case <-ctx.Done():
		err = ctx.Err()
	}
	l.mu.Lock()
	r.joiners--
	unwanted := err != nil && r.joiners == 0 && !r.begun
	if err == nil {
		err = r.err
	}
	l.mu.Unlock()
	if unwanted {
		r.Leave()
	}
	if err != nil {
		return nil, err
	}
	return r, nil
}

// Name is the room's path.
func (r *Room) Name() string { return r.name }

// Members are those present, by user and session.
func (r *Room) Members() []Member {
	r.live.mu.Lock()
	defer r.live.mu.Unlock()
	return slices.SortedFunc(maps.Values(r.members), func(a, b Member) int {
		return cmp.Or(cmp.Compare(a.User, b.User), cmp.Compare(a.Session, b.Session))
	})
}

// Send sends a message to the room and waits for its receipt: see Live.Send.
func (r *Room) Send(ctx context.Context, kind string, payload any) (Version, error) {
	return r.live.Send(ctx, Outgoing{Target: Target{Room: r.name}, Type: kind, Payload: payload})
}

// Leave ends the stay.
func (r *Room) Leave() {
	l := r.live
	l.mu.Lock()
	defer l.mu.Unlock()
	if r.err != nil {
		return
	}
	if r.phase == open || r.phase == asked {
		l.postLocked(envelope{typeLeave, map[string]any{"room": r.name}}.message())
	}
	if l.joining == r {
		l.joining = nil
	}
	delete(l.rooms, r.name)
	r.endLocked(ErrClosed)
}

// Next waits for the next event, or until ctx ends. When the stay is over and everything was read it returns why.
func (r *Room) Next(ctx context.Context) (RoomEvent, error) {
	for {
		r.live.mu.Lock()
		if len(r.events) > 0 {
			e := r.events[0]
			r.events = r.events[1:]
			r.live.mu.Unlock()
			return e, nil
		}
		err := r.err
		r.live.mu.Unlock()
		if err != nil {
			return RoomEvent{}, err
		}
		select {
		case <-r.news:
		case <-ctx.Done():
			return RoomEvent{}, ctx.Err()
		}
	}
}

// WaitFor waits until a message of that version, or a newer one, is what Next returns or has returned, or ctx ends. So a
// sender sees its own message: Send returns its version.
func (r *Room) WaitFor(ctx context.Context, version Version) error {
	w := &waiter{version: version, done: make(chan error, 1)}
	l := r.live
	l.mu.Lock()
	if r.seen >= version || r.err != nil {
		defer l.mu.Unlock()
		if r.seen >= version {
			return nil
		}
		return r.err
	}
	r.waiters = append(r.waiters, w)
	l.mu.Unlock()
	select {
	case err := <-w.done:
		return err
	case <-ctx.Done():
		l.mu.Lock()
		defer l.mu.Unlock()
		r.waiters = slices.DeleteFunc(r.waiters, func(other *waiter) bool { return other == w })
		return ctx.Err()
	}
}

func (r *Room) groundLocked() { r.phase = idle }

func (r *Room) endLocked(why error) {
	if r.err != nil {
		return
	}
	r.phase, r.err = ended, why
	if !r.begun {
		close(r.joined)
	}
	for _, w := range r.waiters {
		w.done <- why
	}
	r.waiters = nil
	r.notify()
}

func (r *Room) notify() {
	select {
	case r.news <- struct{}{}:
	default:
	}
}

func (r *Room) tellLocked(e RoomEvent) {
	if len(r.events) >= maxRoomEvents {
		r.events = append(r.events[:0:0], r.events[maxRoomEvents/4:]...)
		r.events[0] = RoomEvent{Missed: true}
	}
	r.events = append(r.events, e)
	r.notify()
}

// messageLocked takes a message unless it was told before.
func (r *Room) messageLocked(m *Message) {
	if r.phase != open || m.Version <= r.seen {
		return
	}
	r.seen = m.Version
	r.tellLocked(RoomEvent{Message: m})
	r.waiters = slices.DeleteFunc(r.waiters, func(w *waiter) bool {
		there := w.version <= r.seen
		if there {
			w.done <- nil
		}
		return there
	})
}

// roomsDueLocked are the messages about rooms that are to be sent now. Rooms are joined one by one, as an error does not say
// which room it is about.
func (l *Live) roomsDueLocked() (messages [][]byte) {
	for _, name := range slices.Sorted(maps.Keys(l.rooms)) {
		r := l.rooms[name]
		if l.joining != nil {
			break
		}
		if r.phase != idle {
			continue
		}
		l.joining, r.phase = r, asked
		last := r.last
		if r.begun {
			last = max(last, rejoinLast)
		}
		messages = append(messages, envelope{typeJoin, struct {
			Room string `json:"room"`
			Last int    `json:"last"`
		}{name, last}}.message())
	}
	for _, s := range l.sends {
		if !s.sent {
			s.sent = true
			messages = append(messages, s.text)
		}
	}
	return messages
}

func (l *Live) joinedLocked(payload json.RawMessage) error {
	var m struct {
		Room     string    `json:"room"`
		Members  []Member  `json:"members"`
		Messages []Message `json:"messages"`
		Version  Version   `json:"version"`
	}
	if err := json.Unmarshal(payload, &m); err != nil {
		return err
	}
	r := l.rooms[m.Room]
	if r == nil {
		return nil
	}
	if l.joining == r {
		l.joining = nil
		l.signal()
	}
	r.phase = open
	r.members = make(map[string]Member, len(m.Members))
	for _, member := range m.Members {
		r.members[member.Session] = member
	}
	asked := max(r.last, rejoinLast)
	if r.begun && len(m.Messages) >= asked && m.Messages[0].Version > r.seen {
		r.tellLocked(RoomEvent{Missed: true})
	}
	for i := range m.Messages {
		m.Messages[i].Room = m.Room
		r.messageLocked(&m.Messages[i])
	}
	if !r.begun {
		r.begun, r.seen = true, max(r.seen, m.Version)
		close(r.joined)
	}
	r.notify()
	return nil
}

func (l *Live) presenceLocked(k *liveLink, payload json.RawMessage) error {
	p := new(Presence)
	if err := json.Unmarshal(payload, p); err != nil {
		return fmt.Errorf("presence: %w", err)
	}
	r := l.rooms[p.Room]
	if r == nil {
		return nil
	}
	member, known := r.members[p.Session]
	switch p.Event {
	case "joined":
		r.members[p.Session] = Member{User: p.User, Session: p.Session, State: "active", Since: p.Time}
	case "away", "active":
		if known {
			member.State = p.Event
			r.members[p.Session] = member
		}
	case "left":
		delete(r.members, p.Session)
	case "kicked":
		mine := r.members[k.session]
		maps.DeleteFunc(r.members, func(session string, m Member) bool {
			return session == p.Session || p.Session == "" && m.User == p.User
		})
		if p.Session == k.session && k.session != "" || p.Session == "" && mine.User == p.User && mine.User != "" {
			delete(l.rooms, p.Room)
			r.tellLocked(RoomEvent{Presence: p})
			r.endLocked(ErrKicked)
			return nil
		}
	}
	r.tellLocked(RoomEvent{Presence: p})
	return nil
}
