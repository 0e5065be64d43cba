package rooms

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"weir/auth"
	"weir/kafka"
	"weir/kafka/table"
	"weir/wire"
)

const (
	fetchWait = 5 * time.Second
	// tellAgain is how often the joins of this instance's sessions are written anew: before the topic forgets them.
	tellAgain = time.Hour
)

// Run follows weir.messages from its beginning until ctx ends. It is called once.
func (h *Hub) Run(ctx context.Context) error {
	defer close(h.ended)
	ends, err := h.opts.Client.Offsets(ctx, wire.TopicMessages)
	if err != nil {
		if ctx.Err() != nil {
			return nil //nolint:nilerr // asked to end
		}
		return fmt.Errorf("rooms: %w", err)
	}
	var all sync.WaitGroup
	h.mu.Lock()
	for p, st := range h.states {
		st.forgot = ends[p].First << 12
	}
	h.mu.Unlock()
	for p := range h.opts.Partitions {
		all.Go(func() { h.follow(ctx, p, ends[p]) })
	}
	all.Go(func() { h.tend(ctx) })
	all.Wait()
	return nil
}

func (h *Hub) follow(ctx context.Context, partition int, there kafka.OffsetRange) {
	table.Follow(ctx, table.FollowOptions{
		Client: h.opts.Client, Topic: wire.TopicMessages, Partition: partition, There: there, MaxWait: fetchWait, Logger: h.log,
		Loaded: h.loaded,
		Apply: func(f *kafka.Fetch, _ int64) {
			for i := range f.Records {
				h.take(partition, &f.Records[i])
			}
		},
		Lost: func(n, next int64, err error) {
			h.mu.Lock()
			h.states[partition].holed = next << 12
			h.mu.Unlock()
			h.log.Error("messages lost to damage in the log", "partition", partition, "offsets", n, "error", err)
		},
	})
}

func (h *Hub) loaded() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.loading--; h.loading == 0 {
		close(h.ready)
	}
}

// tend does what has its time.
func (h *Hub) tend(ctx context.Context) {
	sweep, again := time.NewTicker(sweepEvery), time.NewTicker(tellAgain)
	defer sweep.Stop()
	defer again.Stop()
	for {
		select {
		case now := <-sweep.C:
			h.sweep(ctx, now)
		case <-again.C:
			h.rejoin(ctx)
		case s := <-h.stirs:
			h.stir(ctx, s)
		case <-ctx.Done():
			return
		}
	}
}

func (h *Hub) rejoin(ctx context.Context) {
	var joins []*wire.RoomRecord
	h.mu.Lock()
	for id, s := range h.sessions {
		for room, in := range s.rooms {
			if in.in {
				joins = append(joins, &wire.RoomRecord{Kind: wire.RecordJoin, Room: room, User: s.user, Session: id, Node: h.opts.Node})
			}
		}
	}
	h.mu.Unlock()
	for _, r := range joins {
		h.write(ctx, r, nil)
	}
}

func (h *Hub) stir(ctx context.Context, which stir) {
	kind := wire.RecordActive
	if which.away {
		kind = wire.RecordAway
	}
	var rooms []string
	h.mu.Lock()
	if s := h.sessions[which.session]; s != nil {
		for room, in := range s.rooms {
			if in.in {
				rooms = append(rooms, room)
			}
		}
	}
	h.mu.Unlock()
	for _, room := range rooms {
		h.write(ctx, &wire.RoomRecord{Kind: kind, Room: room, Session: which.session}, nil)
	}
}

// decode reads a record. It returns nil for what is not of rooms, and for what is skipped, with the counter of that.
func (h *Hub) decode(partition int, record *kafka.Record) (r *wire.RoomRecord, skipped *metrics.Counter) {
	r, err := wire.DecodeRoomRecord(record.Value)
	switch {
	case errors.Is(err, wire.ErrNotOfRooms):
		return nil, nil
	case err != nil || !soundPaths(r):
		return nil, h.m.malformed
	case kafka.PartitionFor(recordKey(r), h.opts.Partitions) != partition:
		return nil, h.m.misplaced
	}
	return r, nil
}

// take applies a record and tells what came of it.
func (h *Hub) take(partition int, record *kafka.Record) {
	r, skipped := h.decode(partition, record)
	if skipped != nil {
		skipped.Inc()
	}
	if r == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	st := h.states[partition]
	out := st.apply(record.Offset, record.Time*1000, r)
	if out.refusal != nil {
		h.m.refused[out.refusal.Code].Inc()
	}
	switch r.Kind {
	case wire.RecordMessage:
		h.told(r.Message, out)
	case wire.RecordJoin:
		h.joined(r, out)
	case wire.RecordLeave:
		h.hasLeft(r)
	case wire.RecordGone:
		h.takenForGone(r, out)
	}
	for _, id := range out.removed { // they are told that, too
		if s := h.sessions[id]; s != nil {
			for i := range out.presence {
				s.send(out.presence[i].Append(nil))
			}
			h.out(s, r.Room)
		}
	}
	h.tell(st, out.presence)
	if r.Kind == wire.RecordKick || r.Kind == wire.RecordBan {
		if out.version == versionOf(record.Offset) {
			h.expelApart(r, record.Time*1000)
		}
		h.moderated(r, out)
	}
	if st.news != nil {
		close(st.news)
		st.news = nil
	}
}

// moderated tells who has asked for a kick or ban what came of it, after what it has changed.
func (h *Hub) moderated(r *wire.RoomRecord, out outcome) {
	s := h.sessions[r.From.Session]
	switch {
	case s == nil || s.user != r.From.User:
	case out.refusal != nil:
		s.send((&wire.ErrorMsg{Error: *out.refusal, ID: r.ID, Room: r.Room}).Append(nil))
	case r.ID != "":
		s.send((&wire.MessageReceipt{ID: r.ID, Version: out.version}).Append(nil))
	}
}

// out notes that a session is not in a room. What it has asked for since is still answered.
func (h *Hub) out(s *session, room string) {
	h.together(room, s.id)
	if in := s.rooms[room]; in != nil {
		in.in = false
		if len(in.joins) == 0 && in.leaves == 0 {
			delete(s.rooms, room)
		}
	}
}

// told delivers a message, and answers who waits for it.
func (h *Hub) told(m *wire.MessageValue, out outcome) {
	key := messageKey{keyOf(m), m.From.User, m.ID}
	if out.message != nil {
		h.deliver(m, out.message)
	} else if out.refusal == nil {
		h.m.duplicates.Inc()
	}
	for _, w := range h.waiters[key] {
		w.done(out.version, out.refusal)
	}
	delete(h.waiters, key)
}

func (h *Hub) deliver(m *wire.MessageValue, message *wire.RoomMessage) {
	if len(h.sessions) == 0 || m.Expires > 0 && time.Now().UnixMicro() >= m.Expires {
		return
	}
	text := message.Append(nil)
	give := func(s *session) {
		if m.ExcludeSelf && s.id == m.From.Session {
			return
		}
		h.m.delivered.Inc()
		s.send(text)
	}
	switch {
	case m.Room != "":
		h.members(h.stateOf(m.Room), m.Room, give)
	case m.User != "":
		for _, s := range h.users[m.User] {
			give(s)
		}
	case m.Session != "":
		if s := h.sessions[m.Session]; s != nil && reaches(m.Tenant, s.who) {
			give(s)
		}
	default:
		for _, s := range h.sessions {
			if reaches(m.Tenant, s.who) {
				give(s)
			}
		}
	}
}

// reaches reports whether a message that a tenant confines is for a principal.
func reaches(tenant string, who *auth.Principal) bool {
	return who.MayJoinRooms() && (tenant == "" || who.Tenant == "" || who.Tenant == tenant)
}

// members calls f for each session here that is in a room, and may be: of one whose rights have ended it may not have been
// possible yet to store that it leaves.
func (h *Hub) members(st *state, name string, f func(*session)) {
	if r := st.rooms[name]; r != nil {
		for id := range r.members {
			if s := h.sessions[id]; s != nil && mayJoin(s.who, name) {
				f(s)
			}
		}
	}
	for _, s := range h.apart[name] {
		if mayJoin(s.who, name) {
			f(s)
		}
	}
}

// tell tells members what happened to members. Who joined has been told the whole room, and who stays in it hears nothing of
// having been taken for gone.
func (h *Hub) tell(st *state, events []wire.RoomPresence) {
	for i := range events {
		e := &events[i]
		var text []byte
		h.members(st, e.Room, func(s *session) {
			if (e.Event == "joined" || e.Event == "left") && s.id == e.Session {
				return
			}
			if text == nil {
				text = e.Append(nil)
			}
			s.send(text)
		})
	}
}

func (h *Hub) joined(r *wire.RoomRecord, out outcome) {
	apart := h.together(r.Room, r.Session)
	s := h.sessions[r.Session]
	if s == nil || s.user != r.User {
		return
	}
	if in := s.rooms[r.Room]; apart && out.refusal != nil { // others have its place
		if in.in = false; len(in.joins) == 0 {
			s.refuse(out.refusal, r.Room)
			h.out(s, r.Room)
		}
	}
	h.answerJoin(s, r.Room, out)
}

// answerJoin answers the session's oldest join of a room.
func (h *Hub) answerJoin(s *session, name string, out outcome) {
	in := s.rooms[name]
	if in == nil || len(in.joins) == 0 {
		return // of joins that are written anew there is nothing to answer
	}
	want := in.joins[0]
	in.joins = in.joins[1:]
	if out.refusal != nil {
		s.refuse(out.refusal, name)
		if !in.in && len(in.joins) == 0 && in.leaves == 0 {
			delete(s.rooms, name)
		}
		return
	}
	in.in = true
	st := h.stateOf(name)
	r := st.rooms[name]
	messages, gap := st.missed(r, want, h.cfg.HistoryBytes, time.Now().UnixMicro())
	if gap {
		h.m.gaps.Inc()
	}
	s.send((&wire.Joined{Room: name, Members: r.there(), Messages: messages, Version: r.version, Gap: gap}).Append(nil))
}

func (h *Hub) hasLeft(r *wire.RoomRecord) {
	s := h.sessions[r.Session]
	if s == nil {
		return
	}
	in := s.rooms[r.Room]
	if in == nil {
		return
	}
	if in.leaves > 0 {
		in.leaves--
	}
	h.out(s, r.Room)
	s.send((&wire.Left{Room: r.Room}).Append(nil))
}
