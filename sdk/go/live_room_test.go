package device

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"weir/wire"
)

// roomServer answers what concerns rooms: there is one history for all, and whoever joins is told the last messages.
type roomServer struct {
	*liveServer
	history []Message
	ids     map[string]int64
	mute    atomic.Bool  // no receipts
	crowded atomic.Int32 // so many joins and messages are refused for the moment
}

const roomHistory = 100

func newRoomServer() *roomServer {
	s := &roomServer{liveServer: newLiveServer(), ids: make(map[string]int64)}
	s.heard = s.hear
	return s
}

// bannedAt is the version of every kick and ban.
const bannedAt = 77

func (s *roomServer) hear(p *livePeer, kind string, _ json.RawMessage) bool {
	c, err := wire.DecodeClientMessage([]byte(p.newestText()))
	if err != nil {
		panic(err)
	}
	m := &c.Room
	refuse := func(code, path string) {
		p.write(&wire.ErrorMsg{Error: *wire.NewError(code, path), ID: m.ID, Room: m.Room})
	}
	switch {
	case kind == wire.TypeJoin && m.Room == "p/secret", kind == wire.TypeKick && m.User == "p/_users/boss":
		refuse(wire.CodeForbidden, "payload.room")
	case kind == wire.TypeJoin && s.crowded.Add(-1) >= 0:
		refuse(wire.CodeNotStored, "payload.room")
	case kind == wire.TypeJoin:
		s.join(p, m)
	case kind == wire.TypeLeave:
		p.write(&wire.Left{Room: m.Room})
	case kind == wire.TypeSend && m.Type == "bad":
		refuse(wire.CodeForbidden, "payload.type")
	case kind == wire.TypeSend && s.crowded.Add(-1) >= 0:
		refuse(wire.CodeNotStored, "")
	case kind == wire.TypeSend:
		version, known := s.ids[m.ID]
		if !known {
			version = s.post(m.Room, m.ID, string(m.Payload))
			s.ids[m.ID] = version
		}
		if !s.mute.Load() {
			p.write(&wire.MessageReceipt{ID: m.ID, Version: version})
		}
	case (kind == wire.TypeKick || kind == wire.TypeBan) && s.crowded.Add(-1) >= 0:
		refuse(wire.CodeNotStored, "payload.room")
	case (kind == wire.TypeKick || kind == wire.TypeBan) && !s.mute.Load():
		p.write(&wire.MessageReceipt{ID: m.ID, Version: bannedAt})
	case kind == wire.TypeKick || kind == wire.TypeBan:
	case kind == wire.TypeRooms:
		p.write(&wire.RoomList{Rooms: []RoomInfo{{Room: "p/ops", Members: 2, Version: 40}}})
	default:
		return false
	}
	return true
}

// join answers as a server that keeps roomHistory messages.
func (s *roomServer) join(p *livePeer, m *wire.RoomRequest) {
	told := make([]*Message, 0)
	gap := false
	for i := range s.history {
		if !m.HasAfter || s.history[i].Version > m.After {
			told = append(told, &s.history[i])
		}
	}
	most := roomHistory
	if m.HasLast {
		most = min(most, m.Last)
	}
	if over := len(told) - most; over > 0 {
		told, gap = told[over:], m.HasAfter
	}
	p.write(&wire.Joined{
		Room: m.Room, Messages: told, Version: int64(len(s.history)) * 10, Gap: gap,
		Members: []Member{
			{User: "p/_users/me", Session: fmt.Sprintf("s%d", p.number)}, {User: "p/_users/bob", Session: "b1", Away: true},
		},
	})
}

// post stores a message and tells whoever is connected.
func (s *roomServer) post(room, id, payload string) int64 {
	m := Message{Target: Target{Room: room}, ID: id, Type: "chat", Payload: json.RawMessage(payload), Version: int64(len(s.history)+1) * 10}
	s.history = append(s.history, m)
	for _, p := range s.open() {
		p.write(&m)
	}
	return m.Version
}

func join(t *testing.T, l *Live, room string, last int) *Room {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	r, err := l.Join(ctx, room, JoinOptions{Last: last})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func event(t *testing.T, r *Room) RoomEvent {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	e, err := r.Next(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestARoomTellsItsLastMessagesAndThoseThatFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newRoomServer()
		for i := range 5 {
			s.post("p/ops", fmt.Sprint(i), fmt.Sprint(i))
		}
		l := startLive(t, s.liveServer, nil)
		r := join(t, l, "p/ops", 2)
		if again := join(t, l, "p/ops", 2); again != r || r.Name() != "p/ops" {
			t.Error("joined twice")
		}
		version, err := r.Send(t.Context(), "chat", "hello")
		if err != nil || version != 60 {
			t.Fatalf("%d, %v", version, err)
		}
		if err := r.WaitFor(t.Context(), version); err != nil {
			t.Error(err)
		}
		var got []string
		for range 3 {
			got = append(got, string(event(t, r).Message.Payload))
		}
		if strings.Join(got, " ") != `3 4 "hello"` {
			t.Errorf("%q", got)
		}
		if m := r.Members(); len(m) != 2 || m[0].User != "p/_users/bob" {
			t.Errorf("%+v", m)
		}
		s.peer().text(`{"type":"presence","payload":{"room":"p/ops","event":"active","user":"p/_users/bob","session":"b1","time":5}}`)
		if e := event(t, r); e.Presence == nil || e.Presence.Event != "active" || r.Members()[0].Away {
			t.Errorf("%+v", e)
		}
		r.Leave()
		synctest.Wait()
		if _, err := r.Next(t.Context()); !errors.Is(err, ErrClosed) || len(s.peer().said("leave")) != 1 {
			t.Errorf("%v", err)
		}
		finishLive(s.liveServer, l)
	})
}

func TestARoomIsJoinedAgainAndMissedMessagesAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newRoomServer()
		l := startLive(t, s.liveServer, nil)
		r := join(t, l, "p/ops", 0)
		s.post("p/ops", "a", "1")
		event(t, r)
		s.peer().cut()
		synctest.Wait()
		s.post("p/ops", "b", "2")
		s.post("p/ops", "c", "3")
		if a, b := event(t, r), event(t, r); a.Message.ID != "b" || b.Message.ID != "c" {
			t.Errorf("%+v, %+v", a, b)
		}
		s.peer().cut()
		synctest.Wait()
		for i := range roomHistory + 5 {
			s.post("p/ops", fmt.Sprint(i), "4")
		}
		if e := event(t, r); !e.Missed {
			t.Errorf("%+v", e)
		}
		for i := range roomHistory {
			if e := event(t, r); e.Message.ID != fmt.Sprint(i+5) {
				t.Fatalf("%+v", e)
			}
		}
		finishLive(s.liveServer, l)
	})
}

func TestMessagesOfARoomThatNobodyReadsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newRoomServer()
		l := startLive(t, s.liveServer, nil)
		r := join(t, l, "p/ops", 0)
		for i := range 3 * maxRoomEvents {
			s.post("p/ops", fmt.Sprint(i), "0")
		}
		synctest.Wait()
		if len(r.events) > maxRoomEvents {
			t.Errorf("%d events wait", len(r.events))
		}
		if e := event(t, r); !e.Missed {
			t.Errorf("%+v", e)
		}
		finishLive(s.liveServer, l)
	})
}

func TestASendSurvivesALostConnectionAndIsStoredOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newRoomServer()
		s.mute.Store(true)
		l := startLive(t, s.liveServer, nil)
		r := join(t, l, "p/ops", 0)
		go func() {
			time.Sleep(time.Second)
			s.mute.Store(false)
			s.peer().cut()
		}()
		version, err := r.Send(t.Context(), "chat", 1)
		if err != nil || version != 10 || len(s.history) != 1 {
			t.Errorf("%d, %v, %d messages", version, err, len(s.history))
		}
		s.mute.Store(true)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := r.Send(ctx, "chat", 2); !errors.Is(err, context.DeadlineExceeded) || len(l.sends) != 0 {
			t.Errorf("%v", err)
		}
		var refused *Error
		if _, err := r.Send(t.Context(), "bad", 1); !errors.As(err, &refused) || refused.Code != wire.CodeForbidden {
			t.Errorf("%v", err)
		}
		finishLive(s.liveServer, l)
	})
}

func TestARoomThatIsRefusedLeavesTheOthersAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newRoomServer()
		l := startLive(t, s.liveServer, nil)
		results := make(chan error, 3)
		for _, room := range []string{"p/a", "p/secret", "p/z"} {
			go func() {
				_, err := l.Join(t.Context(), room, JoinOptions{})
				results <- err
			}()
		}
		refused := 0
		for range 3 {
			var e *Error
			if err := <-results; errors.As(err, &e) && e.Code == wire.CodeForbidden {
				refused++
			} else if err != nil {
				t.Error(err)
			}
		}
		if refused != 1 || len(l.rooms) != 2 {
			t.Errorf("%d refused, %d rooms", refused, len(l.rooms))
		}
		finishLive(s.liveServer, l)
	})
}

func TestWhoIsKickedIsOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newRoomServer()
		l := startLive(t, s.liveServer, nil)
		r := join(t, l, "p/ops", 0)
		s.peer().text(`{"type":"presence","payload":{"room":"p/ops","event":"kicked","user":"p/_users/bob","session":"b1","time":5}}`)
		event(t, r)
		if len(r.Members()) != 1 {
			t.Errorf("%+v", r.Members())
		}
		s.peer().text(`{"type":"presence","payload":{"room":"p/ops","event":"kicked","user":"p/_users/me","session":"s1","time":5}}`)
		event(t, r)
		if _, err := r.Next(t.Context()); !errors.Is(err, ErrKicked) {
			t.Errorf("%v", err)
		}
		finishLive(s.liveServer, l)
	})
}

func TestMessagesToTheUserAreToldOnceAndAcknowledged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newRoomServer()
		var got []Message
		var l *Live
		l = startLive(t, s.liveServer, func(o *LiveOptions) {
			o.OnMessage = func(m Message) {
				got = append(got, m)
				l.Ack(&m)
			}
		})
		sub := follow(t, l, SubscribeOptions{})
		next(t, sub)
		const text = `{"type":"message","payload":{"user":"p/_users/me","version":5,"id":"x","type":"chat","payload":1,"from":{"user":"p/_users/bob"}}}`
		s.peer().text(text)
		s.peer().text(text)
		s.peer().text(`{"type":"message","payload":{"broadcast":true,"version":3,"id":"y","type":"chat","payload":1,"from":{}}}`)
		synctest.Wait()
		if len(got) != 2 || got[0].From.User != "p/_users/bob" || !got[1].Broadcast || len(s.peer().said("ack")) != 1 {
			t.Errorf("%+v", got)
		}
		if rooms, err := l.Rooms(t.Context()); err != nil || len(rooms) != 1 || rooms[0].Members != 2 {
			t.Errorf("%+v, %v", rooms, err)
		}
		if version, err := l.Ban(t.Context(), "p/ops", "p/_users/bob", time.Minute, "noise"); err != nil || version != bannedAt {
			t.Error(version, err)
		}
		const want = `,"room":"p/ops","user":"p/_users/bob","for_ms":60000,"reason":"noise"}}`
		if got := s.peer().said("ban"); len(got) != 1 || !strings.HasPrefix(got[0], `{"type":"ban","payload":{"id":"`) || !strings.HasSuffix(got[0], want) {
			t.Errorf("%q", got)
		}
		finishLive(s.liveServer, l)
	})
}
