package rooms

import (
	"context"
	"slices"
	"strings"
	"time"

	"weir/auth"
	"weir/wire"
)

// storeTimeout bounds how long a request waits for room in the producer's buffer.
const storeTimeout = 5 * time.Second

// Handle does what a session asks for, of type kind. Errors are *wire.Error; answers and later errors are sent to the session.
func (h *Hub) Handle(id, kind string, r *wire.RoomRequest) error {
	h.mu.Lock()
	s := h.sessions[id]
	h.mu.Unlock()
	if s == nil {
		return wire.NewError(wire.CodeNotReady, "")
	}
	if r.Room != "" {
		if refusal := checkRoom(r.Room, "payload.room"); refusal != nil {
			return refusal
		}
	}
	if r.User != "" && kind == wire.TypeSend {
		if refusal := checkUser(r.User, "payload.user"); refusal != nil {
			return refusal
		}
		r.User = canonicalUser(r.User)
	}
	ctx, cancel := context.WithTimeout(context.Background(), storeTimeout)
	defer cancel()
	var refusal *wire.Error
	switch kind {
	case wire.TypeJoin:
		refusal = h.join(ctx, s, r)
	case wire.TypeLeave:
		h.leave(ctx, s, r.Room)
	case wire.TypeRooms:
		list := h.list(s.who)
		s.send(list.Append(nil))
	case wire.TypeSend:
		refusal = h.sendFrom(ctx, s, r)
	case wire.TypeKick, wire.TypeBan:
		refusal = h.moderate(ctx, s, kind, r)
	case wire.TypeAck:
		h.write(ctx, &wire.RoomRecord{Kind: wire.RecordAck, User: s.user, Version: r.Version}, nil)
	}
	if refusal != nil {
		return refusal
	}
	return nil
}

func (h *Hub) join(ctx context.Context, s *session, r *wire.RoomRequest) *wire.Error {
	if !mayJoin(s.who, r.Room) {
		return forbidden("payload.room")
	}
	want := h.wanted(ctx, r, s.share)
	h.mu.Lock()
	in := s.rooms[r.Room]
	if in == nil {
		if len(s.rooms) >= h.cfg.RoomsPerSession {
			h.mu.Unlock()
			return wire.NewError(wire.CodeRoomsTooMany, "payload.room")
		}
		in = new(stay)
		s.rooms[r.Room] = in
	}
	in.joins = append(in.joins, want)
	h.mu.Unlock()
	h.write(ctx, &wire.RoomRecord{Kind: wire.RecordJoin, Room: r.Room, User: s.user, Session: s.id, Node: h.opts.Node}, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.answerJoin(s, r.Room, outcome{refusal: wire.NewError(wire.CodeNotStored, "payload.room")})
	})
	return nil
}

func (h *Hub) leave(ctx context.Context, s *session, room string) {
	h.mu.Lock()
	in := s.rooms[room]
	if in == nil {
		s.send((&wire.Left{Room: room}).Append(nil))
		h.mu.Unlock()
		return
	}
	in.leaves++
	h.mu.Unlock()
	h.leaveOne(ctx, s, room)
}

func (h *Hub) leaveOne(ctx context.Context, s *session, room string) {
	h.write(ctx, &wire.RoomRecord{Kind: wire.RecordLeave, Room: room, Session: s.id}, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if in := s.rooms[room]; in != nil && in.leaves > 0 {
			in.leaves--
		}
		s.refuse(wire.NewError(wire.CodeNotStored, "payload.room"), room)
	})
}

// list are the rooms with members that a principal may read.
func (h *Hub) list(who *auth.Principal) *wire.RoomList {
	out := &wire.RoomList{}
	h.mu.Lock()
	for _, st := range h.states {
		for name, r := range st.rooms {
			if !mayJoin(who, name) { // first: others' rooms are to cost little
				continue
			}
			if there := len(r.members); there > 0 {
				out.Rooms = append(out.Rooms, wire.RoomInfo{Room: name, Members: there, Version: r.version})
			}
		}
	}
	h.mu.Unlock()
	slices.SortFunc(out.Rooms, func(a, b wire.RoomInfo) int { return strings.Compare(a.Room, b.Room) })
	return out
}

func (h *Hub) sendFrom(ctx context.Context, s *session, r *wire.RoomRequest) *wire.Error {
	m := &wire.MessageValue{
		Target: r.Target, ID: r.ID, Type: r.Type, Payload: slices.Clone(r.Payload), ExcludeSelf: r.ExcludeSelf, Ephemeral: r.Ephemeral,
		From: wire.Sender{User: s.user, Session: s.id},
	}
	if r.TTLMS > 0 {
		m.Expires = time.Now().UnixMicro() + r.TTLMS*1000
	}
	return h.store(ctx, s.who, m, func(version int64, refusal *wire.Error) {
		if refusal != nil {
			s.send((&wire.ErrorMsg{Error: *refusal, ID: m.ID, Room: m.Room}).Append(nil))
			return
		}
		s.send((&wire.MessageReceipt{ID: m.ID, Version: version}).Append(nil))
	})
}

// store writes a message of a principal. done is called once, under Hub.mu, unless it is refused at once.
func (h *Hub) store(ctx context.Context, who *auth.Principal, m *wire.MessageValue, done func(int64, *wire.Error)) *wire.Error {
	if refusal := refuseSend(who, m); refusal != nil {
		return refusal
	}
	if m.Session != "" || m.Broadcast {
		m.Tenant = who.Tenant
	}
	key := messageKey{keyOf(m), m.From.User, m.ID}
	w := &waiter{done}
	h.mu.Lock()
	if room := h.stateOf(key.path).rooms[m.Room]; room != nil { // here, too, so that it need not be told from others when the log is read
		if refusal := room.banned(m.From.User, time.Now().UnixMicro()); refusal != nil {
			h.mu.Unlock()
			return refusal
		}
	}
	if first, ok := h.stateOf(key.path).ids.first(key); ok {
		h.m.duplicates.Inc()
		done(first, nil)
		h.mu.Unlock()
		return nil
	}
	h.waiters[key] = append(h.waiters[key], w)
	h.mu.Unlock()
	h.write(ctx, &wire.RoomRecord{Kind: wire.RecordMessage, Message: m}, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if i := slices.Index(h.waiters[key], w); i >= 0 {
			if h.waiters[key] = slices.Delete(h.waiters[key], i, i+1); len(h.waiters[key]) == 0 {
				delete(h.waiters, key)
			}
			done(0, wire.NewError(wire.CodeNotStored, ""))
		}
	})
	return nil
}

func targetName(m *wire.MessageValue) string {
	switch {
	case m.Room != "":
		return "room"
	case m.User != "":
		return "user"
	case m.Session != "":
		return "session"
	default:
		return "broadcast"
	}
}

func (h *Hub) moderate(ctx context.Context, s *session, kind string, r *wire.RoomRequest) *wire.Error {
	if !mayModerate(s.who, r.Room) {
		return forbidden("payload.room")
	}
	if refusal := checkUser(r.User, "payload.user"); refusal != nil {
		return refusal
	}
	r.User = canonicalUser(r.User)
	rec := &wire.RoomRecord{
		Kind: wire.RecordKick, Room: r.Room, User: r.User, Reason: r.Reason, ID: r.ID, From: wire.Sender{User: s.user, Session: s.id},
	}
	if kind == wire.TypeBan {
		lasting := r.ForMS
		if lasting == 0 {
			lasting = wire.MaxForMS
		}
		rec.Kind, rec.Until = wire.RecordBan, time.Now().UnixMicro()+lasting*1000
	}
	h.write(ctx, rec, func() {
		s.send((&wire.ErrorMsg{Error: *wire.NewError(wire.CodeNotStored, "payload.room"), ID: r.ID, Room: r.Room}).Append(nil))
	})
	return nil
}
