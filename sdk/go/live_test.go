package device

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"weir/telemetry"
	"weir/wire"
)

func TestASubscriptionBeginsWithAllThereIsAndGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newLiveServer()
		s.add("p/a/t", 3, 1)
		s.add("q/a/t", 3, 1)
		s.alert("x", "p/a/t", telemetry.Firing)
		l := startLive(t, s, nil)
		sub := follow(t, l, SubscribeOptions{Patterns: []string{"p/#"}})
		c := next(t, sub)
		if !c.Reset || c.Reason != "" || len(c.Rows) != 1 || c.Rows[0].N != 3 || len(c.Series) != 1 || len(c.Open) != 1 || len(c.Alerts) != 1 {
			t.Errorf("first: %+v", c)
		}
		s.add("p/a/t", 1, 5)
		s.add("p/b/t", 2, 7)
		s.flush()
		synctest.Wait()
		c = next(t, sub)
		if c.Reset || len(c.Rows) != 2 || c.Rows[0].Since != 10 || c.Rows[1].Since != -1 || len(c.Series) != 1 || c.Series[0].Series != "p/b/t" {
			t.Errorf("then: %+v", c)
		}
		if n := sub.Stats(); n.Frames != 1 || n.Rows != 3 || n.Readings != 6 || n.Rate != 20 || n.Gaps != 0 {
			t.Errorf("%+v", n)
		}
		if l.State() != LiveOpen || l.Err() != nil {
			t.Errorf("%v, %v", l.State(), l.Err())
		}
		finishLive(s, l)
		if _, err := sub.Next(context.Background()); !errors.Is(err, ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
		if l.State() != LiveEnded || !strings.Contains(s.closes[0].Error(), "1000") {
			t.Errorf("%v; the server saw %v", l.State(), s.closes[0])
		}
	})
}

func TestWhatNobodyReadsIsMergedAndAddsUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newLiveServer()
		l := startLive(t, s, nil)
		sub := follow(t, l, SubscribeOptions{})
		next(t, sub)
		for i := range 100 {
			s.add("p/a/t", 2, float64(i%50))
			s.flush()
		}
		synctest.Wait()
		if n := sub.Stats(); n.Merged != 99 || n.Waiting != 1 {
			t.Errorf("%+v", n)
		}
		c := next(t, sub)
		if len(c.Rows) != 1 || c.Rows[0].N != 200 || c.Rows[0].Since != -1 || c.Rows[0].Max != 49 {
			t.Errorf("%+v", c.Rows)
		}
		finishLive(s, l)
	})
}

func TestALostConnectionIsResumedExactly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newLiveServer()
		s.add("p/a/t", 1, 1)
		l := startLive(t, s, nil)
		sub := follow(t, l, SubscribeOptions{})
		next(t, sub)
		synctest.Wait()
		s.peer().cut()
		s.add("p/a/t", 4, 1)
		s.add("p/b/t", 5, 1)
		s.alert("x", "p/a/t", telemetry.Firing)
		s.alert("x", "p/a/t", telemetry.Resolved)
		c := next(t, sub)
		if c.Reset || !c.Resumed || len(c.Rows) != 2 || c.Rows[0].N != 4 || c.Rows[1].N != 5 || len(c.Alerts) != 2 || c.Open != nil {
			t.Errorf("%+v", c)
		}
		if n := sub.Stats(); n.Resumes != 1 || n.Resyncs != 0 || n.Gaps != 0 {
			t.Errorf("%+v", n)
		}
		finishLive(s, l)
	})
}

func TestACursorThatIsTooOldIsAResyncWithItsReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newLiveServer()
		s.add("p/a/t", 1, 1)
		l := startLive(t, s, nil)
		var reasons []string
		sub := follow(t, l, SubscribeOptions{OnResync: func(reason string) { reasons = append(reasons, reason) }})
		next(t, sub)
		s.peer().cut()
		s.mu.Lock()
		s.epoch, s.oldest = "e2", 100
		s.mu.Unlock()
		if c := next(t, sub); !c.Reset || c.Reason != "epoch_changed" || len(c.Rows) != 1 {
			t.Errorf("%+v", c)
		}
		s.peer().cut()
		if c := next(t, sub); !c.Reset || c.Reason != "cursor_too_old" {
			t.Errorf("%+v", c)
		}
		if n := sub.Stats(); n.Resyncs != 2 || len(reasons) != 2 {
			t.Errorf("%+v, %q", n, reasons)
		}
		finishLive(s, l)
	})
}

func TestAServerMayBeginAnewAndItsAlertsAreToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newLiveServer()
		s.add("p/a/t", 1, 1)
		s.alert("x", "p/a/t", telemetry.Firing)
		l := startLive(t, s, nil)
		sub := follow(t, l, SubscribeOptions{})
		next(t, sub)
		p := s.peer()
		p.write(&wire.Resync{View: 1, Reason: "series_removed"})
		p.write(&wire.Updates{View: 1, Rows: []wire.Row{{Update: &Update{Since: 900, Version: 910}}}}) // of before
		s.alert("y", "p/a/t", telemetry.Firing)
		s.alert("y", "p/a/t", telemetry.Resolved)
		p.write(&wire.Subscribed{ID: "1", View: 9, Alerts: []Alert{s.alerts["x"]}, Cursor: "e1:4"})
		synctest.Wait()
		c := next(t, sub)
		if !c.Reset || c.Reason != "series_removed" || len(c.Rows) != 0 || len(c.Open) != 1 || len(c.Alerts) != 2 {
			t.Errorf("%+v", c)
		}
		p.write(&wire.SeriesMsg{View: 9, Added: []wire.Entry{{I: 4, Series: "p/c/t"}}})
		p.write(&wire.Updates{View: 9, Rows: []wire.Row{{I: 4, Update: &Update{Since: -1, Version: 3, N: 1}}}})
		synctest.Wait()
		if c := next(t, sub); c.Reset || len(c.Rows) != 1 {
			t.Errorf("%+v", c)
		}
		p.write(&wire.SeriesMsg{View: 9, Removed: []int{4}})
		if c := next(t, sub); len(c.Removed) != 1 || c.Removed[0] != "p/c/t" {
			t.Errorf("%+v", c)
		}
		finishLive(s, l)
	})
}

func TestAViewWithAFilterTellsWhoLeavesAndComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newLiveServer()
		l := startLive(t, s, nil)
		var left []string
		sub := follow(t, l, SubscribeOptions{Filter: "max > 1", OnLeft: func(series string) { left = append(left, series) }})
		next(t, sub)
		p := s.peer()
		row := func(since, version Version) []wire.Row {
			return []wire.Row{{I: 7, Update: &Update{Since: since, Version: version, N: 1}}}
		}
		p.write(&wire.SeriesMsg{View: 1, Added: []wire.Entry{{I: 7, Series: "p/a/t"}}})
		p.write(&wire.Updates{View: 1, Rows: row(40, 50)}) // the chain begins anywhere
		synctest.Wait()
		if c := next(t, sub); len(c.Rows) != 1 {
			t.Errorf("%+v", c)
		}
		p.write(&wire.Updates{View: 1, Rows: row(50, 60)})
		p.write(&wire.Updates{View: 1, Left: []uint32{7}})
		synctest.Wait()
		if c := next(t, sub); len(c.Rows) != 1 || len(c.Left) != 1 || len(left) != 1 || left[0] != "p/a/t" {
			t.Errorf("%+v, %q", c, left)
		}
		p.write(&wire.Updates{View: 1, Rows: row(50, 60)}) // back without news
		if c := next(t, sub); len(c.Rows) != 0 || len(c.Back) != 1 || c.Back[0].Version != 60 {
			t.Errorf("%+v", c)
		}
		p.write(&wire.Updates{View: 1, Left: []uint32{7}})
		p.write(&wire.Updates{View: 1, Rows: row(60, 90)}) // back with news, before anybody has read that it left
		synctest.Wait()
		if c := next(t, sub); len(c.Rows) != 1 || len(c.Left) != 0 || c.Rows[0].Since != 60 {
			t.Errorf("%+v", c)
		}
		if n := sub.Stats(); n.Gaps != 0 || n.Replays != 0 {
			t.Errorf("%+v", n)
		}
		finishLive(s, l)
	})
}

func TestRequestsSayWhatWasAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newLiveServer()
		l := startLive(t, s, nil)
		follow(t, l, SubscribeOptions{
			Patterns: []string{"a/#", "b/+"}, MaxHz: Unlimited, Fields: []string{"max"}, Filter: "max > 1", Order: "worst", Limit: 5,
			Points: 300, Window: time.Minute, Cursor: "c",
		})
		synctest.Wait()
		want := `{"type":"subscribe","payload":{"id":"1","patterns":["a/#","b/+"],"max_hz":0,"fields":["i","version","since","n","max"],` +
			`"filter":"max > 1","order":"worst","cursor":"c","limit":5,"points":300,"window_ms":60000}}`
		if got := s.peer().said("subscribe"); len(got) != 1 || got[0] != want {
			t.Errorf("%s\nwant %s", got, want)
		}
		for name, o := range map[string]SubscribeOptions{
			"patterns":  {},
			"patterns[": {Patterns: []string{"a/#/b"}},
			"max_hz":    {Patterns: []string{"#"}, MaxHz: 1e9},
			"fields[1]": {Patterns: []string{"#"}, Fields: []string{"max", "maxx"}},
			"order":     {Patterns: []string{"#"}, Order: "best", Limit: 1},
			"limit":     {Patterns: []string{"#"}, Limit: 1e6},
			"points":    {Patterns: []string{"#"}, Points: 10},
		} {
			if _, err := l.Subscribe(o); err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("%s: %v", name, err)
			}
		}
		finishLive(s, l)
	})
}

func TestARefusalEndsASubscriptionAndNothingElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newLiveServer()
		busy := 2
		s.heard = func(p *livePeer, kind string, payload json.RawMessage) bool {
			var r struct {
				ID       string
				Patterns []string
			}
			_ = json.Unmarshal(payload, &r)
			switch {
			case kind == "subscribe" && r.Patterns[0] == "secret/#":
				p.write(&wire.ErrorMsg{Error: *wire.NewError(wire.CodeForbidden, "payload.patterns[0]"), ID: r.ID})
			case kind == "subscribe" && r.Patterns[0] == "busy/#" && busy > 0:
				busy--
				p.write(&wire.ErrorMsg{Error: *wire.NewError(wire.CodeOverloaded, ""), ID: r.ID})
			default:
				return false
			}
			return true
		}
		l := startLive(t, s, nil)
		secret := follow(t, l, SubscribeOptions{Patterns: []string{"secret/#"}})
		open := follow(t, l, SubscribeOptions{Patterns: []string{"open/#"}})
		crowded := follow(t, l, SubscribeOptions{Patterns: []string{"busy/#"}})
		var refused *Error
		if _, err := secret.Next(t.Context()); !errors.As(err, &refused) || refused.Code != wire.CodeForbidden || secret.Err() == nil {
			t.Errorf("%v", err)
		}
		next(t, open)
		next(t, crowded) // at the third time
		if d := time.Since(s.dialled()[0]); d != 2*crowdedWait {
			t.Errorf("asked again after %v", d)
		}
		s.peer().cut()
		next(t, open)
		next(t, crowded)
		if n := len(s.peer().said("subscribe")); n != 2 {
			t.Errorf("%d subscriptions on the second connection", n)
		}
		finishLive(s, l)
	})
}

func TestASubscriptionThatIsClosedIsEndedAtTheServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newLiveServer()
		l := startLive(t, s, nil)
		sub := follow(t, l, SubscribeOptions{})
		next(t, sub)
		sub.Close()
		synctest.Wait()
		if _, err := sub.Next(t.Context()); !errors.Is(err, ErrClosed) || len(s.peer().said("unsubscribe")) != 1 {
			t.Errorf("%v", err)
		}
		finishLive(s, l)
	})
}

func TestBrokenMessagesEndAConnectionAndUnknownOnesDoNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newLiveServer()
		l := startLive(t, s, nil)
		sub := follow(t, l, SubscribeOptions{})
		next(t, sub)
		s.peer().text(`{"type":"novelty","payload":{"x":1}}`)
		s.peer().text(`{ "payload" : {"t":5}, "type" : "app_ping" }`)
		synctest.Wait()
		if len(s.dialled()) != 1 || len(s.peer().said("app_pong")) != 1 {
			t.Error("the connection ended")
		}
		for i, text := range []string{`{"type":"updates","payload":{"view":1,"rows":[[1]]}}`, `{"type":"joined","payload":{"room":5}}`, `nonsense`} {
			s.peer().text(text)
			next(t, sub)
			if len(s.dialled()) != i+2 {
				t.Errorf("%s: %d connections", text, len(s.dialled()))
			}
		}
		finishLive(s, l)
	})
}

func TestOptionsOfALiveAreChecked(t *testing.T) {
	for name, o := range map[string]LiveOptions{
		"url":          {URL: "http://x"},
		"token":        {URL: liveURL, Token: "a", TokenSource: new(tokens).next},
		"credit":       {URL: liveURL, Credit: 1001},
		"manual":       {URL: liveURL, Credit: 1, ManualCredit: true},
		"max_message":  {URL: liveURL, MaxMessage: -1},
		"message_rate": {URL: liveURL, MessageRate: -1},
		"heartbeat":    {URL: liveURL, Heartbeat: -1},
		"retry.max":    {URL: liveURL, Retry: Retry{Max: -1}},
	} {
		if _, err := NewLive(o); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
