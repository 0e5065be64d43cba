package rooms

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"golang.org/x/sync/singleflight"

	"weir/auth"
	"weir/kafka"
	"weir/wire"
)

// Producer stores records; *kafka.Producer is one.
type Producer interface {
	Produce(ctx context.Context, topic string, partition int, recs []kafka.Record, done func(base int64, err error)) error
}

// Options are a Hub's dependencies.
type Options struct {
	Config     Config
	Client     *kafka.Client
	Producer   Producer
	Partitions int // of weir.messages
	// Node is this instance, as joins name it; Alive tells which instances are there.
	Node  string
	Alive func(node string) bool
	Gate  auth.Gate // ends requests whose credentials end; nil: none does
	// Visit counts a request that waits, until leave; or it refuses it. nil: none is counted.
	Visit func(r *http.Request) (leave func(), refusal *wire.Error)
	// ReadShare is what whoever makes a request may have read of the log. nil: there is no bound.
	ReadShare func(r *http.Request) func(bytes int) (left bool)
	Logger    *slog.Logger
	Metrics   *metrics.Set
}

// Hub knows the rooms, and hands what happens in them to the sessions that are attached here. Its methods are safe for
// concurrent use.
type Hub struct {
	opts  Options
	cfg   Config
	log   *slog.Logger
	ready chan struct{}
	ended chan struct{} // closed when Run ends
	m     meters
	stirs chan stir
	// orphans are tend's: when a record is to be written next.
	orphans map[orphan]time.Time

	mu       sync.Mutex
	states   []*state // by partition
	sessions map[string]*session
	users    map[string]map[string]*session // by the user's path and the session
	// apart are sessions, by room, that stay in it, but that the log has not among its members, as others took this instance for
	// gone: they are told what is said there.
	apart   map[string]map[string]*session
	waiters map[messageKey][]*waiter
	loading int

	readings singleflight.Group
	reading  chan struct{} // as many as read at once
}

// session is one that is attached here. Guarded by Hub.mu.
type session struct {
	id, user string
	who      *auth.Principal
	send     func(message []byte)
	share    readShare
	rooms    map[string]*stay
}

// refuse tells the session what it is refused in a room.
func (s *session) refuse(refusal *wire.Error, room string) {
	s.send((&wire.ErrorMsg{Error: *refusal, Room: room}).Append(nil))
}

// stay is what a session wants of a room: joins that are not answered yet, each with the messages it wants, and leaves.
type stay struct {
	joins  []wanted
	leaves int
	in     bool
}

// waiter is told once what became of a message.
type waiter struct {
	done func(version int64, refusal *wire.Error)
}

// stir is a session that fell silent or is heard of again.
type stir struct {
	session string
	away    bool
}

type meters struct {
	delivered, duplicates, malformed, misplaced, unstored, dropped, readBack, gaps *metrics.Counter

	refused map[string]*metrics.Counter // by code
	lost    lost
}

// New makes a Hub. It knows nothing before Run has read the topic.
func New(o Options) (*Hub, error) {
	if err := o.Config.Validate(); err != nil {
		return nil, err
	}
	if o.Producer == nil || o.Partitions <= 0 || o.Node == "" || o.Alive == nil {
		return nil, errors.New("rooms: a producer, the number of partitions, the node and who is alive are required")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Metrics == nil {
		o.Metrics = metrics.NewSet()
	}
	h := &Hub{
		opts: o, cfg: o.Config, log: o.Logger, ready: make(chan struct{}), ended: make(chan struct{}), stirs: make(chan stir, 1024),
		orphans: make(map[orphan]time.Time), apart: make(map[string]map[string]*session),
		sessions: make(map[string]*session), users: make(map[string]map[string]*session),
		waiters: make(map[messageKey][]*waiter), loading: o.Partitions, reading: make(chan struct{}, maxReadings),
		m: meters{
			delivered:  o.Metrics.NewCounter(`weir_rooms_messages_delivered_total`),
			duplicates: o.Metrics.NewCounter(`weir_rooms_messages_repeated_total`),
			malformed:  o.Metrics.NewCounter(`weir_rooms_records_skipped_total{reason="malformed"}`),
			misplaced:  o.Metrics.NewCounter(`weir_rooms_records_skipped_total{reason="wrong_partition"}`),
			unstored:   o.Metrics.NewCounter(`weir_rooms_records_unstored_total`),
			dropped:    o.Metrics.NewCounter(`weir_rooms_presence_dropped_total`),
			readBack:   o.Metrics.NewCounter(`weir_rooms_records_read_back_total`),
			gaps:       o.Metrics.NewCounter(`weir_rooms_gaps_total`),
			refused:    make(map[string]*metrics.Counter),
			lost: lost{
				rooms:   o.Metrics.NewCounter(`weir_rooms_displaced_total{what="room"}`),
				bans:    o.Metrics.NewCounter(`weir_rooms_displaced_total{what="ban"}`),
				inboxes: o.Metrics.NewCounter(`weir_rooms_displaced_total{what="inbox"}`),
			},
		},
	}
	for _, code := range []string{wire.CodeBanned, wire.CodeRoomFull, wire.CodeRoomsTooMany} {
		h.m.refused[code] = o.Metrics.NewCounter(fmt.Sprintf(`weir_rooms_records_refused_total{code=%q}`, code))
	}
	for range o.Partitions {
		st := newState(o.Config)
		st.lost = h.m.lost
		h.states = append(h.states, st)
	}
	return h, nil
}

// Ready is closed when all that was there at the start has been read.
func (h *Hub) Ready() <-chan struct{} { return h.ready }

// Attach makes a session of a principal known, and sends it what waits for its user. send must not block, nor call the Hub.
// share notes that so many bytes of the log were read for the session, and reports whether more may be; nil: there is no bound.
// A session that is attached already gets the principal's rights: rooms that it may not be in any more it leaves.
func (h *Hub) Attach(id string, who *auth.Principal, send func(message []byte), share func(bytes int) (left bool)) {
	h.mu.Lock()
	s := h.sessions[id]
	if s != nil {
		s.who = who
		var out []string
		for room := range s.rooms { // also those that it is about to join: this comes behind that
			if !mayJoin(who, room) {
				out = append(out, room)
			}
		}
		h.mu.Unlock()
		h.leaveAll(id, out)
		return
	}
	defer h.mu.Unlock()
	s = &session{id: id, user: UserPath(who), who: who, send: send, share: share, rooms: make(map[string]*stay)}
	h.sessions[id] = s
	if h.users[s.user] == nil {
		h.users[s.user] = make(map[string]*session)
	}
	h.users[s.user][id] = s
	in := h.stateOf(s.user).inboxes[s.user]
	if in == nil {
		return
	}
	now := time.Now().UnixMicro()
	for _, k := range in.messages {
		if !k.over(now) {
			send(k.Append(nil))
		}
	}
}

// Detach ends a session: it leaves its rooms.
func (h *Hub) Detach(id string) {
	h.mu.Lock()
	s := h.sessions[id]
	if s == nil {
		h.mu.Unlock()
		return
	}
	delete(h.sessions, id)
	if delete(h.users[s.user], id); len(h.users[s.user]) == 0 {
		delete(h.users, s.user)
	}
	var out []string
	for room := range s.rooms {
		h.together(room, id)
		out = append(out, room)
	}
	h.mu.Unlock()
	h.leaveAll(id, out)
}

// leaveTimeout bounds how long it is waited for room in the producer's buffer to say that a session has left. What that
// leaves undone sweep does.
const leaveTimeout = time.Second

func (h *Hub) leaveAll(session string, rooms []string) {
	ctx, cancel := context.WithTimeout(context.Background(), leaveTimeout)
	defer cancel()
	for _, room := range rooms {
		h.write(ctx, &wire.RoomRecord{Kind: wire.RecordLeave, Room: room, Session: session}, nil)
	}
}

// Presence notes that a session fell silent, or is heard of again. It does not wait.
func (h *Hub) Presence(session string, away bool) {
	select {
	case h.stirs <- stir{session, away}:
	default:
		h.m.dropped.Inc()
	}
}

func (h *Hub) stateOf(path string) *state {
	return h.states[kafka.PartitionFor(path, h.opts.Partitions)]
}

// write stores a record; failed is called when that did not succeed.
func (h *Hub) write(ctx context.Context, r *wire.RoomRecord, failed func()) {
	fail := func(err error) {
		h.m.unstored.Inc()
		h.log.Debug("record not stored", "kind", r.Kind, "error", err)
		if failed != nil {
			failed()
		}
	}
	key := recordKey(r)
	r.Time = time.Now().UnixMicro()
	value, err := r.Append(nil)
	if err != nil {
		fail(err)
		return
	}
	record := kafka.Record{Time: r.Time / 1000, Key: []byte(key), Value: value}
	err = h.opts.Producer.Produce(ctx, wire.TopicMessages, kafka.PartitionFor(key, h.opts.Partitions), []kafka.Record{record},
		func(_ int64, err error) {
			if err != nil {
				fail(err)
			}
		})
	if err != nil {
		fail(err)
	}
}
