package device

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"weir/wire"
)

// maxRoomEvents is how many events of a room may wait for who reads; of more, the oldest are dropped, and counted.
const maxRoomEvents = 1024

// Member is a session of a user in a room.
type Member = wire.RoomMember

// Presence is what a member does: joined, left, away, active or kicked.
type Presence = wire.RoomPresence

// RoomEvent is a message, or what a member does. One of the fields is set.
type RoomEvent struct {
	Message  *Message
	Presence *Presence
	// Missed: messages may be missing here: more came while nobody read, or while the connection was lost, than are kept.
	Missed bool
}

// Room is a stay in a room. It survives lost connections: the room is joined again, and the messages that were missed are
// told, in order and once. One goroutine at a time may call Next; its other methods are safe for concurrent use.
type Room struct {
	live *Live
	name string
	last int
	news chan struct{}

	// Guarded by live.mu.
	phase   phase
	joined  chan struct{} // closed with the first answer, or the end
	begun   bool
	joiners int       // who waits in Join
	after   time.Time // not asked for before
	seen    int64     // version up to which all is told, or -1
	missed  bool      // what came before the next answer cannot be told
	members map[string]Member
	events  []RoomEvent
	err     error
	waiters []*waiter
}

// JoinOptions say how to join a room.
type JoinOptions struct {
	// Last is how many of the newest messages are told at first, at most those that the server keeps: 100.
	Last int
}

// Join enters a room and waits until the server has answered, or ctx ends. To join a room again is to get the same Room.
// The server's refusal is an *Error, and concerns this room only.
func (l *Live) Join(ctx context.Context, room string, o JoinOptions) (*Room, error) {
	if _, err := sound(joinRequest(room, o.Last), wire.TypeJoin); err != nil {
		return nil, fmt.Errorf("live: join: %w", err)
	}
	l.mu.Lock()
	if l.failure != nil {
		defer l.mu.Unlock()
		return nil, l.failure
	}
	r := l.rooms[room]
	if r == nil {
		r = &Room{
			live: l, name: room, last: o.Last, news: make(chan struct{}, 1), joined: make(chan struct{}), seen: -1,
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
func (r *Room) Send(ctx context.Context, kind string, payload any) (version int64, err error) {
	return r.live.Send(ctx, Outgoing{Target: Target{Room: r.name}, Type: kind, Payload: payload})
}

// Leave ends the stay: Next returns ErrClosed when everything was read.
func (r *Room) Leave() {
	l := r.live
	l.mu.Lock()
	defer l.mu.Unlock()
	if r.err != nil {
		return
	}
	if r.phase == open || r.phase == asked {
		l.leaving[r.name]++
		l.postLocked((&wire.RoomRequest{Target: Target{Room: r.name}}).Append(nil, wire.TypeLeave))
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
func (r *Room) WaitFor(ctx context.Context, version int64) error {
	w := &waiter{version: Version(version), done: make(chan error, 1)}
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
	r.tellLocked(RoomEvent{Message: m})
	r.reachedLocked(m.Version)
}

// reachedLocked notes that all up to a version is told. While the room is not joined there may be gaps.
func (r *Room) reachedLocked(version int64) {
	if r.phase != open || version <= r.seen {
		return
	}
	r.seen = version
	r.waiters = slices.DeleteFunc(r.waiters, func(w *waiter) bool {
		there := int64(w.version) <= r.seen
		if there {
			w.done <- nil
		}
		return there
	})
}
