package push

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"weir/telemetry"
	"weir/wire"
)

// pipeClient is a connection over net.Pipe, where nothing is buffered: a write lasts until it is read.
type pipeClient struct {
	*client
	far net.Conn
	in  *bufio.Reader
}

func (h *hub) pipe() *pipeClient {
	near, far := net.Pipe()
	c := &client{hub: h, conn: near, limits: limits{1 << 20, time.Second}}
	return &pipeClient{client: c, far: far, in: bufio.NewReaderSize(far, 16)}
}

// message reads one message, and nil when the connection has ended.
func (p *pipeClient) message() []byte {
	var head [10]byte
	if _, err := io.ReadFull(p.in, head[:2]); err != nil {
		return nil
	}
	n := int(head[1])
	switch n {
	case 126:
		_, _ = io.ReadFull(p.in, head[:2])
		n = int(head[0])<<8 | int(head[1])
	case 127:
		_, _ = io.ReadFull(p.in, head[:8])
		n = int(head[4])<<24 | int(head[5])<<16 | int(head[6])<<8 | int(head[7])
	}
	payload := make([]byte, n)
	if _, err := io.ReadFull(p.in, payload); err != nil {
		return nil
	}
	return payload
}

func (p *pipeClient) end() {
	_ = p.conn.Close()
	_ = p.far.Close()
	p.ended(endedLost)
	p.hub.leave(p.client)
}

func testHub() *hub {
	s, err := build(Options{Config: DefaultConfig()})
	if err != nil {
		panic(err)
	}
	s.hub.setReady()
	return s.hub
}

func patterns(texts ...string) []telemetry.Pattern {
	out, err := parsePatterns(texts, len(texts), "")
	if err != nil {
		panic(err)
	}
	return out
}

func TestViewSpeaksAtOnceWhenIdleAndThenAtItsRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := testHub()
		p, f := h.pipe(), newFollower(t)
		if err := h.subscribe(p.client, "x", choice{patterns: patterns("#"), hz: 20}, nil); err != nil {
			t.Fatal(err)
		}
		f.take(p.message())
		time.Sleep(time.Second) // virtual
		start := time.Now()
		var arrivals []time.Duration
		go func() {
			for v := range telemetry.Version(30) { // every 10 ms
				h.apply(0, []telemetry.Update{single("p/a/m", v, 1)}, int64(v))
				time.Sleep(10 * time.Millisecond)
			}
		}()
		for f.series("x", "p/a/m") == nil || f.series("x", "p/a/m").seen < 29 {
			if _, ok := f.take(p.message()).(*wire.Updates); ok {
				arrivals = append(arrivals, time.Since(start).Round(time.Millisecond))
			}
		}
		p.end()
		if got := fmt.Sprint(arrivals); got != "[0s 50ms 100ms 150ms 200ms 250ms 300ms]" {
			t.Errorf("frames at %s", got)
		}
	})
}

func TestJoinersOfASlowViewShareASnapshotAndWaitLittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := testHub()
		h.apply(0, []telemetry.Update{single("p/a/m", 0, 1)}, 1)
		var clients []*pipeClient
		join := func() {
			p := h.pipe()
			clients = append(clients, p)
			if err := h.subscribe(p.client, "x", choice{patterns: patterns("#"), hz: 0.1}, nil); err != nil {
				t.Fatal(err)
			}
		}
		join()
		newFollower(t).take(clients[0].message())
		start := time.Now()
		h.apply(0, []telemetry.Update{single("p/a/m", 1, 1)}, 2) // next frame in 10 s
		join()
		join()
		for _, p := range clients[1:] {
			f := newFollower(t)
			if m := f.take(p.message()).(*wire.Subscribed); m.Rows[0].Update.Version != 1 {
				t.Errorf("snapshot at version %d, want 1", m.Rows[0].Update.Version)
			}
		}
		if waited := time.Since(start); waited != joinPeriod {
			t.Errorf("waited %v, want %v", waited, joinPeriod)
		}
		for _, p := range clients {
			p.end()
		}
	})
}

// The chain of every view and series on a connection is contiguous and adds up, whatever the order of
// updates, subscriptions, readers that stall, and ticks.
func TestChainsHoldUnderAnyInterleaving(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// rapid asks a *testing.T for its deadline, which a bubble does not allow.
		rapid.Check(struct{ *testing.T }{t}, func(rt *rapid.T) { runInterleaving(t, rt) })
	})
}

type modelClient struct {
	*pipeClient
	f      *follower
	permit chan struct{} // one for each message that the reader may read; closed: any number
	done   chan struct{}
}

func runInterleaving(t *testing.T, rt *rapid.T) {
	h := testHub()
	versions := map[string]telemetry.Version{}
	names := []string{"p/a/x", "p/a/y", "p/b/x", "q/a/x"}
	var clients []*modelClient
	for range 2 {
		m := &modelClient{pipeClient: h.pipe(), f: newFollower(t), permit: make(chan struct{}, 1000), done: make(chan struct{})}
		go func() {
			defer close(m.done)
			for range m.permit {
				m.read()
			}
			for m.read() {
			}
		}()
		clients = append(clients, m)
	}
	subscribed := map[string]bool{}
	for range rapid.IntRange(10, 80).Draw(rt, "steps") {
		m := clients[rapid.IntRange(0, 1).Draw(rt, "client")]
		switch rapid.IntRange(0, 9).Draw(rt, "op") {
		case 0:
			id := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(rt, "id")
			pattern := rapid.SampledFrom([]string{"#", "p/#", "+/a/x", "p/a/y"}).Draw(rt, "pattern")
			hz := rapid.SampledFrom([]float64{0, 10, 20, 0.5}).Draw(rt, "hz")
			_ = h.subscribe(m.client, id, choice{patterns: patterns(pattern), hz: hz}, nil)
			subscribed[id] = true
		case 1:
			h.unsubscribe(m.client, rapid.SampledFrom([]string{"a", "b", "c"}).Draw(rt, "id"))
		case 2, 3:
			for range rapid.IntRange(1, 5).Draw(rt, "reads") {
				m.permit <- struct{}{}
			}
		case 4:
			time.Sleep(time.Duration(rapid.IntRange(1, 200).Draw(rt, "ms")) * time.Millisecond)
		case 5:
			synctest.Wait()
		case 6: // some updates are lost on the way
			name := rapid.SampledFrom(names).Draw(rt, "series")
			if rapid.IntRange(0, 4).Draw(rt, "rarely") == 0 {
				versions[name] += 3
			}
		default:
			var us []telemetry.Update
			for range rapid.IntRange(1, 6).Draw(rt, "updates") {
				name := rapid.SampledFrom(names).Draw(rt, "series")
				us = append(us, single(name, versions[name], float64(versions[name])))
				versions[name]++
			}
			h.apply(0, us, 0)
		}
	}
	// Let everybody read to the end, and compare with what was fed.
	for _, m := range clients {
		close(m.permit)
	}
	time.Sleep(time.Minute)
	synctest.Wait()
	h.mu.Lock()
	for _, m := range clients {
		for _, s := range m.subs {
			for _, e := range s.view.members {
				got := m.f.series(s.id, e.name)
				if got == nil || got.seen != e.last.Version || got.n != uint64(got.seen-got.base) {
					rt.Errorf("%s of subscription %s ends at %+v, want version %d", e.name, s.id, got, e.last.Version)
				}
			}
		}
	}
	h.mu.Unlock()
	for _, m := range clients {
		m.end()
		<-m.done
	}
	if got := h.m.laggards.Load() + h.m.laggingRows.Load() + h.m.views.Load() + h.m.subscriptions.Load(); got != 0 {
		rt.Errorf("laggards %d, rows %d, views %d left", h.m.laggards.Load(), h.m.laggingRows.Load(), h.m.views.Load())
	}
}

func (m *modelClient) read() bool {
	raw := m.message()
	if raw == nil {
		return false
	}
	m.f.take(raw)
	return true
}

func TestSnapshotOfASubscriptionThatEndedMeanwhileIsNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := testHub()
		p, f := h.pipe(), newFollower(t)
		defer p.end()
		p.send(alertFrame(&telemetry.Alert{ID: "x"})) // nobody reads yet
		synctest.Wait()
		p.mustSubscribe(t, "x", "#")
		synctest.Wait()
		h.unsubscribe(p.client, "x")
		p.send(errorFrame(wire.NewError(wire.CodeInternal, ""), ""))
		f.take(p.message())
		if _, ok := f.take(p.message()).(*wire.ErrorMsg); !ok {
			t.Errorf("second message: %+v", f.last)
		}
	})
}

func TestMistakeInAPendingSetMakesTheViewBeginAnew(t *testing.T) {
	for _, place := range []string{"view", "laggard"} {
		synctest.Test(t, func(t *testing.T) {
			h := testHub()
			p, f := h.pipe(), newFollower(t)
			defer p.end()
			version := telemetry.NoVersion
			feed := func() {
				version++
				h.apply(0, []telemetry.Update{single("p/a/m", version, 1)}, 0)
			}
			feed()
			if err := h.subscribe(p.client, "x", choice{patterns: patterns("#"), hz: 0}, nil); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			for range 4 { // the snapshot and a frame wait, the rest gathers
				feed()
			}
			s := p.subs.named("x")
			set := &s.view.pending
			if place == "laggard" {
				set = &s.behind.set.gathered
			} else {
				stray := single("p/a/m", 0, 1)
				_, _ = set.add(0, &stray)
			}
			set.rows[0].Version = 1
			feed()
			for f.resyncs == 0 || f.series("x", "p/a/m") == nil {
				f.take(p.message())
			}
			feed()
			for f.series("x", "p/a/m").seen < version {
				f.take(p.message())
			}
		})
	}
}
