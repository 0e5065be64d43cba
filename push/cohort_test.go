package push

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"weir/telemetry"
	"weir/wire"
)

// Whoever misses the same is told by the same bytes, and what it takes is there once.
func TestWhoFallBehindTogetherAreToldByFramesThatAreEncodedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const names, each = 10, 20
		h := testHub()
		version := telemetry.NoVersion
		feed := func() {
			version++
			var us []telemetry.Update
			for i := range names {
				us = append(us, single(fmt.Sprintf("p/d%d/m", i), version, 1))
			}
			h.apply(0, us, 0)
			synctest.Wait()
		}
		feed()
		var clients []*modelClient
		// join lets as many more join by each of two encodings, which stall with one frame in flight and one that waits.
		join := func() {
			for i := range 2 * each {
				p, f := h.pipe(), newFollower(t)
				if i%2 == 1 {
					p.encoding, f.proto = asProto, true
				}
				if err := h.subscribe(p.client, "x", choice{patterns: patterns("#")}, nil); err != nil {
					t.Fatal(err)
				}
				f.take(p.message())
				clients = append(clients, &modelClient{pipeClient: p, f: f})
			}
			synctest.Wait()
		}
		read := func(clients []*modelClient) {
			for _, m := range clients {
				for m.f.series("x", "p/d0/m").seen < version && m.read() {
				}
			}
			synctest.Wait()
		}
		defer func() {
			for _, m := range clients {
				m.end()
			}
		}()
		join()
		for range 5 {
			feed()
		}
		if got := h.m.laggingRows.Load(); got != names {
			t.Errorf("%d rows wait for %d who miss the same, want %d", got, len(clients), names)
		}
		read(clients[:each])
		if got := h.m.gatheredFrames.Get(); got != 2 {
			t.Errorf("%d frames were encoded for %d with two encodings", got, each)
		}
		join() // and they fall behind, as those who have read, later than the others did
		for range 5 {
			feed()
		}
		if got, want := h.m.laggingRows.Load(), int64(2*names); got != want {
			t.Errorf("%d rows wait for two cohorts, want %d", got, want)
		}
		read(clients)
		if got := h.m.gatheredFrames.Get(); got != 6 {
			t.Errorf("%d frames were encoded, want two for each of three sets that went out", got)
		}
		if got := h.m.frames[framePrivate].Get(); got != 5*each {
			t.Errorf("%d were sent", got)
		}
		if h.m.laggards.Load() != 0 || h.m.buffered() != 0 {
			t.Errorf("%d laggards and %d bytes are left", h.m.laggards.Load(), h.m.buffered())
		}
	})
}

// Clients of one view that stall as they like each see intervals that meet, and that are merged as they should be. There are
// no more encoded than there are different ones, however many clients there are.
func TestCohortsHoldUnderAnyInterleaving(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rapid.Check(struct{ *testing.T }{t}, func(rt *rapid.T) { runCohorts(t, rt) })
	})
}

// cohortClient keeps what it is told of updates in a set of all clients.
type cohortClient struct {
	*lawClient
	seen *sync.Map // of messages
}

func (m *cohortClient) read() bool {
	raw := m.message()
	if raw == nil {
		return false
	}
	switch msg := m.f.take(raw).(type) {
	case *wire.Updates:
		m.seen.Store(string(raw), true)
		m.keep(msg.Rows)
	case *wire.Subscribed:
		m.keep(msg.Rows)
	}
	return true
}

func (m *lawClient) keep(rows []wire.Row) {
	for _, r := range rows {
		m.rows = append(m.rows, *r.Update)
	}
}

func newCohortClient(t *testing.T, h *hub, seen *sync.Map, choosy bool) *cohortClient {
	m := &modelClient{pipeClient: h.pipe(), f: newFollower(t), permit: make(chan struct{}, 1000), done: make(chan struct{})}
	m.f.choosy = choosy
	c := &cohortClient{&lawClient{modelClient: m, subs: map[string]lawChoice{}}, seen}
	go func() {
		defer close(m.done)
		for range m.permit {
			c.read()
		}
		for c.read() {
		}
	}()
	return c
}

func runCohorts(t *testing.T, rt *rapid.T) {
	h, past, seen := testHub(), history{}, new(sync.Map)
	want := rapid.SampledFrom(append([]lawChoice{{}, {}, {}}, lawChoices...)).Draw(rt, "choice")
	want.patterns, want.hz = patterns("#"), rapid.SampledFrom([]float64{0, 10}).Draw(rt, "hz")
	all := want.meets == nil
	var clients []*cohortClient
	toggle := func(m *cohortClient) {
		if h.unsubscribe(m.client, "a") {
			delete(m.subs, "a")
		} else if err := h.subscribe(m.client, "a", want.choice, nil); err == nil {
			m.subs["a"] = want
		}
	}
	for i := range 6 {
		m := newCohortClient(t, h, seen, !all)
		if i%3 == 2 {
			m.encoding, m.f.proto = asProto, true
		}
		toggle(m)
		clients = append(clients, m)
	}
	for range rapid.IntRange(10, 80).Draw(rt, "steps") {
		m := clients[rapid.IntRange(0, len(clients)-1).Draw(rt, "client")]
		switch rapid.IntRange(0, 9).Draw(rt, "op") {
		case 0:
			if rapid.IntRange(0, 3).Draw(rt, "rarely") == 0 {
				toggle(m)
			}
		case 1, 2:
			m.permit <- struct{}{}
		case 3: // some read alike
			for _, m := range clients[rapid.IntRange(0, 5).Draw(rt, "from"):] {
				m.permit <- struct{}{}
			}
		case 4:
			time.Sleep(time.Duration(rapid.IntRange(1, 200).Draw(rt, "ms")) * time.Millisecond)
		case 5:
			synctest.Wait()
		default:
			var us []telemetry.Update
			for range rapid.IntRange(1, 4).Draw(rt, "updates") {
				us = append(us, past.next(
					rapid.SampledFrom([]string{"p/a/x", "p/a/y", "p/b/x", "q/a/x"}).Draw(rt, "series"),
					float64(rapid.IntRange(0, 100).Draw(rt, "value")), 0.5,
					rapid.SampledFrom([]telemetry.State{telemetry.OK, telemetry.Anomalous}).Draw(rt, "state"),
				))
			}
			h.apply(0, us, 0)
		}
	}
	finishCohorts(rt, h, past, clients, all)
}

// finishCohorts lets everybody read to the end, and compares.
func finishCohorts(rt *rapid.T, h *hub, past history, clients []*cohortClient, all bool) {
	for _, m := range clients {
		close(m.permit)
	}
	time.Sleep(time.Minute)
	synctest.Wait()
	for _, m := range clients {
		h.mu.Lock()
		for i := range m.rows {
			past.check(rt, &m.rows[i])
		}
		for id, want := range m.subs {
			if !all {
				m.compare(rt, past, id, want)
				continue
			}
			for name, us := range past {
				if got := m.f.series(id, name); got == nil || int(got.seen) != len(us)-1 || got.n != uint64(got.seen-got.base) {
					rt.Errorf("%s of %s ends at %+v, and %d is the newest", name, id, got, len(us)-1)
				}
			}
		}
		h.mu.Unlock()
		m.end()
		<-m.done
	}
	distinct := 0
	clients[0].seen.Range(func(any, any) bool { distinct++; return true })
	if made := h.m.gatheredFrames.Get(); all && made > uint64(distinct) {
		rt.Errorf("%d frames of what was gathered were encoded, and all got %d different ones", made, distinct)
	}
	if got := h.m.laggards.Load() + h.m.laggingRows.Load() + h.m.laggingBytes.Load() + h.m.views.Load(); got != 0 {
		rt.Errorf("laggards %d, rows %d, bytes %d left", h.m.laggards.Load(), h.m.laggingRows.Load(), h.m.laggingBytes.Load())
	}
}

// A client that is behind because its writer has not had its turn is not asked how far it has read.
func TestOnlyWhoIsWaitedForIsAskedHowFarItHasRead(t *testing.T) {
	for name, waited := range map[string]bool{"its writer is due to run": false, "it is written to": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := testHub()
				p, f := h.pipe(), newFollower(t)
				defer p.end()
				p.probes = true
				if err := h.subscribe(p.client, "x", choice{patterns: patterns("#")}, nil); err != nil {
					t.Fatal(err)
				}
				f.take(p.message())
				synctest.Wait()
				version := telemetry.NoVersion
				feed := func(n int) {
					for range n {
						version++
						h.apply(0, []telemetry.Update{single("p/a/m", version, 1)}, 0)
					}
				}
				if waited {
					feed(1)
					synctest.Wait()
					feed(3)
				} else {
					p.mu.Lock()
					p.writing = true
					p.mu.Unlock()
					feed(4)
					p.mu.Lock()
					p.writing = false
					p.kickLocked()
					p.mu.Unlock()
				}
				for f.series("x", "p/a/m") == nil || f.series("x", "p/a/m").seen < version {
					f.take(p.message())
				}
				if waited {
					p.message() // the ping
				}
				synctest.Wait()
				p.mu.Lock()
				defer p.mu.Unlock()
				if asked := p.probe != 0; asked != waited {
					t.Errorf("asked: %v, want %v", asked, waited)
				}
			})
		})
	}
}

// A member that goes while the others are still being offered a frame has it, and is not told twice; and what it goes with stays
// as it is when the next is merged for those who stay.
func TestMemberGoesWithWhatItsCohortHadAtThatMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := testHub()
		var clients []*pipeClient
		for range 2 {
			p := h.pipe()
			defer p.end()
			if err := h.subscribe(p.client, "x", choice{patterns: patterns("#")}, nil); err != nil {
				t.Fatal(err)
			}
			p.message()
			clients = append(clients, p)
		}
		synctest.Wait()
		for _, p := range clients {
			p.mu.Lock()
			p.writing = true // by the test
			p.mu.Unlock()
		}
		for v := range telemetry.Version(2) {
			h.apply(0, []telemetry.Update{single("p/a/m", v, 1)}, 0)
		}
		stays, goes := clients[0], clients[1]
		v := stays.subs[0].view
		h.mu.Lock()
		defer h.mu.Unlock()
		speak := func(version telemetry.Version) *flush {
			u := single("p/a/m", version, 1)
			v.pending.reset()
			_, _ = v.pending.add(0, &u)
			v.spoken++
			f := &flush{view: v, number: v.spoken, pushed: 1}
			if err := stays.offer(stays.subs[0], f); err != nil {
				t.Fatal(err)
			}
			return f
		}
		third := speak(2)
		goes.mu.Lock()
		parts := goes.takeLocked(nil)
		goes.mu.Unlock()
		if err := goes.offer(goes.subs[0], third); err != nil {
			t.Fatal(err)
		}
		set := parts[1].behind
		if s := goes.subs[0]; s.next != nil || s.behind != nil || s.figures.merged != 1 {
			t.Errorf("it is told the third frame twice, or %d rows merged, want 1", s.figures.merged)
		}
		speak(3)
		if got := set.rows[0]; got.Version != 2 || got.N != 2 {
			t.Errorf("it goes with %+v", got)
		}
		if got := stays.subs[0].behind.set.rows[0]; got.Version != 3 || got.N != 3 {
			t.Errorf("who stays has %+v", got)
		}
		if got := h.m.laggingRows.Load(); got != 2 {
			t.Errorf("%d rows wait, want those of the one and those of the other", got)
		}
		h.release(set)
		for _, p := range clients {
			p.mu.Lock()
			p.writing = false
			p.mu.Unlock()
		}
	})
}
