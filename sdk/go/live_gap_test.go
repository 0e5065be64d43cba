package device

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"weir/telemetry"
	"weir/wire"
)

// deaf has what happens meanwhile not told on this connection.
func (p *livePeer) deaf(run func()) {
	p.mu.Lock()
	subs := p.subs
	p.subs = make(map[string]int)
	p.mu.Unlock()
	run()
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	for id := range subs {
		p.subs[id] = len(p.s.log)
	}
}

func TestWhatWasLostOnAConnectionIsToldFromTheNewestCursorOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newLiveServer()
		s.add("p/a/t", 1, 1)
		s.add("p/b/t", 1, 1)
		l := startLive(t, s, nil)
		var reasons []string
		sub := follow(t, l, SubscribeOptions{OnResync: func(reason string) { reasons = append(reasons, reason) }})
		next(t, sub)
		s.add("p/b/t", 2, 1)
		s.flush()
		synctest.Wait()
		cursor := sub.Cursor()
		s.peer().deaf(func() {
			s.add("p/b/t", 3, 1)
			s.alert("x", "p/b/t", telemetry.Firing)
			s.alert("x", "p/b/t", telemetry.Resolved)
		})
		s.add("p/a/t", 4, 1) // joins up, and is of a frame in which another row does not
		s.add("p/b/t", 5, 1)
		s.flush()
		synctest.Wait()
		c := next(t, sub)
		rows := make(map[string]uint64)
		for i := range c.Rows {
			rows[c.Rows[i].Series] += c.Rows[i].N
		}
		if c.Reset || !c.Resumed || len(c.Rows) != 2 || rows["p/a/t"] != 4 || rows["p/b/t"] != 10 {
			t.Errorf("%+v", c)
		}
		if len(c.Alerts) != 2 || c.Alerts[0].Phase != telemetry.Firing || c.Alerts[1].Phase != telemetry.Resolved || len(reasons) > 0 {
			t.Errorf("%+v; resyncs %q", c.Alerts, reasons)
		}
		n, asked := sub.Stats(), s.peer().said("subscribe")
		if n.Gaps != 1 || n.Resumes != 1 || n.Resyncs != 0 || n.Readings != 16 || len(asked) != 2 || !strings.Contains(asked[1], `"cursor":"`+cursor+`"`) {
			t.Errorf("%+v; asked %q", n, asked)
		}
		finishLive(s, l)
	})
}

func TestAChainThatBreaksAgainAfterTheSameCursorBeginsAnew(t *testing.T) {
	for name, row := range map[string]wire.Row{
		"gap":     {Update: &Update{Since: 15, Version: 20}},
		"overlap": {Update: &Update{Since: 5, Version: 20}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newLiveServer()
				s.add("p/a/t", 1, 1)
				l := startLive(t, s, nil)
				sub := follow(t, l, SubscribeOptions{})
				next(t, sub)
				for round := range 2 {
					p := s.peer()
					p.write(&wire.Updates{View: p.newest(), Rows: []wire.Row{{Update: &Update{Since: 5, Version: 10}}}}) // a replay
					p.write(&wire.Updates{View: p.newest(), Cursor: "e1:9", Rows: []wire.Row{row}})
					c := next(t, sub)
					if again := round == 1; c.Reset != again || c.Resumed == again || again && (c.Reason != "gap" || len(c.Rows) != 1) {
						t.Errorf("%d: %+v", round, c)
					}
				}
				if n := sub.Stats(); n.Gaps != 2 || n.Replays != 2 || n.Resyncs != 1 || n.Resumes != 1 || len(s.dialled()) != 1 {
					t.Errorf("%+v", n)
				}
				p := s.peer()
				asked, ended := p.said("subscribe"), p.said("unsubscribe")
				if len(asked) != 3 || !strings.Contains(asked[1], `"id":"2","patterns":["#"],"cursor":"e1:1"`) || strings.Contains(asked[2], "cursor") ||
					fmt.Sprint(ended) != `[{"type":"unsubscribe","payload":{"id":"1"}} {"type":"unsubscribe","payload":{"id":"2"}}]` {
					t.Errorf("%q, %q", asked, ended)
				}
				if d := time.Since(s.dialled()[0]); d != brokenWait {
					t.Errorf("after %v, want to wait %v before the second time", d, brokenWait)
				}
				finishLive(s, l)
			})
		})
	}
}

func TestAResumeThatDoesNotJoinUpBeginsAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newLiveServer()
		s.add("p/a/t", 1, 1)
		l := startLive(t, s, nil)
		sub := follow(t, l, SubscribeOptions{})
		next(t, sub)
		s.peer().deaf(func() { s.add("p/a/t", 1, 1) })
		s.add("p/b/t", 1, 1) // its cursor is after what was lost
		s.flush()
		synctest.Wait()
		next(t, sub)
		s.add("p/a/t", 1, 1)
		s.flush()
		c := next(t, sub)
		if c.Resumed && len(c.Rows) == 0 { // said before the rows that do not join up
			c = next(t, sub)
		}
		if !c.Reset || c.Reason != "gap" || len(c.Rows) != 2 {
			t.Errorf("%+v", c)
		}
		asked := s.peer().said("subscribe")
		if n := sub.Stats(); n.Gaps != 2 || n.Resyncs != 1 || len(asked) != 3 || !strings.Contains(asked[1], `"cursor":"e1:3"`) || strings.Contains(asked[2], "cursor") {
			t.Errorf("%+v; asked %q", n, asked)
		}
		finishLive(s, l)
	})
}

func TestAChainThatAlwaysBreaksIsAskedForLaterAndLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newLiveServer()
		s.add("p/a/t", 1, 1)
		l := startLive(t, s, nil)
		sub := follow(t, l, SubscribeOptions{})
		next(t, sub)
		breaks := func() (waited time.Duration) {
			p, began := s.peer(), time.Now()
			p.write(&wire.Updates{View: p.newest(), Cursor: "e1:9", Rows: []wire.Row{{Update: &Update{Since: 15, Version: 20}}}})
			next(t, sub)
			return time.Since(began)
		}
		for i, want := range []time.Duration{0, 1, 2, 4, 8, 16, 30, 30} {
			if d := breaks(); d != want*time.Second {
				t.Errorf("%d: after %v, want %v s", i, d, want)
			}
		}
		time.Sleep(2*brokenWaitMax + time.Second)
		if d := breaks(); d != 0 {
			t.Errorf("after %v, though the chain has held", d)
		}
		finishLive(s, l)
	})
}
