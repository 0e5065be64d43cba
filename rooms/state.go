package rooms

import (
	"slices"
	"time"

	"weir/wire"
)

// state is what the records of a partition come to. It depends on them alone, but for members whose instance fell silent.
type state struct {
	cfg     Config
	rooms   map[string]*room
	inboxes map[string]*inbox
	waiting []string // the users of inboxes, the oldest first
	ids     seenIDs
	next    int64 // the offset behind the newest record
	// forgot is the version up to which there may have been messages of rooms that are not known (any more).
	forgot int64
	// holed is the version behind what was lost to damage in the log.
	holed int64
	news  chan struct{} // closed when a record has been told; nil: nobody waits
}

func newState(cfg Config) *state {
	return &state{
		cfg: cfg, rooms: make(map[string]*room), inboxes: make(map[string]*inbox),
		ids: seenIDs{versions: make(map[messageKey]int64), most: cfg.IDs},
	}
}

// room is one with members, a history or bans.
type room struct {
	name    string
	members map[string]*member // by session
	history history
	bans    map[string]int64 // by user: until when, µs
	version int64
	used    int64 // the version of the newest record about it
}

type member struct {
	wire.RoomMember
	node string
	lost time.Time // since when its instance is silent; zero: it is not
}

// outcome is what a record has changed.
type outcome struct {
	refusal  *wire.Error
	version  int64             // of the message, or of the first with its id
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
	switch r.Kind {
	case wire.RecordMessage:
		return s.message(version, at, r.Message)
	case wire.RecordJoin:
		return s.join(version, at, r)
	case wire.RecordLeave:
		return s.leave(at, r)
	case wire.RecordAway, wire.RecordActive:
		return s.stir(at, r)
	case wire.RecordKick, wire.RecordBan:
		return s.expel(version, at, r)
	case wire.RecordAck:
		if in := s.inboxes[r.User]; in != nil {
			in.read(r.Version)
		}
	}
	return outcome{}
}

// room returns a room, made if there is space for it, or nil.
func (s *state) room(name string, version int64) *room {
	r := s.rooms[name]
	if r == nil {
		if len(s.rooms) >= s.cfg.Rooms && !s.evict() {
			return nil
		}
		r = &room{name: name, members: make(map[string]*member), bans: make(map[string]int64)}
		r.history.dropped = s.forgot
		s.rooms[name] = r
	}
	r.used = version
	return r
}

// evict forgets the room that was used the longest ago of those without members.
func (s *state) evict() bool {
	var oldest *room
	for _, r := range s.rooms {
		if len(r.members) == 0 && len(r.bans) == 0 && (oldest == nil || r.used < oldest.used) {
			oldest = r
		}
	}
	if oldest == nil {
		return false
	}
	s.forget(oldest)
	return true
}

func (s *state) forget(r *room) {
	delete(s.rooms, r.name)
	s.forgot = max(s.forgot, r.version)
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

func (s *state) message(version, at int64, m *wire.MessageValue) outcome {
	key := messageKey{keyOf(m), m.From.User, m.ID}
	if first, ok := s.ids.versions[key]; m.ID != "" && ok {
		return outcome{version: first}
	}
	out := &wire.RoomMessage{
		Target: m.Target, Version: version, ID: m.ID, Type: m.Type, From: m.From, Time: at, Payload: m.Payload, Ephemeral: m.Ephemeral,
	}
	kept := kept{out, m.Expires}
	if m.Room != "" {
		r := s.room(m.Room, version)
		if r != nil {
			if refusal := r.banned(m.From.User, at); refusal != nil {
				return outcome{refusal: refusal}
			}
			r.version = version
			if !m.Ephemeral {
				r.history.add(kept, s.cfg.History, s.cfg.HistoryBytes)
			}
		}
	}
	if m.User != "" && !m.Ephemeral {
		s.inbox(m.User).add(kept, s.cfg.Inbox)
	}
	if m.ID != "" {
		s.ids.add(key, version)
	}
	return outcome{version: version, message: out}
}

func (s *state) join(version, at int64, rec *wire.RoomRecord) outcome {
	r := s.room(rec.Room, version)
	if r == nil {
		return outcome{refusal: wire.NewError(wire.CodeRoomsTooMany, "payload.room")}
	}
	if refusal := r.banned(rec.User, at); refusal != nil {
		return outcome{refusal: refusal}
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
	return outcome{presence: []wire.RoomPresence{r.tell("joined", m, at)}}
}

func (r *room) tell(event string, m *member, at int64) wire.RoomPresence {
	return wire.RoomPresence{Room: r.name, Event: event, User: m.User, Session: m.Session, Time: at}
}

func (s *state) leave(at int64, rec *wire.RoomRecord) outcome {
	r := s.rooms[rec.Room]
	if r == nil || r.members[rec.Session] == nil {
		return outcome{}
	}
	m := r.members[rec.Session]
	delete(r.members, rec.Session)
	s.tidy(r)
	if !m.lost.IsZero() {
		return outcome{} // told when its instance fell silent
	}
	return outcome{presence: []wire.RoomPresence{r.tell("left", m, at)}}
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
	r := s.room(rec.Room, version)
	if r == nil {
		return out
	}
	if rec.Kind == wire.RecordBan {
		r.ban(rec.User, min(rec.Until, at+wire.MaxForMS*1000), at, s.cfg.Members)
	}
	for _, session := range r.sessions() {
		if m := r.members[session]; m.User == rec.User {
			delete(r.members, session)
			out.removed = append(out.removed, session)
			out.presence = append(out.presence, r.tell("kicked", m, at))
		}
	}
	s.tidy(r)
	return out
}

// ban keeps a user out. There are at most as many bans as members; the one that ends first makes room.
func (r *room) ban(user string, until, at int64, most int) {
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
}

// tidy forgets a room of which nothing is left.
func (s *state) tidy(r *room) {
	if len(r.members) == 0 && len(r.bans) == 0 && len(r.history.messages) == 0 {
		s.forget(r)
	}
}

// sessions are those in the room, in order.
func (r *room) sessions() []string {
	out := make([]string, 0, len(r.members))
	for session := range r.members {
		out = append(out, session)
	}
	slices.Sort(out)
	return out
}

// forgetLost is after how long the members of a silent instance cannot come back.
const forgetLost = 10 * time.Minute

// forgetBan is how long after its end a ban is forgotten, so that no instance forgets it that others still know: clocks
// differ.
const forgetBan = time.Minute

// sweep removes the members whose instance is silent, and takes back those whose instance is heard of again. It
// forgets bans that have ended.
func (s *state) sweep(now time.Time, alive func(node string) bool) (out []wire.RoomPresence) {
	for _, r := range s.rooms {
		for session, m := range r.members {
			switch up := alive(m.node); {
			case !up && m.lost.IsZero():
				m.lost = now
				out = append(out, r.tell("left", m, now.UnixMicro()))
			case up && !m.lost.IsZero():
				m.lost = time.Time{}
				out = append(out, r.tell("joined", m, now.UnixMicro()))
			case !up && now.Sub(m.lost) > forgetLost:
				delete(r.members, session)
			}
		}
		for user, until := range r.bans {
			if now.Sub(time.UnixMicro(until)) > forgetBan {
				delete(r.bans, user)
			}
		}
		s.tidy(r)
	}
	return out
}

// count is how many there are.
func (r *room) count() (n int) {
	for _, m := range r.members {
		if m.lost.IsZero() {
			n++
		}
	}
	return n
}

// there are the members whose instance is heard of, by session.
func (r *room) there() []wire.RoomMember {
	out := []wire.RoomMember{}
	for _, session := range r.sessions() {
		if m := r.members[session]; m.lost.IsZero() {
			out = append(out, m.RoomMember)
		}
	}
	return out
}
