package device

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"weir/wire"
)

// busy has a server drop what comes faster than so many messages a second, after four times as many at once. names: it says
// which.
func (s *roomServer) busy(rate float64, names bool) (dropped *int) {
	dropped = new(int)
	left, since := 4*rate, time.Now()
	answer := s.heard
	s.heard = func(p *livePeer, kind string, payload json.RawMessage) bool {
		left, since = min(left+rate*time.Since(since).Seconds(), 4*rate), time.Now()
		if left < 1 {
			*dropped++
			refusal := &wire.ErrorMsg{Error: *wire.NewError(wire.CodeOverloaded, "")}
			if m, err := wire.DecodeClientMessage([]byte(p.newestText())); err == nil && names {
				refusal.ID, refusal.Room = m.SubscriptionID(), m.Room.Room
			}
			p.write(refusal)
			return true
		}
		left--
		return answer(p, kind, payload)
	}
	return dropped
}

func sendMany(t *testing.T, l *Live, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			if _, err := l.Send(ctx, Outgoing{Target: Target{Room: "p/ops"}, Type: "chat", ID: fmt.Sprint(i)}); err != nil {
				t.Errorf("message %d: %v", i, err)
			}
		})
	}
	all.Wait()
}

func TestMessagesAreSentNoFasterThanServersTakeThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newRoomServer()
		dropped := s.busy(50, true)
		l := startLive(t, s.liveServer, func(o *LiveOptions) { o.Credit = 4 })
		sub := follow(t, l, SubscribeOptions{})
		r := join(t, l, "p/ops", 0)
		next(t, sub)
		began := time.Now()
		sendMany(t, l, 1000)
		if *dropped > 0 || len(s.history) != 1000 || len(s.dialled()) != 1 {
			t.Errorf("%d messages dropped, %d stored, %d connections", *dropped, len(s.history), len(s.dialled()))
		}
		if d := time.Since(began); d < 19*time.Second || d > 20*time.Second {
			t.Errorf("1000 messages took %v", d)
		}
		for range 1000 {
			event(t, r)
		}
		finishLive(s.liveServer, l)
	})
}

func TestWhatTheServerDropsIsSaidAgain(t *testing.T) {
	for _, names := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			s := newRoomServer()
			dropped := s.busy(5, names)
			l := startLive(t, s.liveServer, nil)
			sendMany(t, l, 300)
			// Servers give up on who makes 50 mistakes at once, and then more than one a second.
			if *dropped == 0 || *dropped > 50 || len(s.history) != 300 {
				t.Errorf("%d messages dropped, %d stored", *dropped, len(s.history))
			}
			finishLive(s.liveServer, l)
		})
	}
}

func TestAServerThatWasSlowForAWhileIsSentToAsFastAgain(t *testing.T) {
	p := pace{}
	now := time.Now()
	p.begin(50, now)
	for range 40 { // together
		p.slow(now)
	}
	if p.rate != 25 || p.wait(now) < sendWait {
		t.Errorf("%+v", p)
	}
	for range 10 {
		now = now.Add(2 * sendWait)
		p.slow(now)
	}
	if p.rate != 1 {
		t.Errorf("%+v", p)
	}
	for range 6 {
		now = now.Add(slowFor)
		p.wait(now)
	}
	if p.rate != 50 || p.wait(now) != 0 {
		t.Errorf("%+v", p)
	}
}

func TestRequestsThatTheServerDroppedAreSaidAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newRoomServer()
		answer, dropped := s.heard, make(map[string]bool)
		s.heard = func(p *livePeer, kind string, payload json.RawMessage) bool {
			if dropped[kind] || kind == wire.TypePing {
				return answer(p, kind, payload)
			}
			dropped[kind] = true
			p.write(&wire.ErrorMsg{Error: *wire.NewError(wire.CodeOverloaded, "")})
			return true
		}
		l := startLive(t, s.liveServer, nil)
		next(t, follow(t, l, SubscribeOptions{}))
		join(t, l, "p/ops", 0)
		sendMany(t, l, 1)
		if _, err := l.Rooms(t.Context()); !errors.Is(err, errLost) { // who asks is told
			t.Errorf("%v", err)
		}
		if _, err := l.Rooms(t.Context()); err != nil || len(dropped) != 5 || len(s.dialled()) != 1 {
			t.Errorf("%v; dropped %v", err, dropped)
		}
		finishLive(s.liveServer, l)
	})
}

func TestWhatIsAcknowledgedWithoutAConnectionIsToldToTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newRoomServer()
		l := startLive(t, s.liveServer, nil)
		sub := follow(t, l, SubscribeOptions{})
		next(t, sub)
		for _, version := range []int64{5, 3} {
			l.Ack(&Message{Target: Target{User: "p/_users/me"}, Version: version})
		}
		synctest.Wait()
		if got := s.peer().said("ack"); len(got) != 1 || got[0] != `{"type":"ack","payload":{"version":5}}` {
			t.Errorf("%q", got)
		}
		s.peer().cut()
		synctest.Wait()
		l.Ack(&Message{Target: Target{User: "p/_users/me"}, Version: 7})
		time.Sleep(5 * time.Second)
		if got := s.peer().said("ack"); len(got) != 1 || got[0] != `{"type":"ack","payload":{"version":7}}` {
			t.Errorf("%q", got)
		}
		finishLive(s.liveServer, l)
	})
}
