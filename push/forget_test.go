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
	if m := await[*wire.Resync](c, f); m.Reason != resyncRemoved {
		t.Errorf("resync because of %s", m.Reason)
	}
	if m := await[*wire.Subscribed](c, f); len(m.Dictionary) != 2 || len(m.Rows) != 2 {
		t.Fatalf("after the deletion: %+v", m.Dictionary)
	}
	if got := fmt.Sprint(ts.hub.names()); got != "[p/d/sub/x p/e/x]" {
		t.Errorf("the store has %s", got)
	}
	again := single("p/d/x", 20, 7)
	again.Since = telemetry.NoVersion
	ts.feed(again, single("p/e/x", 6, 5))
	c.followUntil(f, "the device is back", func() bool { return f.series("all", "p/d/x") != nil && f.series("all", "p/d/x").seen == 20 })
	if s := f.series("all", "p/e/x"); s.seen != 6 || f.resyncs != 1 {
		t.Errorf("the other device is at %d after %d resyncs", s.seen, f.resyncs)
	}
	ts.hub.forget(0, "p/d", 10, 0) // told again, after a crash of the pipeline
	if got := fmt.Sprint(ts.hub.names()); got != "[p/d/sub/x p/d/x p/e/x]" {
		t.Errorf("the store has %s", got)
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
		rows += len(v.members)
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
