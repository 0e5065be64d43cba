package push

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"weir/auth"
	"weir/kafka"
	"weir/telemetry"
	"weir/wire"
)

// names lists the series that the store has, in order.
func (h *hub) names() (out []string) {
	return h.list(auth.Everybody(), patternsOf("#"), 1000).Series
}

func patternsOf(texts ...string) []telemetry.Pattern {
	out, refusal := parsePatterns(texts, len(texts), "")
	if refusal != nil {
		panic(refusal)
	}
	return out
}

func TestADeletedDeviceLeavesTheViews(t *testing.T) {
	ts := startServer(t, nil)
	ts.feed(single("p/d/x", 5, 1), single("p/d/y", 6, 2), single("p/d/sub/x", 5, 3), single("p/e/x", 5, 4))
	c, f := ts.dial(dialOptions{}), newFollower(t)
	c.subscribe("all", "p/#", 0)
	await[*wire.Subscribed](c, f)
	ts.hub.forget(0, "p/d", 10, 0)
	if m := await[*wire.SeriesMsg](c, f); fmt.Sprint(m.Removed) != "[1 2]" || len(m.Added)+len(m.Changed) > 0 {
		t.Errorf("after the deletion: %+v", m)
	}
	if m := await[*wire.Updates](c, f); m.Cursor == "" || len(m.Rows) > 0 {
		t.Errorf("%+v", m)
	}
	late, lf := ts.dial(dialOptions{}), newFollower(t)
	late.subscribe("all", "p/#", 0)
	if m := await[*wire.Subscribed](late, lf); len(m.Dictionary) != 2 || len(m.Rows) != 2 || m.Rows[0].Update.Series != "p/d/sub/x" || m.Rows[1].Update.Series != "p/e/x" {
		t.Fatalf("who comes after the deletion: %+v", m.Dictionary)
	}
	if got := fmt.Sprint(ts.hub.names()); got != "[p/d/sub/x p/e/x]" {
		t.Errorf("the store has %s", got)
	}
	again := single("p/d/x", 20, 7)
	again.Since = telemetry.NoVersion
	ts.feed(again, single("p/e/x", 6, 5))
	c.followUntil(f, "the device is back", func() bool { return f.series("all", "p/d/x") != nil && f.series("all", "p/d/x").seen == 20 })
	if s := f.series("all", "p/e/x"); s.seen != 6 || f.resyncs != 0 {
		t.Errorf("the other device is at %d after %d resyncs", s.seen, f.resyncs)
	}
	ts.hub.forget(0, "p/d", 10, 0) // told again, after a crash of the pipeline
	if got := fmt.Sprint(ts.hub.names()); got != "[p/d/sub/x p/d/x p/e/x]" {
		t.Errorf("the store has %s", got)
	}
}

func TestADeletedSeriesMakesRoomForTheNext(t *testing.T) {
	s := startServer(t, nil)
	s.feed(single("p/a/m", 0, 95), single("p/b/m", 0, 90), single("p/c/m", 0, 80))
	c, f := s.dial(dialOptions{}), choosyFollower(t)
	c.selected("x", "#", `"limit":1,"order":"-max"`)
	await[*wire.Subscribed](c, f)
	s.hub.forget(0, "p/a", 0, 0)
	if m := await[*wire.SeriesMsg](c, f); fmt.Sprint(m.Removed) != "[0]" || len(m.Added) != 1 || m.Added[0].Series != "p/b/m" {
		t.Errorf("%+v", m)
	}
	if m := await[*wire.Updates](c, f); len(m.Rows) != 1 || len(m.Left) != 0 || fmt.Sprint(f.in("x")) != "[p/b/m]" {
		t.Errorf("%+v, in are %v", m, f.in("x"))
	}
	s.feed(single("p/a/m", 0, 99))
	if m := await[*wire.SeriesMsg](c, f); len(m.Added) != 1 || m.Added[0].I != 3 || m.Added[0].Series != "p/a/m" {
		t.Errorf("%+v", m)
	}
	if m := await[*wire.Updates](c, f); fmt.Sprint(m.Left) != "[1]" || fmt.Sprint(f.in("x")) != "[p/a/m]" || m.Rows[0].Update.Since != telemetry.NoVersion {
		t.Errorf("%+v, in are %v", m, f.in("x"))
	}
	s.hub.forget(0, "p/c", 0, 0) // of which nobody has been told
	s.feed(single("p/a/m", 1, 99))
	if m := await[*wire.Updates](c, f); len(m.Rows) != 1 {
		t.Errorf("%+v", m)
	}
	if held := s.hub.m.heldRows.Load(); held != 0 {
		t.Errorf("%d rows are held", held)
	}
}

func TestWhoIsBehindIsToldOfADeletionBeforeWhatComesBack(t *testing.T) {
	s := startServer(t, nil)
	s.feed(single("p/a/m", 0, 1), single("p/b/m", 0, 1))
	c, f := s.dial(dialOptions{}), newFollower(t)
	c.subscribe("x", "#", 0)
	await[*wire.Subscribed](c, f)
	c.send(`{"type":"credit","payload":{"frames":0}}`)
	c.send(`{"type":"app_ping","payload":1}`)
	await[*wire.Pong](c, f)
	s.feed(single("p/a/m", 1, 1), single("p/b/m", 1, 1)) // waits as it is
	s.feed(single("p/a/m", 2, 1), single("p/b/m", 2, 1)) // is gathered
	s.hub.forget(0, "p/a", 9, 0)
	s.feed(single("p/a/m", 0, 5), single("p/new/m", 0, 1))
	s.hub.forget(0, "p/new", 9, 0) // was never told
	s.feed(single("p/a/m", 1, 7), single("p/b/m", 3, 1))
	c.send(`{"type":"credit","payload":{"frames":100}}`)
	if m := await[*wire.Updates](c, f); len(m.Rows) != 2 {
		t.Errorf("%+v", m)
	}
	if m := await[*wire.SeriesMsg](c, f); fmt.Sprint(m.Removed) != "[0]" || len(m.Added) != 1 || m.Added[0].I != 2 || m.Added[0].Series != "p/a/m" {
		t.Errorf("%+v", m)
	}
	if m := await[*wire.Updates](c, f); len(m.Rows) != 2 || m.Cursor == "" {
		t.Errorf("%+v", m)
	}
	if a, b := f.series("x", "p/a/m"), f.series("x", "p/b/m"); a.seen != 1 || a.n != 2 || b.seen != 3 || b.n != 3 {
		t.Errorf("p/a/m: %+v\np/b/m: %+v", a, b)
	}
	if n := s.hub.m.laggingRows.Load(); n != 0 {
		t.Errorf("%d rows are counted as waiting", n)
	}
}

func TestWhatWasNotToldOfADeletedSeriesIsNotTold(t *testing.T) {
	s := startServer(t, nil)
	s.feed(single("p/a/m", 0, 1), single("p/b/m", 0, 1))
	c, f := s.dial(dialOptions{}), newFollower(t)
	c.subscribe("x", "#", 10)
	await[*wire.Subscribed](c, f)
	s.feed(single("p/a/m", 1, 1), single("p/b/m", 1, 1)) // the view must not speak yet
	s.hub.forget(0, "p/a", 9, 0)
	if m := await[*wire.SeriesMsg](c, f); fmt.Sprint(m.Removed) != "[0]" {
		t.Errorf("%+v", m)
	}
	if m := await[*wire.Updates](c, f); len(m.Rows) > 1 || f.series("x", "p/b/m").seen != 1 {
		t.Errorf("%+v", m)
	}
}

func TestAViewThatHasLostManySeriesBeginsAnew(t *testing.T) {
	s := startServer(t, nil)
	var us []telemetry.Update
	for i := range 2 * maxGone {
		us = append(us, single(fmt.Sprintf("p/%d/m", i), 0, 1))
	}
	s.feed(us...)
	c, f := s.dial(dialOptions{}), newFollower(t)
	c.subscribe("x", "#", 0)
	await[*wire.Subscribed](c, f)
	for i := range maxGone {
		s.hub.forget(0, fmt.Sprintf("p/%d", i), 0, 0)
	}
	c.followUntil(f, "all are gone", func() bool { return len(f.views[f.ids["x"]]) == maxGone })
	if f.resyncs != 0 {
		t.Fatal("the view began anew")
	}
	s.hub.forget(0, fmt.Sprintf("p/%d", maxGone), 0, 0)
	if m := await[*wire.Resync](c, f); m.Reason != resyncRemoved {
		t.Errorf("%+v", m)
	}
	if m := await[*wire.Subscribed](c, f); len(m.Dictionary) != maxGone-1 || m.Dictionary[maxGone-2].I != maxGone-2 {
		t.Errorf("%+v", m.Dictionary)
	}
}

func TestADeletionSpoilsOnlyTheReturnOfWhoHasWhatCameBack(t *testing.T) {
	for _, back := range []bool{false, true} {
		s := startServer(t, nil)
		s.tailed()
		s.write(single("p/a/m", 0, 1), single("p/b/m", 0, 1))
		cursor := s.snapshotOf(t, "series=p/%23").Cursor
		s.write(single("p/b/m", 1, 1))
		s.hub.window.add(wire.TopicUpdates, 0, []stored{{s.wrote, wire.AppendControl(nil, &wire.Control{
			Kind: wire.ControlDeleteDevice, Device: "p/a", Version: 9})}}, s.wrote+1)
		s.wrote++
		s.hub.forget(0, "p/a", 9, s.wrote)
		s.write(single("p/b/m", 2, 1))
		if back {
			again := single("p/a/m", 20, 1)
			again.Since = telemetry.NoVersion
			s.write(again)
		}
		c, f := s.dial(dialOptions{}), newTraveller(t)
		c.send(`{"type":"subscribe","payload":{"id":"x","patterns":["p/#"],"cursor":%q}}`, cursor)
		f.seen = map[string]telemetry.Version{"p/a/m": 0, "p/b/m": 0}
		for f.anew+f.resumed == 0 {
			m, ok := f.take(c.message("subscribed")).(*wire.Subscribed)
			if ok && !back && (len(m.Dictionary) != 1 || len(m.Rows) != 1 || m.Rows[0].Update.N != 2) {
				t.Errorf("%+v", m)
			}
		}
		if (f.anew == 1) != back {
			t.Errorf("came back %v: began anew %d", back, f.anew)
		}
		// A request for what is new cannot be told of a deletion but by the whole.
		if snap := s.snapshotOf(t, "series=p/%23&wait=1m&cursor="+cursor); snap.Resumed {
			t.Errorf("%+v", snap)
		}
	}
}

func TestViewsStayWholeWhileDevicesComeAndGo(t *testing.T) {
	ts := startServer(t, nil)
	rng := rand.New(rand.NewPCG(1, 2))
	clients := make([]*wsClient, 3)
	followers := make([]*follower, 3)
	for i, hz := range []float64{0, 5, 30} {
		clients[i], followers[i] = ts.dial(dialOptions{}), newFollower(t)
		clients[i].subscribe("s", "p/#", hz)
		await[*wire.Subscribed](clients[i], followers[i])
	}
	alive := map[string]telemetry.Version{}
	version := telemetry.Version(0)
	for range 3000 {
		version++
		device := fmt.Sprintf("p/%d", rng.IntN(8))
		if rng.IntN(40) == 0 {
			ts.hub.forget(0, device, version, 0)
			for m := range 3 {
				delete(alive, fmt.Sprintf("%s/m%d", device, m))
			}
			continue
		}
		name := fmt.Sprintf("%s/m%d", device, rng.IntN(3))
		u := single(name, version, 1)
		u.Since = telemetry.NoVersion
		if v, ok := alive[name]; ok {
			u.Since = v
		}
		alive[name] = version
		ts.feed(u)
	}
	for i, f := range followers {
		clients[i].followUntil(f, "all is told", func() bool {
			view := f.views[f.ids["s"]]
			for name, v := range alive {
				if s := view[name]; s == nil || s.seen != v {
					return false
				}
			}
			return len(view) == len(alive)
		})
	}
	ts.hub.mu.Lock()
	rows := 0
	for _, v := range ts.hub.views {
		rows += v.count()
	}
	ts.hub.mu.Unlock()
	if got := int(ts.hub.m.viewRows.Load()); got != rows {
		t.Errorf("%d rows of views are counted, there are %d", got, rows)
	}
}

func TestTheWordOfADeletionIsReadInItsPlace(t *testing.T) {
	k := newKafka(t, 1)
	gone := func(version telemetry.Version) kafka.Record {
		return kafka.Record{Headers: kafka.FenceHeaders(1), Value: wire.AppendControl(nil, &wire.Control{
			Kind: wire.ControlDeleteDevice, Device: "p/d", Version: version})}
	}
	first := func(u telemetry.Update) telemetry.Update {
		u.Since = telemetry.NoVersion
		return u
	}
	// weir.latest is newer than the marker: it has what the device sent after its deletion.
	k.latest(0, single("p/d/new", 30, 1), single("p/d/old", 10, 1))
	k.marker(0, wire.Marker{})
	k.updates(0, 1, first(single("p/d/old", 10, 1)), first(single("p/d/older", 11, 1)))
	k.produce(wire.TopicUpdates, 0, gone(20))
	k.updates(0, 1, first(single("p/d/new", 30, 1)))
	s := k.start(nil)
	eventually(t, "push is ready", s.Ready)
	if got := fmt.Sprint(s.hub.names()); got != "[p/d/new]" {
		t.Errorf("after the start the store has %s", got)
	}
	k.produce(wire.TopicUpdates, 0, gone(40))
	eventually(t, "the device is gone", func() bool { return len(s.hub.names()) == 0 })
	if n := s.hub.m.undecodable.Get(); n != 0 {
		t.Errorf("%d records were skipped", n)
	}
	k.latest(0)
	k.produce(wire.TopicUpdates, 0, kafka.Record{Value: []byte{0, '{'}, Headers: kafka.FenceHeaders(1)})
	eventually(t, "what is no word is counted", func() bool { return s.hub.m.undecodable.Get() == 1 })
}
