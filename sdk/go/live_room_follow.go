package device

import (
	"errors"
	"maps"
	"slices"
	"time"

	"weir/wire"
)

// crowdedRoomWait is how long it is waited before a room is joined again that could not be for the moment, and sendWait before
// a message is sent again.
const (
	crowdedRoomWait = 5 * time.Second
	sendWait        = time.Second
)

// errEpoch ends what waits for a version that will never come.
var errEpoch = errors.New("live: the server has begun anew: versions of before mean nothing any more")

// forgetLocked: versions are others from now on.
func (r *Room) forgetLocked() {
	if !r.begun {
		return
	}
	r.seen, r.missed = -1, true
	for _, w := range r.waiters {
		w.done <- errEpoch
	}
	r.waiters = nil
}

func joinRequest(room string, last int) *wire.RoomRequest {
	return &wire.RoomRequest{Target: Target{Room: room}, Last: last, HasLast: true}
}

// roomsDueLocked are the messages about rooms that are to be sent now, and how long until others are.
func (l *Live) roomsDueLocked(now time.Time) (messages [][]byte, again time.Duration) {
	for _, name := range slices.Sorted(maps.Keys(l.rooms)) {
		r := l.rooms[name]
		if r.phase != idle {
			continue
		}
		if wait := r.after.Sub(now); wait > 0 {
			again = sooner(again, wait)
			continue
		}
		if wait := l.pace.wait(now); wait > 0 {
			return messages, sooner(again, wait)
		}
		l.pace.sent(1)
		r.phase = asked
		request := joinRequest(name, r.last)
		if r.begun && r.seen >= 0 {
			*request = wire.RoomRequest{Target: request.Target, After: r.seen, HasAfter: true}
		}
		messages = append(messages, request.Append(nil, wire.TypeJoin))
	}
	return messages, again
}

func (l *Live) joinedLocked(m *wire.Joined) {
	r := l.rooms[m.Room]
	if r == nil || r.phase != asked || l.leaving[m.Room] > 0 {
		return
	}
	r.phase = open
	r.members = make(map[string]Member, len(m.Members))
	for _, member := range m.Members {
		r.members[member.Session] = member
	}
	if m.Gap || r.missed {
		r.missed = false
		r.tellLocked(RoomEvent{Missed: true})
	}
	for _, message := range m.Messages {
		if message != nil {
			r.messageLocked(message)
		}
	}
	r.reachedLocked(m.Version) // what is not told up to there is wanted no more
	if !r.begun {
		r.begun = true
		close(r.joined)
	}
	r.notify()
}

// leftRoomLocked ends a stay that the server has ended: the credentials do not permit it any more.
func (l *Live) leftRoomLocked(m *wire.Left) {
	if l.hasLeftLocked(m.Room) {
		return
	}
	if r := l.rooms[m.Room]; r != nil && r.phase == open {
		delete(l.rooms, m.Room)
		r.endLocked(wire.NewError(wire.CodeForbidden, ""))
	}
}

// hasLeftLocked reports whether an answer about a room is that to Leave, or to what was asked before it.
func (l *Live) hasLeftLocked(room string) bool {
	if l.leaving[room] == 0 {
		return false
	}
	if l.leaving[room]--; l.leaving[room] == 0 {
		delete(l.leaving, room)
	}
	return true
}

// refusedLocked ends a stay, or has the room joined later if that may do.
func (r *Room) refusedLocked(e *Error) {
	l := r.live
	if passing(e.Code) || r.begun && (e.Code == wire.CodeRoomFull || e.Code == wire.CodeRoomsTooMany) {
		r.phase, r.after = idle, time.Now().Add(crowdedRoomWait)
	} else {
		delete(l.rooms, r.name)
		r.endLocked(e)
	}
	l.signal()
}

func (l *Live) presenceLocked(k *liveLink, p *Presence) {
	r := l.rooms[p.Room]
	if r == nil {
		return
	}
	member, known := r.members[p.Session]
	switch p.Event {
	case "joined":
		r.members[p.Session] = Member{User: p.User, Session: p.Session, Since: p.Time}
	case "away", "active":
		if known {
			member.Away = p.Event == "away"
			r.members[p.Session] = member
		}
	case "left":
		delete(r.members, p.Session)
	case "kicked":
		delete(r.members, p.Session)
		if p.Session == k.session {
			delete(l.rooms, p.Room)
			r.tellLocked(RoomEvent{Presence: p})
			r.endLocked(ErrKicked)
			return
		}
	}
	r.tellLocked(RoomEvent{Presence: p})
}
