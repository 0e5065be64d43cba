package push

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"weir/telemetry"
	"weir/wire"
)

func TestClientIsSentAsManyUpdatesAsItTakesAndMissesNothing(t *testing.T) {
	s := startServer(t, nil)
	s.feed(single("p/a/m", 0, 0))
	c, f := s.dial(dialOptions{}), newFollower(t)
	c.subscribe("x", "#", 0)
	await[*wire.Subscribed](c, f)
	version := telemetry.Version(0)
	feed := func(n int) {
		for range n {
			version++
			s.feed(single("p/a/m", version, float64(version)))
		}
	}
	credit := func(n int) { t.Helper(); c.send(`{"type":"credit","payload":{"frames":%d}}`, n) }
	// answered waits until the messages up to now have been heard, and reads what was sent.
	answered := func() (updates []*wire.Updates) {
		t.Helper()
		c.send(`{"type":"app_ping"}`)
		for {
			switch m := f.take(c.message("the answer")).(type) {
			case *wire.Pong:
				return updates
			case *wire.Updates:
				updates = append(updates, m)
			}
		}
	}
	feed(1)
	if got := await[*wire.Updates](c, f); len(got.Rows) != 1 { // it has not said that it counts
		t.Fatalf("%+v", got)
	}
	credit(1) // which it has had
	answered()
	feed(5)
	s.hub.alerts(0, []telemetry.Alert{{ID: "a", Series: "p/a/m"}}, 0)
	if got := answered(); len(got) != 0 || len(f.alerts) != 1 {
		t.Fatalf("without credit it is sent %d frames and %d alerts", len(got), len(f.alerts))
	}
	credit(2)
	if u := await[*wire.Updates](c, f); u.Rows[0].Update.N != 1 {
		t.Errorf("the frame that waited: %+v", u.Rows[0].Update)
	}
	if got := answered(); len(got) != 0 {
		t.Fatalf("%d frames beyond the credit", len(got))
	}
	credit(10)
	if u := await[*wire.Updates](c, f); u.Rows[0].Update.N != 4 || u.Rows[0].Update.Max != 6 {
		t.Errorf("what gathered: %+v", u.Rows[0].Update)
	}
	feed(1)
	await[*wire.Updates](c, f)
	if got := f.series("x", "p/a/m"); got.n != 7 || got.seen != 7 {
		t.Errorf("adds up to %+v", got)
	}
	for _, n := range []int{9, 4 + maxCredit + 1} {
		credit(n)
		if e := await[*wire.ErrorMsg](c, f); e.Code != wire.CodeCreditInvalid || e.Path != "payload.frames" {
			t.Errorf("credit of %d: %+v", n, e)
		}
	}
	credit(4 + maxCredit)
	c.send(`{"type":"stats"}`)
	stats := await[*wire.Stats](c, f)
	want := wire.SubscriptionStats{ID: "x", View: stats.Subscriptions[0].View, Frames: 4, Rows: 4, Readings: 7, Merged: 3, Stalls: 1}
	if len(stats.Subscriptions) != 1 || stats.Subscriptions[0] != want {
		t.Errorf("figures %+v, want %+v", stats.Subscriptions, want)
	}
}

func TestFiguresTellWhatWaitsAndWhatIsHeld(t *testing.T) {
	s := startServer(t, nil)
	s.feed(single("p/a/m", 0, 1), single("p/b/m", 0, 95), single("p/c/m", 0, 96))
	c, f := s.dial(dialOptions{}), choosyFollower(t)
	c.selected("x", "#", `"filter":"max > 90"`)
	await[*wire.Subscribed](c, f)
	c.send(`{"type":"credit","payload":{"frames":0}}`)
	c.send(`{"type":"app_ping"}`)
	await[*wire.Pong](c, f)
	s.feed(single("p/b/m", 1, 97))
	s.feed(single("p/b/m", 2, 98), single("p/c/m", 1, 50), single("p/a/m", 1, 1))
	s.feed(single("p/b/m", 3, 99))
	c.send(`{"type":"stats"}`)
	got := await[*wire.Stats](c, f).Subscriptions[0]
	if got.LagMS <= 0 || got.LagMS > 60_000 {
		t.Errorf("waits for %v ms", got.LagMS)
	}
	got.LagMS, got.View = 0, 0
	if want := (wire.SubscriptionStats{ID: "x", Merged: 1, Held: 2, Depth: 2, Stalls: 1}); got != want {
		t.Errorf("figures %+v, want %+v", got, want)
	}
	if held := s.hub.m.heldRows.Load(); held != 2 {
		t.Errorf("%d rows are held in all", held)
	}
	c.send(`{"type":"unsubscribe","payload":{"id":"x"}}`)
	eventually(t, "nothing is held", func() bool { return s.hub.m.heldRows.Load() == 0 })
}

func TestConnectionsAreListedWithTheirFigures(t *testing.T) {
	s := startServer(t, func(o *Options) { o.Config.Heartbeat = 20 * time.Millisecond })
	s.feed(single("p/a/m", 0, 0))
	var clients []*wsClient
	for range 3 {
		c, f := s.dial(dialOptions{}), newFollower(t)
		c.subscribe("x", "#", 0)
		await[*wire.Subscribed](c, f)
		clients = append(clients, c)
	}
	clients[0].send(`{"type":"credit","payload":{"frames":5}}`)
	var sessions []string
	for query := "?limit=2"; ; {
		var page connectionPage
		status, body := s.get(t, "/v1/connections"+query)
		if err := json.Unmarshal(body, &page); err != nil || status != 200 {
			t.Fatalf("%d %s: %v", status, body, err)
		}
		for _, c := range page.Connections {
			sessions = append(sessions, c.Session)
			if c.Address != "127.0.0.1" || c.Since.IsZero() || len(c.Subscriptions) != 1 || c.Subscriptions[0].ID != "x" {
				t.Errorf("%+v", c)
			}
		}
		if page.Cursor == "" {
			break
		}
		query = "?limit=2&cursor=" + page.Cursor
	}
	if len(sessions) != 3 || !slices.IsSorted(sessions) {
		t.Errorf("sessions %v", sessions)
	}
	all := func() (page connectionPage) {
		_, body := s.get(t, "/v1/connections")
		_ = json.Unmarshal(body, &page)
		return page
	}
	eventually(t, "one has credit, and all have answered a ping", func() bool {
		credits, answered := 0, 0
		for _, c := range all().Connections {
			if c.Credit != nil && *c.Credit == (creditReport{Granted: 5}) {
				credits++
			}
			if c.RTTMS != nil && *c.RTTMS > 0 {
				answered++
			}
		}
		return credits == 1 && answered == 3
	})
	for query, path := range map[string]string{"?limit=0": "limit", "?limit=1001": "limit", "?of=x": "of"} {
		if status, body := s.get(t, "/v1/connections"+query); status != 400 || !strings.Contains(string(body), `"path":"`+path+`"`) {
			t.Errorf("%s: %d %s", query, status, body)
		}
	}
}
