package push

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"weir/auth"
	"weir/telemetry"
	"weir/wire"
)

func TestSubscriberGetsWelcomeSnapshotAndThenUpdates(t *testing.T) {
	s := startServer(t, nil)
	s.feed(single("plant1/a/temperature", 0, 20), single("plant2/b/temperature", 0, 7))
	c, f := s.dial(dialOptions{protocol: wire.LiveProtocol}), newFollower(t)

	w := await[*wire.Welcome](c, f)
	if w.Protocol != wire.LiveProtocol || w.Epoch != "epoch-1" || w.Session == "" || w.ServerTime == 0 || w.HeartbeatMS != 25_000 {
		t.Errorf("welcome = %+v", w)
	}
	c.send(`{"type":"subscribe","payload":{"id":"mine","patterns":["plant1/#"]}}`)
	sub := await[*wire.Subscribed](c, f)
	if sub.ID != "mine" || sub.MaxHz != 20 || sub.Cursor == "" || sub.PushTime == 0 {
		t.Errorf("subscribed = %+v", sub)
	}
	if len(sub.Rows) != 1 || sub.Rows[0].Update.Last != 20 {
		t.Errorf("snapshot rows = %+v", sub.Rows)
	}
	s.feed(single("plant1/a/temperature", 1, 21), single("plant2/b/temperature", 1, 8), single("plant1/new/x", 0, 5))
	u := await[*wire.Updates](c, f)
	if len(u.Rows) != 2 || u.View != sub.View || u.Cursor == "" || u.PushTime < sub.PushTime {
		t.Errorf("updates = %+v", u)
	}
	if got := f.series("mine", "plant1/new/x"); got == nil || got.newest.Last != 5 {
		t.Errorf("new series = %+v", got)
	}
}

func TestSnapshotAndLiveMeetExactlyUnderConcurrentUpdates(t *testing.T) {
	const names, rounds, clients = 20, 400, 24
	s := startServer(t, nil)
	final := func(f *follower, id string) bool {
		for i := range names {
			got := f.series(id, fmt.Sprintf("p/%d/m", i))
			if got == nil || got.seen != rounds-1 {
				return false
			}
		}
		return true
	}
	step := make(chan struct{}, clients)
	var wg sync.WaitGroup
	for i := range clients {
		c := s.dial(dialOptions{})
		wg.Go(func() {
			f := newFollower(t)
			<-step
			c.subscribe("x", []string{"p/#", "p/+/m", "+/+/m"}[i%3], []float64{0, 20, 100, 0.5}[i%4])
			c.followUntil(f, "the last version", func() bool { return final(f, "x") })
			for name, got := range f.views[f.ids["x"]] {
				if want := uint64(rounds - 1 - got.base); got.n != want {
					t.Errorf("client %d, %s: n adds up to %d after the snapshot's %d, want %d", i, name, got.n, got.base, want)
				}
			}
		})
	}
	for v := range rounds {
		batch := make([]telemetry.Update, names)
		for i := range batch {
			batch[i] = single(fmt.Sprintf("p/%d/m", i), telemetry.Version(v), rand.Float64())
		}
		s.feed(batch...)
		if v%(rounds/2/clients) == 0 && v/(rounds/2/clients) < clients {
			step <- struct{}{}
		}
	}
	for range clients {
		select {
		case step <- struct{}{}:
		default:
		}
	}
	wg.Wait()
}

func TestSubscribersOfOneViewGetTheSameBytes(t *testing.T) {
	s := startServer(t, nil)
	s.feed(single("p/a/m", 0, 1))
	var clients []*wsClient
	for range 3 {
		c := s.dial(dialOptions{})
		// The order and repetition of patterns do not matter.
		c.send(`{"type":"subscribe","payload":{"id":"s","patterns":["q/#","p/#","p/#"],"max_hz":0}}`)
		await[*wire.Subscribed](c, newFollower(t))
		clients = append(clients, c)
	}
	if got := s.hub.m.views.Load(); got != 1 {
		t.Fatalf("%d views, want 1", got)
	}
	const frames = 50
	for v := range telemetry.Version(frames) {
		s.feed(single("p/a/m", v+1, float64(v)), single(fmt.Sprintf("q/%d/m", v), 0, 1))
		for _, c := range clients { // none may fall behind
			c.until("the frame", func() bool { return len(c.msgs) == 2+2*int(v+1) })
		}
	}
	for _, c := range clients[1:] {
		for i := 2; i < len(c.msgs); i++ {
			if !bytes.Equal(c.msgs[i], clients[0].msgs[i]) {
				t.Fatalf("message %d differs:\n%s\n%s", i, c.msgs[i], clients[0].msgs[i])
			}
		}
	}
	eventually(t, "all frames were shared ones", func() bool { return s.hub.m.frames[frameShared].Get() == 3*frames })
}

func TestEqualSubscriptionOfOneConnectionIsRefusedUntilTheFirstHasEnded(t *testing.T) {
	s := startServer(t, nil)
	s.feed(single("p/a/m", 0, 1))
	c, f := s.dial(dialOptions{}), newFollower(t)
	c.subscribe("one", "p/#", 5)
	await[*wire.Subscribed](c, f)
	for _, hz := range []float64{5, 7} { // 7 is granted 5
		c.subscribe("two", "p/#", hz)
		if e := await[*wire.ErrorMsg](c, f); e.Code != wire.CodeSubscriptionExists || e.Path != "payload.patterns" || e.ID != "two" {
			t.Errorf("at %v Hz: %+v", hz, e)
		}
	}
	c.send(`{"type":"unsubscribe","payload":{"id":"one"}}`)
	c.subscribe("two", "p/#", 5)
	if sub := await[*wire.Subscribed](c, f); sub.ID != "two" {
		t.Errorf("subscribed = %+v", sub)
	}
	s.feed(single("p/a/m", 1, 1))
	c.followUntil(f, "an update", func() bool { return f.series("two", "p/a/m").seen == 1 })
}

func TestViewsAreBoundedByNumberAndByTheSeriesOfAConnection(t *testing.T) {
	s := startServer(t, func(o *Options) { o.Config.MaxViews, o.Config.MaxSeries = 3, 5 })
	s.feed(single("p/a/m", 0, 1), single("p/b/m", 0, 1), single("q/a/m", 0, 1))
	c, f := s.dial(dialOptions{}), newFollower(t)
	refused := func(c *wsClient, f *follower, id, pattern string) {
		t.Helper()
		c.subscribe(id, pattern, 20)
		if e := await[*wire.ErrorMsg](c, f); e.Code != wire.CodeSubscriptionsMany || e.ID != id {
			t.Errorf("%s: %+v", pattern, e)
		}
	}
	c.subscribe("all", "#", 20)
	await[*wire.Subscribed](c, f)
	refused(c, f, "more", "+/+/m") // 3 + 3 series
	if got := s.hub.m.views.Load(); got != 1 {
		t.Errorf("%d views after a refusal, want 1", got)
	}
	c.subscribe("p", "p/#", 20) // 3 + 2
	await[*wire.Subscribed](c, f)
	other, g := s.dial(dialOptions{}), newFollower(t)
	other.subscribe("q", "q/#", 20)
	await[*wire.Subscribed](other, g)
	refused(other, g, "new", "none/#")
	other.subscribe("all", "#", 20) // a view that is there
	await[*wire.Subscribed](other, g)
	if got := s.hub.m.subscriptions.Load(); got != 4 {
		t.Errorf("%d subscriptions, want 4", got)
	}
}

func TestViewsAreBoundedByTheSeriesTheySelectTogether(t *testing.T) {
	s := startServer(t, func(o *Options) { o.Config.MaxViewRows = 5 })
	s.feed(single("p/a/m", 0, 1), single("p/b/m", 0, 1), single("q/a/m", 0, 1))
	first, f := s.dial(dialOptions{}), newFollower(t)
	first.subscribe("all", "#", 0)
	await[*wire.Subscribed](first, f)
	second, g := s.dial(dialOptions{}), newFollower(t)
	second.subscribe("other", "+/+/m", 0) // 3 + 3
	if e := await[*wire.ErrorMsg](second, g); e.Code != wire.CodeSubscriptionsMany || e.ID != "other" {
		t.Errorf("error = %+v", e)
	}
	second.subscribe("shared", "#", 0)
	await[*wire.Subscribed](second, g)
	second.subscribe("p", "p/#", 0) // 3 + 2
	await[*wire.Subscribed](second, g)
	if got := s.hub.m.viewRows.Load(); got != 5 {
		t.Errorf("%d rows, want 5", got)
	}
	for _, c := range []*wsClient{first, second} {
		_ = c.conn.NetConn().Close()
	}
	eventually(t, "the rows are given back", func() bool { return s.hub.m.viewRows.Load() == 0 })
}

func TestSubscriptionThatTurnsOutTooLargeWhenTheStateIsCompleteIsRefusedThen(t *testing.T) {
	s := startServer(t, func(o *Options) { o.Config.MaxSeries = 1 })
	s.hub.mu.Lock()
	s.hub.ready = false
	s.hub.mu.Unlock()
	c, f := s.dial(dialOptions{query: "?subscribe=%23&subscribe=p/a/m"}), newFollower(t)
	await[*wire.Welcome](c, f)
	s.hub.load([]telemetry.Update{single("p/a/m", 0, 1), single("p/b/m", 0, 1)})
	s.hub.setReady()
	if e := await[*wire.ErrorMsg](c, f); e.Code != wire.CodeSubscriptionsMany || e.ID != "#" {
		t.Errorf("error = %+v", e)
	}
	await[*wire.Subscribed](c, f)
	if got := s.hub.m.subscriptions.Load() + s.hub.m.views.Load(); got != 2 {
		t.Errorf("subscriptions and views add up to %d, want 2", got)
	}
}

func TestUnsubscribeEndsTheUpdatesOfThatSubscriptionOnly(t *testing.T) {
	s := startServer(t, nil)
	s.feed(single("p/a/m", 0, 1), single("q/a/m", 0, 1))
	c, f := s.dial(dialOptions{}), newFollower(t)
	c.subscribe("p", "p/#", 0)
	await[*wire.Subscribed](c, f)
	c.subscribe("q", "q/#", 0)
	await[*wire.Subscribed](c, f)
	c.send(`{"type":"unsubscribe","payload":{"id":"p"}}`)
	c.send(`{"type":"app_ping","payload":{"n":1}}`)
	if pong := await[*wire.Pong](c, f); string(pong.Payload) != `{"n":1}` {
		t.Errorf("app_pong payload = %s", pong.Payload)
	}
	s.feed(single("p/a/m", 1, 1), single("q/a/m", 1, 1))
	c.followUntil(f, "q", func() bool { return f.series("q", "q/a/m").seen == 1 })
	if got := f.series("p", "p/a/m"); got.seen != 0 {
		t.Errorf("p got version %d after unsubscribe", got.seen)
	}
	if views := s.hub.m.views.Load(); views != 1 {
		t.Errorf("%d views left, want 1", views)
	}
	c.subscribe("p", "p/#", 0) // the id is free again
	if sub := await[*wire.Subscribed](c, f); sub.ID != "p" || sub.Rows[0].Update.Version != 1 {
		t.Errorf("second subscribed = %+v", sub)
	}
}

func TestSubscriptionsInTheURLNeedNoMessage(t *testing.T) {
	s := startServer(t, nil)
	s.feed(single("p/a/m", 0, 1), single("q/a/m", 0, 1))
	c, f := s.dial(dialOptions{query: "?subscribe=p/%23&subscribe=q/%23&max_hz=5"}), newFollower(t)
	for _, id := range []string{"p/#", "q/#"} {
		if sub := await[*wire.Subscribed](c, f); sub.ID != id || sub.MaxHz != 5 {
			t.Errorf("subscribed = %+v, want id %s", sub, id)
		}
	}
}

func TestForeignOriginIsRefusedAfterTheUpgrade(t *testing.T) {
	s := startServer(t, func(o *Options) { o.Origin = auth.OriginPolicy{Allowed: []string{"https://dash.example"}} })
	c := s.dial(dialOptions{origin: "https://evil.example", query: "?subscribe=%23"})
	c.waitClosed(wire.CloseRefused, wire.ReasonOriginRefused)
	if len(c.msgs) != 0 {
		t.Errorf("a refused page was told %q", c.msgs)
	}
	await[*wire.Welcome](s.dial(dialOptions{origin: "https://dash.example"}), newFollower(t))
	await[*wire.Welcome](s.dial(dialOptions{origin: "http://" + s.addr}), newFollower(t))
}

func TestBadMessagesAreAnsweredWithCodeAndPath(t *testing.T) {
	s := startServer(t, func(o *Options) { o.Config.MaxSubscriptions, o.Config.MaxPatterns = 2, 3 })
	c, f := s.dial(dialOptions{}), newFollower(t)
	c.subscribe("taken", "p/#", 0)
	await[*wire.Subscribed](c, f)
	long := strings.Repeat("x", 65)
	for _, tc := range []struct{ message, code, path, id string }{
		{`{`, wire.CodeJSONSyntax, "", ""},
		{"{\"type\":\"\xff\"}", wire.CodeJSONUTF8, "type", ""},
		{`[]`, wire.CodeFieldType, "", ""},
		{`{"payload":{}}`, wire.CodeFieldMissing, "type", ""},
		{`{"type":"shout"}`, wire.CodeMessageType, "type", ""},
		{`{"type":"subscribe"}`, wire.CodeFieldMissing, "payload", ""},
		{`{"type":"subscribe","payload":{"patterns":["#"]}}`, wire.CodeFieldMissing, "payload.id", ""},
		{`{"type":"subscribe","payload":{"id":"` + long + `","patterns":["#"]}}`, wire.CodeFieldRange, "payload.id", ""},
		{`{"type":"subscribe","payload":{"id":"a"}}`, wire.CodeFieldMissing, "payload.patterns", "a"},
		{`{"type":"subscribe","payload":{"id":"a","patterns":["p/#","p/#/q"]}}`, telemetry.CodePatternForm, "payload.patterns[1]", "a"},
		{`{"type":"subscribe","payload":{"id":"a","patterns":["1","2","3","4"]}}`, wire.CodePatternsTooMany, "payload.patterns", "a"},
		{`{"type":"subscribe","payload":{"id":"a","patterns":["#"],"max_hz":-1}}`, wire.CodeFieldRange, "payload.max_hz", "a"},
		{`{"type":"subscribe","payload":{"id":"a","patterns":["#"],"max_hz":0.001}}`, wire.CodeFieldRange, "payload.max_hz", "a"},
		{`{"type":"subscribe","payload":{"id":"taken","patterns":["#"]}}`, wire.CodeSubscriptionExists, "payload.id", "taken"},
		{`{"type":"unsubscribe","payload":{"id":"none"}}`, wire.CodeSubscriptionNone, "payload.id", "none"},
	} {
		c.send("%s", tc.message)
		got := await[*wire.ErrorMsg](c, f)
		if got.Code != tc.code || got.Path != tc.path || got.ID != tc.id || got.Message == "" {
			t.Errorf("%s\n got %+v\nwant %s at %q, id %q", tc.message, got, tc.code, tc.path, tc.id)
		}
		if counter := s.hub.m.messageErrors[tc.code]; counter == nil || counter.Get() == 0 {
			t.Errorf("%s is not counted", tc.code)
		}
	}
	c.subscribe("second", "p/+/m", 0)
	await[*wire.Subscribed](c, f)
	c.subscribe("third", "#", 0)
	if got := await[*wire.ErrorMsg](c, f); got.Code != wire.CodeSubscriptionsMany || got.ID != "third" {
		t.Errorf("one subscription too many: %+v", got)
	}
	s.feed(single("p/a/m", 0, 1)) // the connection lives on
	await[*wire.Updates](c, f)
}

func TestRepeatedMistakesEndTheConnection(t *testing.T) {
	s := startServer(t, nil)
	c := s.dial(dialOptions{})
	for range mistakesBurst + 5 {
		if c.conn.WriteString("nonsense") != nil {
			break
		}
	}
	c.waitClosed(wire.CloseProtocolError, wire.ReasonProtocolError)
}

func TestMessagesBeyondTheRateAreDroppedAndAnswered(t *testing.T) {
	s := startServer(t, func(o *Options) { o.Config.MessageRate, o.Config.MessageBurst = 0.001, 3 })
	c, f := s.dial(dialOptions{}), newFollower(t)
	for range 4 {
		c.send(`{"type":"app_ping"}`)
	}
	for range 3 {
		await[*wire.Pong](c, f)
	}
	if got := await[*wire.ErrorMsg](c, f); got.Code != wire.CodeOverloaded {
		t.Errorf("error = %+v", got)
	}
}

func TestPingIsAnsweredWithItsPayload(t *testing.T) {
	s := startServer(t, nil)
	c := s.dial(dialOptions{})
	if err := c.conn.WritePing([]byte("marco")); err != nil {
		t.Fatal(err)
	}
	c.until("pong", func() bool { return len(c.pongs) > 0 })
	if string(c.pongs[0]) != "marco" {
		t.Errorf("pong = %q", c.pongs[0])
	}
}
