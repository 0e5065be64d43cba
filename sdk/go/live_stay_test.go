package device

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"weir/wire"
)

func TestARoomIsJoinedAgainAfterTheNewestMessageOfIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newRoomServer()
		l := startLive(t, s.liveServer, nil)
		r := join(t, l, "p/ops", 0)
		s.post("p/ops", "a", "1")
		if _, err := l.Send(t.Context(), Outgoing{Target: Target{Room: "p/ops"}, Type: "chat", ID: "b", ExcludeSelf: true}); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		s.peer().cut()
		time.Sleep(5 * time.Second)
		want := []string{`{"type":"join","payload":{"room":"p/ops","after":20}}`}
		if got := s.peer().said("join"); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%q, want %q", got, want)
		}
		s.peer().write(&s.history[1]) // told before
		synctest.Wait()
		if a, b := event(t, r), event(t, r); a.Message.ID != "a" || b.Message.ID != "b" || len(r.events) > 0 {
			t.Errorf("%+v, %+v and %d more", a, b, len(r.events))
		}
		finishLive(s.liveServer, l)
	})
}

func TestAServerThatBeginsAnewHasOtherVersions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newRoomServer()
		var told []string
		l := startLive(t, s.liveServer, func(o *LiveOptions) { o.OnMessage = func(m Message) { told = append(told, m.ID) } })
		for range 5 {
			s.post("p/ops", "old", "1")
		}
		r, err := l.Join(t.Context(), "p/ops", JoinOptions{Last: 10})
		if err != nil {
			t.Fatal(err)
		}
		for range 5 {
			event(t, r)
		}
		toUser := &Message{Target: Target{User: "p/_users/me"}, Version: 900, ID: "u1", Payload: json.RawMessage("1")}
		s.peer().write(toUser)
		waiting := make(chan error, 1)
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		go func() { waiting <- r.WaitFor(ctx, 60) }()
		synctest.Wait()
		s.mu.Lock()
		s.epoch = "e2"
		s.mu.Unlock()
		s.history = nil
		s.peer().cut()
		s.post("p/ops", "new", "1")
		if err := <-waiting; !errors.Is(err, errEpoch) {
			t.Errorf("a version of before: %v", err)
		}
		if a, b := event(t, r), event(t, r); !a.Missed || b.Message == nil || b.Message.ID != "new" {
			t.Errorf("%+v, %+v", a, b)
		}
		toUser.ID, toUser.Version = "u2", 3
		s.peer().write(toUser)
		synctest.Wait()
		if fmt.Sprint(told) != "[u1 u2]" {
			t.Errorf("told %q", told)
		}
		finishLive(s.liveServer, l)
	})
}

func TestWhatIsRefusedForTheMomentIsAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newRoomServer()
		s.crowded.Store(2)
		l := startLive(t, s.liveServer, nil)
		began := time.Now()
		r := join(t, l, "p/ops", 0)
		if d := time.Since(began); d != 2*crowdedRoomWait || len(s.peer().said("join")) != 3 {
			t.Errorf("joined after %v, %q", d, s.peer().said("join"))
		}
		s.crowded.Store(2)
		began = time.Now()
		if _, err := r.Send(t.Context(), "chat", 1); err != nil || time.Since(began) != 2*sendWait || len(s.history) != 1 {
			t.Errorf("sent after %v, %v", time.Since(began), err)
		}
		finishLive(s.liveServer, l)
	})
}

func TestAStayThatTheServerEndsIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newRoomServer()
		l := startLive(t, s.liveServer, nil)
		r, other := join(t, l, "p/ops", 0), join(t, l, "p/other", 0)
		s.peer().write(&wire.Left{Room: "p/ops"})
		var refused *Error
		if _, err := r.Next(t.Context()); !errors.As(err, &refused) || refused.Code != wire.CodeForbidden {
			t.Errorf("%v", err)
		}
		s.post("p/other", "a", "1")
		event(t, other)
		finishLive(s.liveServer, l)
	})
}

func TestARoomMayBeLeftAndJoinedAgainBeforeTheServerHasAnswered(t *testing.T) {
	for _, refused := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s := newRoomServer()
			var asked []string
			s.heard = func(_ *livePeer, kind string, _ json.RawMessage) bool {
				if kind == wire.TypeJoin || kind == wire.TypeLeave {
					asked = append(asked, kind)
					return true
				}
				return false
			}
			l := startLive(t, s.liveServer, nil)
			ctx, cancel := context.WithCancel(t.Context())
			result := make(chan error, 1)
			go func() {
				_, err := l.Join(ctx, "p/ops", JoinOptions{})
				result <- err
			}()
			synctest.Wait()
			cancel()
			if err := <-result; !errors.Is(err, context.Canceled) {
				t.Errorf("%v", err)
			}
			rooms := make(chan *Room, 1)
			go func() { rooms <- join(t, l, "p/ops", 0) }()
			synctest.Wait()
			if got := strings.Join(asked, " "); got != "join leave join" {
				t.Errorf("asked %s", got)
			}
			p := s.peer()
			if refused {
				p.write(&wire.ErrorMsg{Error: *wire.NewError(wire.CodeBanned, "payload.room"), Room: "p/ops"})
			} else {
				p.write(&wire.Joined{Room: "p/ops", Version: 10})
			}
			p.write(&wire.Left{Room: "p/ops"})
			synctest.Wait()
			if len(rooms) > 0 {
				t.Error("what was asked before was taken for the answer")
			}
			p.write(&wire.Joined{Room: "p/ops", Version: 10})
			synctest.Wait()
			if len(rooms) == 0 {
				t.Fatal("not joined")
			}
			r := <-rooms
			p.write(&Message{Target: Target{Room: "p/ops"}, Version: 20, Payload: json.RawMessage("1")})
			if e := event(t, r); e.Message == nil || len(l.leaving) > 0 {
				t.Errorf("%+v; answers awaited: %v", e, l.leaving)
			}
			finishLive(s.liveServer, l)
		})
	}
}

func TestAModeratorIsToldWhatCameOfIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newRoomServer()
		l := startLive(t, s.liveServer, nil)
		r := join(t, l, "p/ops", 0)
		for _, room := range []string{"p/ops", "p/elsewhere"} {
			var refused *Error
			if _, err := l.Kick(t.Context(), room, "p/_users/boss", ""); !errors.As(err, &refused) || refused.Code != wire.CodeForbidden {
				t.Errorf("%v", err)
			}
		}
		if n := l.Stats(); n.Errors != 0 || len(r.events) > 0 {
			t.Errorf("%+v", n)
		}
		s.crowded.Store(1) // at first, it is not stored
		if version, err := l.Kick(t.Context(), "p/ops", "p/_users/bob", ""); err != nil || version != bannedAt {
			t.Errorf("%d, %v", version, err)
		}
		if err := r.WaitFor(t.Context(), bannedAt); err != nil { // what was before it has been told
			t.Error(err)
		}
		s.mute.Store(true) // the receipt is lost with the connection
		go func() {
			synctest.Wait()
			s.mute.Store(false)
			s.peer().cut()
		}()
		if version, err := l.Kick(t.Context(), "p/ops", "p/_users/bob", ""); err != nil || version != bannedAt {
			t.Errorf("%d, %v", version, err)
		}
		if said := s.peer().said("kick"); len(said) != 1 || len(s.dialled()) != 2 {
			t.Errorf("%q on connection %d", said, len(s.dialled()))
		}
		finishLive(s.liveServer, l)
		if _, err := l.Kick(t.Context(), "p/ops", "p/_users/boss", ""); !errors.Is(err, ErrClosed) {
			t.Errorf("%v", err)
		}
	})
}

func TestWhatNoServerCanReadIsRefusedHere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newRoomServer()
		l := startLive(t, s.liveServer, nil)
		r := join(t, l, "p/ops", 0)
		for path, m := range map[string]Outgoing{
			"payload.payload": {Target: Target{Room: "p/ops"}, Type: "chat", Payload: strings.Repeat("x", wire.MaxRoomPayload)},
			"payload.type":    {Target: Target{Room: "p/ops"}},
			"payload.id":      {Target: Target{Room: "p/ops"}, Type: "chat", ID: strings.Repeat("x", 100)},
			"payload.room":    {Type: "chat"},
			"payload.ttl_ms":  {Target: Target{Room: "p/ops"}, Type: "chat", TTL: 1000 * time.Hour},
		} {
			var refused *Error
			if _, err := l.Send(t.Context(), m); !errors.As(err, &refused) || refused.Path != path {
				t.Errorf("%s: %v", path, err)
			}
		}
		var refused *Error
		if _, err := l.Join(t.Context(), "", JoinOptions{}); !errors.As(err, &refused) || refused.Path != "payload.room" {
			t.Errorf("%v", err)
		}
		if _, err := l.Ban(t.Context(), "p/ops", "", 0, ""); !errors.As(err, &refused) || refused.Path != "payload.user" {
			t.Errorf("%v", err)
		}
		if _, err := l.Send(t.Context(), Outgoing{Target: Target{Room: "p/ops"}, Type: "chat", Payload: func() {}}); err == nil {
			t.Error("sent a function")
		}
		if _, err := r.Send(t.Context(), "chat", strings.Repeat("x", wire.MaxRoomPayload-2)); err != nil || len(s.dialled()) != 1 {
			t.Errorf("%v", err)
		}
		finishLive(s.liveServer, l)
	})
}

func TestBroadcastsAreToldWhateverTheirVersions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newRoomServer()
		var got []string
		l := startLive(t, s.liveServer, func(o *LiveOptions) { o.OnMessage = func(m Message) { got = append(got, m.ID) } })
		next(t, follow(t, l, SubscribeOptions{}))
		s.peer().write(&Message{Target: Target{User: "p/_users/me"}, Version: 100, ID: "u", Payload: json.RawMessage("1")})
		// Of the tenant and of all: from two partitions.
		s.peer().write(&Message{Target: Target{Broadcast: true}, Version: 50, ID: "a", Payload: json.RawMessage("1")})
		s.peer().write(&Message{Target: Target{Broadcast: true}, Version: 3, ID: "b", Payload: json.RawMessage("1")})
		s.peer().write(&Message{Target: Target{Session: "s1"}, Version: 7, ID: "c", Payload: json.RawMessage("1")})
		synctest.Wait()
		if fmt.Sprint(got) != "[u a b c]" {
			t.Errorf("%q", got)
		}
		finishLive(s.liveServer, l)
	})
}
