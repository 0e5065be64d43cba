package rooms

import (
	"context"
	"time"

	"weir/wire"
)

// A member leaves with a record. Where none came, because its instance is gone or could not store it, sweep writes it: so the
// members are what the log says, for all instances, also for those that read it later. An instance that was not gone keeps its
// sessions in their rooms, apart, until it has written and read their joins anew.

const (
	sweepEvery = time.Second
	// orphanAgain is how long it takes at most until a record is stored and read: then it is written again, but no sooner, so
	// that instances which disagree on who is there do not fill the log.
	orphanAgain = 5 * time.Second
	// maxOrphans bounds the records of one sweep about members, and maxApart those about sessions that are apart.
	maxOrphans = 1000
	maxApart   = 20_000
)

// orphan is a member of this instance that no session stands behind, or, if none is named, all members of an instance that
// is not heard of; or, with its user, a session that is apart.
type orphan struct{ room, node, session, user string }

func (o orphan) record() *wire.RoomRecord {
	switch {
	case o.user != "":
		return &wire.RoomRecord{Kind: wire.RecordJoin, Room: o.room, User: o.user, Session: o.session, Node: o.node}
	case o.session != "":
		return &wire.RoomRecord{Kind: wire.RecordLeave, Room: o.room, Session: o.session}
	}
	return &wire.RoomRecord{Kind: wire.RecordGone, Room: o.room, Node: o.node}
}

// sweep has members leave that cannot do so themselves, and those come back that have not left.
func (h *Hub) sweep(ctx context.Context, now time.Time) {
	if !h.isReady() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, leaveTimeout)
	defer cancel()
	for _, o := range h.orphansDue(now) {
		h.write(ctx, o.record(), nil)
	}
}

// orphansDue are those for which a record is to be written now.
func (h *Hub) orphansDue(now time.Time) (due []orphan) {
	before := h.orphans
	h.orphans = make(map[orphan]time.Time)
	for o, at := range before {
		if at.After(now) {
			h.orphans[o] = at
		}
	}
	note := func(o orphan, grace time.Duration, most int) {
		if _, seen := h.orphans[o]; seen {
			return
		}
		at, known := before[o]
		if !known {
			at = now.Add(grace)
		}
		if !at.After(now) && len(due) < most {
			due, at = append(due, o), now.Add(orphanAgain)
		}
		h.orphans[o] = at
	}
	up := map[string]bool{h.opts.Node: true}
	for _, st := range h.states {
		h.mu.Lock() // for one at a time: who is told something waits for it
		h.orphansOf(st, up, note)
		h.mu.Unlock()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for room, sessions := range h.apart {
		for id, s := range sessions {
			note(orphan{room, h.opts.Node, id, s.user}, 0, maxOrphans+maxApart)
		}
	}
	return due
}

// orphansOf notes those of a partition. up are the instances of which it is known whether they are there.
func (h *Hub) orphansOf(st *state, up map[string]bool, note func(o orphan, grace time.Duration, most int)) {
	for name, r := range st.rooms {
		for session, m := range r.members {
			if m.node == h.opts.Node {
				if s := h.sessions[session]; s == nil || s.rooms[name] == nil {
					note(orphan{room: name, node: m.node, session: session}, orphanAgain, maxOrphans) // it may just be leaving
				}
				continue
			}
			is, known := up[m.node]
			if !known {
				is = h.opts.Alive(m.node)
				up[m.node] = is
			}
			if !is {
				note(orphan{room: name, node: m.node}, sweepEvery, maxOrphans) // it may have just begun
			}
		}
	}
}

// takenForGone notes which sessions here others have taken for gone.
func (h *Hub) takenForGone(r *wire.RoomRecord, out outcome) {
	for i := range out.presence {
		id := out.presence[i].Session
		s := h.sessions[id]
		if s == nil || s.rooms[r.Room] == nil || !s.rooms[r.Room].in {
			continue
		}
		if h.apart[r.Room] == nil {
			h.apart[r.Room] = make(map[string]*session)
		}
		h.apart[r.Room][id] = s
	}
}

// together notes that a session is not apart, and reports whether it was.
func (h *Hub) together(room, session string) (was bool) {
	_, was = h.apart[room][session]
	if delete(h.apart[room], session); len(h.apart[room]) == 0 {
		delete(h.apart, room)
	}
	return was
}

// expelApart ends the stay of a user's sessions that are apart, of which the room has been told already that they left.
func (h *Hub) expelApart(r *wire.RoomRecord, at int64) {
	for id, s := range h.apart[r.Room] {
		if s.user == r.User {
			h.out(s, r.Room)
			s.send((&wire.RoomPresence{Room: r.Room, Event: "kicked", User: s.user, Session: id, Time: at}).Append(nil))
		}
	}
}
