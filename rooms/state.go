package rooms

import (
	"github.com/VictoriaMetrics/metrics"

	"weir/wire"
)

// state is what the records of a partition come to. It depends on them alone.
type state struct {
	cfg     Config
	rooms   map[string]*room
	tenants map[string]*tenant // those with rooms
	idle    shares[*room]      // rooms by their standing
	shut    shares[*room]
	ends    ordered[*room] // the rooms with bans: where the last one ends first, first
	inboxes map[string]*inbox
	waiting shares[*inbox] // all of them
	ids     seenIDs
	next    int64 // the offset behind the newest record
	// forgot is the version up to which there may have been messages of rooms that are not known (any more): see forgotOf.
	forgot int64
	// holed is the version behind what was lost to damage in the log.
	holed int64
	lost  lost
	news  chan struct{} // closed when a record has been told; nil: nobody waits
}

// lost counts what had to make room.
type lost struct{ rooms, bans, inboxes *metrics.Counter }

func newState(cfg Config) *state {
	return &state{
		cfg: cfg, rooms: make(map[string]*room), tenants: make(map[string]*tenant), idle: newShares[*room](), shut: newShares[*room](),
		inboxes: make(map[string]*inbox), waiting: newShares[*inbox](), ids: newSeenIDs(cfg.IDs),
		lost: lost{new(metrics.Counter), new(metrics.Counter), new(metrics.Counter)},
	}
}

// outcome is what a record has changed.
type outcome struct {
	refusal  *wire.Error
	version  int64             // of the message, kick or ban, or of the first with its id
	message  *wire.RoomMessage // to be delivered
	presence []wire.RoomPresence
	removed  []string // sessions put out of the room
}

// versionOf is the version of what is at an offset: not 0, which is what a client has that has seen none.
func versionOf(offset int64) int64 { return offset<<12 | 1 }

// apply takes a record at an offset; at is when it was stored, µs.
func (s *state) apply(offset, at int64, r *wire.RoomRecord) outcome {
	version := versionOf(offset)
	s.next = offset + 1
	s.release(at)
	switch r.Kind {
	case wire.RecordMessage:
		return s.message(version, at, r.Message)
	case wire.RecordJoin:
		return s.join(at, r)
	case wire.RecordLeave:
		return s.leave(at, r)
	case wire.RecordGone:
		return s.gone(at, r)
	case wire.RecordAway, wire.RecordActive:
		return s.stir(at, r)
	case wire.RecordKick, wire.RecordBan:
		return s.expel(version, at, r)
	case wire.RecordAck:
		s.acknowledge(r.User, r.Version)
	}
	return outcome{}
}

func (s *state) message(version, at int64, m *wire.MessageValue) outcome {
	key := messageKey{keyOf(m), m.From.User, m.ID}
	if first, ok := s.ids.first(key); m.ID != "" && ok {
		return outcome{version: first}
	}
	out := &wire.RoomMessage{
		Target: m.Target, Version: version, ID: m.ID, Type: m.Type, From: m.From, Time: at, Payload: m.Payload, Ephemeral: m.Ephemeral,
	}
	kept := kept{out, m.Expires}
	if m.Room != "" {
		if refusal := s.say(kept, at); refusal != nil {
			return outcome{refusal: refusal}
		}
	}
	if m.User != "" && !m.Ephemeral {
		s.store(kept)
	}
	if m.ID != "" {
		s.ids.add(key, tenantOfMessage(m), version)
	}
	return outcome{version: version, message: out}
}

// say keeps a message to a room, if that is to be and there is a place for the room.
func (s *state) say(k kept, at int64) *wire.Error {
	r := s.rooms[k.Room]
	if r == nil && !k.Ephemeral {
		r = s.open(k.Room, false)
	}
	if r == nil {
		return nil
	}
	if refusal := r.banned(k.From.User, at); refusal != nil {
		return refusal
	}
	r.version = k.Version
	if !k.Ephemeral {
		r.history.add(k, s.cfg.History, s.cfg.HistoryBytes)
	}
	s.settle(r)
	return nil
}

func (s *state) join(at int64, rec *wire.RoomRecord) outcome {
	if r := s.rooms[rec.Room]; r != nil {
		if refusal := r.banned(rec.User, at); refusal != nil {
			return outcome{refusal: refusal}
		}
	}
	r := s.open(rec.Room, true)
	if r == nil {
		return outcome{refusal: wire.NewError(wire.CodeRoomsTooMany, "payload.room")}
	}
	if m := r.members[rec.Session]; m != nil {
		m.node = rec.Node
		return outcome{}
	}
	if len(r.members) >= s.cfg.Members {
		return outcome{refusal: wire.NewError(wire.CodeRoomFull, "payload.room")}
	}
	m := &member{RoomMember: wire.RoomMember{User: rec.User, Session: rec.Session, Since: at}, node: rec.Node}
	r.members[rec.Session] = m
	s.settle(r)
	return outcome{presence: []wire.RoomPresence{r.tell("joined", m, at)}}
}

func (s *state) leave(at int64, rec *wire.RoomRecord) outcome {
	r := s.rooms[rec.Room]
	if r == nil || r.members[rec.Session] == nil {
		return outcome{}
	}
	m := r.members[rec.Session]
	delete(r.members, rec.Session)
	s.settle(r)
	return outcome{presence: []wire.RoomPresence{r.tell("left", m, at)}}
}

// gone removes the members of a node that others do not hear of any more.
func (s *state) gone(at int64, rec *wire.RoomRecord) (out outcome) {
	r := s.rooms[rec.Room]
	if r == nil {
		return out
	}
	for _, session := range r.sessions() {
		if m := r.members[session]; m.node == rec.Node {
			delete(r.members, session)
			out.presence = append(out.presence, r.tell("left", m, at))
		}
	}
	s.settle(r)
	return out
}

func (s *state) stir(at int64, rec *wire.RoomRecord) outcome {
	r := s.rooms[rec.Room]
	if r == nil {
		return outcome{}
	}
	m, away := r.members[rec.Session], rec.Kind == wire.RecordAway
	if m == nil || m.Away == away {
		return outcome{}
	}
	m.Away = away
	return outcome{presence: []wire.RoomPresence{r.tell(rec.Kind, m, at)}}
}

func (s *state) expel(version, at int64, rec *wire.RoomRecord) (out outcome) {
	key := moderationKey(rec)
	if first, known := s.ids.first(key); rec.ID != "" && known {
		return outcome{version: first}
	}
	r, until := s.rooms[rec.Room], min(rec.Until, at+wire.MaxForMS*1000)
	if rec.Kind == wire.RecordBan && until > at {
		if r = s.open(rec.Room, true); r == nil {
			return outcome{refusal: wire.NewError(wire.CodeRoomsTooMany, "payload.room")}
		}
		s.hold(r, r.ban(rec.User, until, at, s.cfg.Members))
	}
	if rec.ID != "" {
		s.ids.add(key, tenantOf(rec.Room), version)
	}
	out.version = version
	if r == nil {
		return out
	}
	for _, session := range r.sessions() {
		if m := r.members[session]; m.User == rec.User {
			delete(r.members, session)
			out.removed = append(out.removed, session)
			out.presence = append(out.presence, r.tell("kicked", m, at))
		}
	}
	s.settle(r)
	return out
}
