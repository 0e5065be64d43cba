package rooms

import (
	"slices"
	"time"

	"weir/wire"
)

// room is one with members, a history or bans.
type room struct {
	name    string
	members map[string]*member // by session
	history history
	bans    map[string]int64 // by user: until when, µs
	// held is when the last of the bans ends, in µs; 0: there is none. endsAt is where in state.ends the room is.
	held    int64
	endsAt  int
	version int64
	place   place[*room] // among those of which it is one
	among   standing
}

// standing is for what a room is kept.
type standing uint8

const (
	unkept standing = iota
	idle            // for its history
	shut            // for bans
	lived           // for members
)

// used reports whether a room of the standing is in use: not for the sake of what was.
func (s standing) used() bool { return s >= shut }

// standing is the one that the room should have.
func (r *room) standing() standing {
	switch {
	case len(r.members) > 0:
		return lived
	case r.held > 0:
		return shut
	case len(r.history.messages) > 0:
		return idle
	}
	return unkept
}

type member struct {
	wire.RoomMember
	node string
}

// banned says until when a user is kept out, or returns nil.
func (r *room) banned(user string, at int64) *wire.Error {
	until, ok := r.bans[user]
	if !ok || at >= until {
		return nil
	}
	return &wire.Error{
		Code: wire.CodeBanned, Path: "payload.room",
		Message: "banned from the room until " + time.UnixMicro(until).UTC().Format(time.RFC3339),
	}
}

func (r *room) tell(event string, m *member, at int64) wire.RoomPresence {
	return wire.RoomPresence{Room: r.name, Event: event, User: m.User, Session: m.Session, Time: at}
}

// ban keeps a user out, and returns when the last of the room's bans ends. There are at most as many bans as members; the one
// that ends first makes room.
func (r *room) ban(user string, until, at int64, most int) (last int64) {
	soonest := ""
	for u, ends := range r.bans {
		if ends <= at {
			delete(r.bans, u)
			continue
		}
		if soonest == "" || ends < r.bans[soonest] || ends == r.bans[soonest] && u < soonest {
			soonest = u
		}
	}
	if _, known := r.bans[user]; !known && len(r.bans) >= most {
		delete(r.bans, soonest)
	}
	r.bans[user] = until
	for _, ends := range r.bans {
		last = max(last, ends)
	}
	return last
}

// before orders rooms with bans by when the last of them ends.
func (r *room) before(other *room) bool {
	return r.held < other.held || r.held == other.held && r.name < other.name
}

func (r *room) movedTo(i int) { r.endsAt = i }

// sessions are those in the room, in order.
func (r *room) sessions() []string {
	out := make([]string, 0, len(r.members))
	for session := range r.members {
		out = append(out, session)
	}
	slices.Sort(out)
	return out
}

// there are the members, by session.
func (r *room) there() []wire.RoomMember {
	out := make([]wire.RoomMember, 0, len(r.members))
	for _, session := range r.sessions() {
		out = append(out, r.members[session].RoomMember)
	}
	return out
}
