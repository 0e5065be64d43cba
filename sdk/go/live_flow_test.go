package device

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"weir/telemetry"
	"weir/wire"
)

func TestCreditIsGrantedWhenFramesWereRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newLiveServer()
		s.add("p/a/t", 1, 1)
		l := startLive(t, s, func(o *LiveOptions) { o.Credit = 4 })
		sub := follow(t, l, SubscribeOptions{})
		next(t, sub)
		synctest.Wait()
		p := s.peer()
		if got := p.all(); got[0] != `{"type":"credit","payload":{"frames":4}}` {
			t.Fatalf("%q", got)
		}
		for range 3 {
			s.add("p/a/t", 1, 1)
			s.flush()
		}
		synctest.Wait()
		next(t, sub) // three frames in one, of which nobody knows yet that they are done with
		synctest.Wait()
		if got := p.said("credit"); len(got) != 1 {
			t.Errorf("%q", got)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := sub.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
		p.write(&wire.Updates{View: 1, Rows: []wire.Row{{Update: &Update{Since: 5, Version: 10}}}}) // tells nothing
		p.write(&wire.Updates{View: 1})
		synctest.Wait()
		if got := p.said("credit"); got[len(got)-1] != `{"type":"credit","payload":{"frames":9}}` {
			t.Errorf("%q", got)
		}
		s.add("p/a/t", 1, 1)
		s.flush()
		synctest.Wait()
		p.cut() // a new connection counts from 0, and the frame that was not read is none of its
		time.Sleep(5 * time.Second)
		next(t, sub)
		next2, cancel2 := context.WithTimeout(t.Context(), time.Second)
		defer cancel2()
		_, _ = sub.Next(next2)
		if got := s.peer().said("credit"); len(got) != 1 || got[0] != `{"type":"credit","payload":{"frames":4}}` {
			t.Errorf("%q", got)
		}
		finishLive(s, l)
	})
}

func TestCreditIsGrantedInSteps(t *testing.T) {
	for window, messages := range map[int]int{1: 65, 2: 65, 3: 33, 16: 9, 100: 2} {
		synctest.Test(t, func(t *testing.T) {
			s := newLiveServer()
			s.add("p/a/t", 1, 1)
			l := startLive(t, s, func(o *LiveOptions) { o.Credit = window })
			sub := follow(t, l, SubscribeOptions{})
			next(t, sub)
			for range 64 {
				s.add("p/a/t", 1, 1)
				s.flush()
				next(t, sub)
				synctest.Wait()
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if _, err := sub.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
			credits := s.peer().said("credit")
			if len(credits) != messages {
				t.Errorf("window %d: %d messages, want %d", window, len(credits), messages)
			}
			// The server may always send on when all was read.
			m, err := wire.DecodeClientMessage([]byte(credits[len(credits)-1]))
			if err != nil || m.Credit.Frames <= 64 {
				t.Errorf("window %d: %s", window, credits[len(credits)-1])
			}
			finishLive(s, l)
		})
	}
}

func TestCreditMayBeGrantedByHand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newLiveServer()
		l := startLive(t, s, func(o *LiveOptions) { o.ManualCredit = true })
		sub := follow(t, l, SubscribeOptions{})
		next(t, sub)
		l.Grant(2)
		synctest.Wait()
		l.Grant(5000)
		s.add("p/a/t", 1, 1)
		s.flush()
		synctest.Wait()
		got := s.peer().said("credit")
		if len(got) != 3 || got[0] != `{"type":"credit","payload":{"frames":0}}` || got[1] != `{"type":"credit","payload":{"frames":2}}` ||
			got[2] != `{"type":"credit","payload":{"frames":1000}}` {
			t.Errorf("%q", got)
		}
		s.peer().cut()
		time.Sleep(5 * time.Second)
		if got := s.peer().said("credit"); len(got) != 1 || got[0] != `{"type":"credit","payload":{"frames":999}}` {
			t.Errorf("%q", got)
		}
		finishLive(s, l)
	})
}

func TestWaitForSeesAWriteOfOnesOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newLiveServer()
		s.add("p/a/t", 1, 1)
		l := startLive(t, s, nil)
		sub := follow(t, l, SubscribeOptions{Patterns: []string{"p/#"}})
		result := make(chan error, 1)
		go func() { result <- sub.WaitFor(t.Context(), "p/a/t", 20) }()
		synctest.Wait()
		if len(result) > 0 {
			t.Fatal("before it was written")
		}
		s.add("p/a/t", 1, 1)
		s.flush()
		if err := <-result; err != nil {
			t.Error(err)
		}
		if err := sub.WaitFor(t.Context(), "p/a/t", 20); err != nil {
			t.Error(err)
		}
		if err := sub.WaitFor(t.Context(), "q/a/t", 20); err == nil {
			t.Error("a series that is not followed")
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := sub.WaitFor(ctx, "p/a/t", 30); !errors.Is(err, context.DeadlineExceeded) || len(sub.waiters) != 0 {
			t.Errorf("%v", err)
		}
		go func() { result <- sub.WaitFor(t.Context(), "p/a/t", 30) }()
		synctest.Wait()
		finishLive(s, l)
		if err := <-result; !errors.Is(err, ErrClosed) {
			t.Errorf("%v", err)
		}
	})
}

func TestAlertsThatNobodyReadsAreBoundedAndNoneIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newLiveServer()
		s.add("p/a/t", 1, 1)
		l := startLive(t, s, nil)
		alerts := 0
		sub := follow(t, l, SubscribeOptions{OnAlert: func(Alert) { alerts++ }})
		next(t, sub)
		const all = maxAlerts*2 + 100
		for i := range all {
			s.alert(fmt.Sprint(i/2), "p/a/t", []telemetry.Phase{telemetry.Firing, telemetry.Resolved}[i%2])
		}
		s.add("p/a/t", 7, 1)
		s.flush()
		synctest.Wait()
		if n := sub.Stats(); n.Alerts != maxAlerts || len(s.peer().said("unsubscribe")) != 1 {
			t.Fatalf("%+v", n)
		}
		readings := uint64(0)
		for alerts < all || readings < 12 {
			for _, u := range next(t, sub).Rows {
				readings += u.N
			}
			synctest.Wait() // the next part is here
			if s.add("p/a/t", 1, 1); readings == 0 {
				s.add("p/a/t", 4, 1)
			}
			s.flush()
		}
		if n := sub.Stats(); n.Alerts != all || n.Resyncs != 0 || n.Replays != 0 {
			t.Errorf("%+v, %d readings", n, readings)
		}
		finishLive(s, l)
	})
}

func TestALoopOverUpdatesGoesOnWhereItWasLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newLiveServer()
		for i := range 5 {
			s.add(fmt.Sprintf("p/d%d/t", i), 1, 1)
		}
		l := startLive(t, s, nil)
		sub := follow(t, l, SubscribeOptions{})
		var got []string
		for range 5 {
			for u := range sub.Updates(t.Context()) {
				got = append(got, u.Series)
				break
			}
		}
		if fmt.Sprint(got) != "[p/d0/t p/d1/t p/d2/t p/d3/t p/d4/t]" {
			t.Errorf("%q", got)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		for range sub.Updates(ctx) {
			t.Error("an update from nowhere")
		}
		if sub.Err() != nil {
			t.Error(sub.Err())
		}
		finishLive(s, l)
	})
}

func TestTheServersFiguresCanBeAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newLiveServer()
		old := false
		s.heard = func(p *livePeer, kind string, _ json.RawMessage) bool {
			switch {
			case kind == wire.TypeStats && old:
				p.write(&wire.ErrorMsg{Error: *wire.NewError(wire.CodeMessageType, "type")})
			case kind == wire.TypeStats:
				p.write(&wire.Stats{RTTMS: 2, Subscriptions: []wire.SubscriptionStats{{ID: "1", Merged: 5}}})
			}
			return kind == wire.TypeStats
		}
		l := startLive(t, s, nil)
		next(t, follow(t, l, SubscribeOptions{}))
		n, err := l.ServerStats(t.Context())
		if err != nil || n.RTTMS != 2 || n.Subscriptions[0].Merged != 5 {
			t.Errorf("%+v, %v", n, err)
		}
		old = true
		if _, err := l.ServerStats(t.Context()); err == nil {
			t.Error("no error of a server that knows no figures")
		}
		finishLive(s, l)
	})
}

func TestASubscriptionMayGoOnFromTheCursorOfAnEarlierProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newLiveServer()
		s.add("p/a/t", 1, 1)
		l := startLive(t, s, nil)
		sub := follow(t, l, SubscribeOptions{})
		next(t, sub)
		cursor := sub.Cursor()
		finishLive(s, l)
		s.add("p/a/t", 4, 1)
		l = startLive(t, s, nil)
		sub = follow(t, l, SubscribeOptions{Cursor: cursor})
		if c := next(t, sub); c.Reset || !c.Resumed || len(c.Rows) != 1 || c.Rows[0].N != 4 || c.Rows[0].Since != 10 {
			t.Errorf("%+v", c)
		}
		finishLive(s, l)
	})
}
