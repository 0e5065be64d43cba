package push

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"weir/telemetry"
	"weir/wire"
)

// smallBuffers makes a stalled connection stall early.
func smallBuffers(o *Options) { o.Config.SendBuffer = 4 << 10 }

// heap is what is in use after a collection.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestStalledClientCostsOthersNothingAndLosesNothing(t *testing.T) {
	const names = 200
	rounds := 5000 // 1,000,000 updates
	if underRace {
		rounds = 500
	}
	spikeRound, last := rounds/2, telemetry.Version(rounds-1)
	s := startServer(t, smallBuffers)
	name := func(i int) string { return fmt.Sprintf("plant/line%d/temperature", i) }
	batch := make([]telemetry.Update, names)
	fill := func(v int) []telemetry.Update {
		for i := range batch {
			value := float64(i)
			if v == spikeRound && i == 7 {
				value = 1e6
			}
			batch[i] = single(name(i), telemetry.Version(v), value)
		}
		return batch
	}
	s.feed(fill(0)...)

	quick, fast := s.dial(dialOptions{}), newFollower(t)
	quick.keep = false
	quick.subscribe("all", "#", 20)
	await[*wire.Subscribed](quick, fast)
	stalled, slow := s.dial(dialOptions{recvBuffer: 2 << 10, stalled: true}), newFollower(t)
	stalled.subscribe("all", "#", 0)
	for s.hub.m.subscriptions.Load() < 2 {
		runtime.Gosched()
	}

	done := make(chan struct{})
	var longest time.Duration
	go func() {
		defer close(done)
		before := time.Now()
		quick.followUntil(fast, "the end", func() bool {
			longest = max(longest, time.Since(before))
			before = time.Now()
			return fast.series("all", name(names-1)).seen == last
		})
	}()
	var settled uint64
	var slowest time.Duration
	for v := 1; v < rounds; v++ {
		begin := time.Now()
		s.feed(fill(v)...)
		slowest = max(slowest, time.Since(begin))
		if v == rounds/5 {
			settled = heap()
		}
	}
	<-done
	t.Logf("slowest batch %v, longest wait of the other client %v, %d rows conflated for the laggard",
		slowest, longest, s.hub.m.conflatedLaggard.Get())
	if longest > s.cfg.WriteTimeout/4 { // milliseconds, but for the machine's stalls
		t.Errorf("the other client, at 20 Hz, waited %v for a frame", longest)
	}
	if grown := int64(heap()) - int64(settled); grown > 4<<20 {
		t.Errorf("the heap grew by %d bytes while the client stalled", grown)
	}
	if rows := s.hub.m.laggingRows.Load(); rows > 2*names {
		t.Errorf("%d rows wait for two laggards of %d series", rows, names)
	}

	stalled.read()
	stalled.followUntil(slow, "the end", func() bool {
		for i := range names {
			if got := slow.series("all", name(i)); got == nil || got.seen != last {
				return false
			}
		}
		return true
	})
	for i := range names {
		got := slow.series("all", name(i))
		if want := uint64(last - got.base); got.n != want {
			t.Errorf("%s: n adds up to %d, want %d", name(i), got.n, want)
		}
	}
	if got := slow.series("all", name(7)).max; got != 1e6 {
		t.Errorf("the spike is lost: max = %v", got)
	}
	if got := s.hub.m.frames[framePrivate].Get(); got == 0 {
		t.Error("no private frame was sent: the client did not stall")
	}
}

func TestClientThatReadsNothingIsClosed(t *testing.T) {
	s := startServer(t, func(o *Options) {
		smallBuffers(o)
		o.Config.WriteTimeout, o.Config.DrainTimeout = 50*time.Millisecond, 50*time.Millisecond
	})
	s.dial(dialOptions{recvBuffer: 2 << 10, stalled: true, query: "?subscribe=%23&max_hz=0"})
	eventually(t, "the connection is there", func() bool { return s.hub.m.connections.Load() == 1 })
	for v := telemetry.Version(0); s.hub.m.connections.Load() > 0; v++ {
		s.feed(single("p/a/m", v, 1))
	}
	if s.hub.m.stalls.Get() != 1 || s.hub.m.closes[endedNoProgress].Get() != 1 {
		t.Errorf("stalls = %d, closes = %d", s.hub.m.stalls.Get(), s.hub.m.closes[endedNoProgress].Get())
	}
	if got := s.hub.m.laggards.Load() + s.hub.m.laggingRows.Load() + s.hub.m.losslessBytes.Load(); got != 0 {
		t.Errorf("gauges do not return to zero: %d", got)
	}
}

func TestOverflowOfTheLosslessLaneClosesWithResync(t *testing.T) {
	s := startServer(t, func(o *Options) {
		smallBuffers(o)
		o.Config.MaxLosslessBytes = 64 << 10
	})
	s.feed(single("p/a/m", 0, 1))
	c := s.dial(dialOptions{recvBuffer: 2 << 10, stalled: true, query: "?subscribe=%23"})
	for s.hub.m.subscriptions.Load() == 0 {
		runtime.Gosched()
	}
	for v := range telemetry.Version(2_000) {
		a := alert(fmt.Sprint("a", v), "p/a/m", telemetry.Firing, v)
		s.hub.alerts(0, []telemetry.Alert{a}, 0)
	}
	c.read() // the client comes back and finds out
	c.waitClosed(wire.CloseResyncOverflow, wire.ReasonResyncOverflow)
	if got := s.hub.m.losslessBytes.Load(); got != 0 {
		t.Errorf("lossless bytes = %d after the close", got)
	}
}

func alert(id, series string, phase telemetry.Phase, v telemetry.Version) telemetry.Alert {
	return telemetry.Alert{ID: id, Rule: "deviation", Series: series, Phase: phase, Version: v, Raised: v, Detector: "ewma"}
}

func TestAlertsComeOncePerConnectionAndOpenOnesWithTheSnapshot(t *testing.T) {
	s := startServer(t, nil)
	s.feed(single("p/a/m", 0, 1), single("q/a/m", 0, 1))
	s.hub.alerts(0, []telemetry.Alert{
		alert("open", "p/a/m", telemetry.Firing, 1),
		alert("over", "p/a/m", telemetry.Firing, 2), alert("over", "p/a/m", telemetry.Resolved, 3),
		alert("elsewhere", "q/a/m", telemetry.Firing, 4),
	}, 4)
	c, f := s.dial(dialOptions{}), newFollower(t)
	c.subscribe("one", "p/#", 0)
	await[*wire.Subscribed](c, f)
	if len(f.open) != 1 || f.open[0].ID != "open" {
		t.Errorf("open alerts of the snapshot = %+v", f.open)
	}
	c.subscribe("two", "p/+/m", 5)
	await[*wire.Subscribed](c, f)
	s.hub.alerts(0, []telemetry.Alert{
		alert("open", "p/a/m", telemetry.Firing, 1), // known: a replay
		alert("elsewhere", "q/a/m", telemetry.Resolved, 5),
		alert("new", "p/b/unheard", telemetry.Firing, 6),
		alert("open", "p/a/m", telemetry.Resolved, 7),
	}, 8)
	c.send(`{"type":"app_ping"}`)
	await[*wire.Pong](c, f)
	var got []string
	for _, a := range f.alerts {
		got = append(got, a.ID+" "+string(a.Phase))
	}
	if fmt.Sprint(got) != "[new firing open resolved]" {
		t.Errorf("alerts = %v", got)
	}
}

func TestGapTellsSubscribersToBeginAnew(t *testing.T) {
	s := startServer(t, nil)
	s.feed(single("p/a/m", 0, 1), single("q/a/m", 0, 1))
	c, f := s.dial(dialOptions{}), newFollower(t)
	c.subscribe("p", "p/#", 0)
	await[*wire.Subscribed](c, f)
	c.subscribe("q", "q/#", 0)
	await[*wire.Subscribed](c, f)

	s.feed(single("p/a/m", 0, 1), single("q/a/m", 1, 1)) // a replay is nothing
	await[*wire.Updates](c, f)
	s.feed(single("p/a/m", 9, 42), single("q/a/m", 2, 1))
	c.followUntil(f, "a new snapshot", func() bool {
		return f.resyncs == 1 && f.series("p", "p/a/m") != nil && f.series("p", "p/a/m").newest.Last == 42
	})
	s.feed(single("p/a/m", 10, 43), single("q/a/m", 3, 1))
	c.followUntil(f, "updates", func() bool {
		return f.series("p", "p/a/m").seen == 10 && f.series("q", "q/a/m").seen == 3
	})
	overlap := single("p/a/m", 11, 1)
	overlap.Since = 5
	s.feed(overlap)
	c.followUntil(f, "another", func() bool { return f.resyncs == 2 && f.ids["p"] != 0 && f.series("p", "p/a/m") != nil })
	if m := s.hub.m; m.gaps.Get() != 1 || m.overlaps.Get() != 1 || m.replays.Get() != 1 {
		t.Errorf("gaps %d, overlaps %d, replays %d; want one each", m.gaps.Get(), m.overlaps.Get(), m.replays.Get())
	}
}

func TestSilentClientIsClosedAndOneThatAnswersPingsIsNot(t *testing.T) {
	s := startServer(t, nil) // whose own sweeper finds nothing to do as long as this takes
	alive, silent := s.dial(dialOptions{}), s.dial(dialOptions{noPong: true})
	f := newFollower(t)
	await[*wire.Welcome](alive, f)
	await[*wire.Welcome](silent, newFollower(t))
	const margin = 10 * time.Second
	now := time.Now()
	silence := s.hub.elapsed(now.Add(margin - s.cfg.IdleTimeout))
	for _, c := range s.conns.list() {
		c.heard.Store(silence)
		c.mu.Lock()
		c.pinged = time.Time{} // is due
		c.mu.Unlock()
	}
	s.survey(now)
	silent.until("a ping", func() bool { return silent.pings > 0 })
	eventually(t, "one has answered", func() bool {
		return slices.ContainsFunc(s.conns.list(), func(c *client) bool { return c.heard.Load() != silence })
	})
	s.survey(now.Add(2 * margin))
	silent.waitClosed(wire.CloseHeartbeat, wire.ReasonHeartbeat)
	alive.send(`{"type":"app_ping"}`)
	await[*wire.Pong](alive, f)
}

func TestStopSendsWhatIsLeftAndSaysGoodbye(t *testing.T) {
	s := startServer(t, nil)
	s.feed(single("p/a/m", 0, 1))
	c, f := s.dial(dialOptions{}), newFollower(t)
	c.subscribe("slow", "#", 0.01)
	await[*wire.Subscribed](c, f)
	s.feed(single("p/a/m", 1, 1)) // would wait for 100 s
	s.stop()
	if d := await[*wire.Draining](c, f); d.ReconnectAfterMS <= 0 || d.JitterMS <= 0 {
		t.Errorf("draining = %+v", d)
	}
	c.followUntil(f, "the last update", func() bool { return f.series("slow", "p/a/m").seen == 1 })
	c.waitClosed(wire.CloseDraining, wire.ReasonDraining)
}

func TestDrainingConnectionWaitsForTheSnapshotAheadOfItsAlerts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := testHub()
		p, f := h.pipe(), newFollower(t)
		defer p.end()
		s := &subscription{id: "x", client: p.client}
		place := p.reserve(s, 0)
		p.send(alertFrame(&telemetry.Alert{ID: "late", Phase: telemetry.Firing}))
		p.send(textFrame((&wire.Draining{ReconnectAfterMS: 1}).Append(nil)))
		p.close(endedDraining)
		synctest.Wait()
		told := &answer{snap: &snapshot{view: 1}}
		p.fill(place, told.frame("x", asJSON))
		if _, ok := f.take(p.message()).(*wire.Subscribed); !ok {
			t.Errorf("first: %+v", f.last)
		}
		if _, ok := f.take(p.message()).(*wire.AlertMsg); !ok {
			t.Errorf("second: %+v", f.last)
		}
		if _, ok := f.take(p.message()).(*wire.Draining); !ok {
			t.Errorf("third: %+v", f.last)
		}
		if bye := p.message(); string(bye[2:]) != wire.ReasonDraining {
			t.Errorf("last: %q", bye)
		}
	})
}

func TestConnectionWhoseSnapshotIsNeverMadeIsCutWhenItsTimeToDrainIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, cfg := testHub(), DefaultConfig()
		p := h.pipe()
		defer p.end()
		p.reserve(&subscription{id: "x", client: p.client}, 0)
		p.close(endedDraining)
		p.check(time.Now().Add(p.limits.closeGrace), &cfg)
		if err := p.conn.SetDeadline(time.Time{}); err != nil {
			t.Errorf("cut too early: %v", err)
		}
		p.check(time.Now().Add(p.limits.closeGrace+1), &cfg)
		if p.message() != nil {
			t.Error("still connected")
		}
	})
}

func TestStopDoesNotWaitForAStalledClient(t *testing.T) {
	s := startServer(t, func(o *Options) {
		smallBuffers(o)
		o.Config.DrainTimeout = 50 * time.Millisecond
	})
	s.dial(dialOptions{recvBuffer: 2 << 10, stalled: true, query: "?subscribe=%23&max_hz=0"})
	for v := telemetry.Version(0); s.hub.m.laggards.Load() == 0; v++ {
		s.feed(single("p/a/m", v, 1))
	}
	s.stop()
	if n := s.hub.m.connections.Load(); n != 0 {
		t.Errorf("%d connections after Run", n)
	}
}

func TestHostileFramesEndTheirConnectionOnly(t *testing.T) {
	s := startServer(t, nil)
	witness := s.dial(dialOptions{})
	for _, length := range []uint64{1 << 63, 1<<64 - 1, 1 << 40, uint64(s.cfg.MaxMessageBytes) + 1} {
		c := s.dial(dialOptions{})
		header := binary.BigEndian.AppendUint64([]byte{0x81, 0xff}, length)
		if _, err := c.conn.NetConn().Write(append(header, 1, 2, 3, 4)); err != nil {
			t.Fatal(err)
		}
		c.until("close", func() bool { return c.ended })
	}
	f := newFollower(t)
	witness.send(`{"type":"app_ping"}`)
	await[*wire.Pong](witness, f)
}

func TestConnectionsBeyondTheLimitAreRefused(t *testing.T) {
	s := startServer(t, func(o *Options) { o.Config.MaxConnections = 1 })
	await[*wire.Welcome](s.dial(dialOptions{}), newFollower(t))
	status, body := s.get(t, "/v1/live", "Upgrade", "websocket")
	if status != 429 || errorCode(body) != wire.CodeTooManyConns {
		t.Errorf("got %d %s", status, body)
	}
}
