package push

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"

	"weir/telemetry"
	"weir/wire"
)

// mustSubscribe makes a subscription at 20 Hz.
func (p *pipeClient) mustSubscribe(t *testing.T, id, pattern string) {
	t.Helper()
	if err := p.hub.subscribe(p.client, id, choice{patterns: patterns(pattern), hz: 20}, nil); err != nil {
		t.Fatal(err)
	}
}

// takeEncoders leaves none free.
func (h *hub) takeEncoders() (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for h.encoders.take() {
		n++
	}
	return n
}

func (h *hub) releaseEncoders(n int) {
	for range n {
		h.releaseEncoder()
	}
}

func TestClientThatDoesNotReadHoldsOneSnapshotHoweverOftenItSubscribes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := testHub()
		h.apply(0, []telemetry.Update{single("p/a/m", 0, 1), single("q/a/m", 0, 1)}, 0)
		p, f := h.pipe(), newFollower(t)
		defer p.end()
		held := func() (n int) {
			synctest.Wait()
			p.mu.Lock()
			defer p.mu.Unlock()
			for _, it := range p.lane.items {
				if it.opens != nil {
					n++
				}
			}
			return n
		}
		p.send(errorFrame(wire.NewError(wire.CodeInternal, ""), "")) // stands in the way, unread
		synctest.Wait()
		for i := range 100 {
			p.mustSubscribe(t, "again", "#")
			if n := held(); n != 1 {
				t.Fatalf("%d snapshots held after %d subscriptions, want 1", n, i+1)
			}
			h.unsubscribe(p.client, "again")
			if n, bytes := held(), h.m.snapshotBytes.Load(); n != 0 || bytes != 0 {
				t.Fatalf("%d snapshots of %d bytes held after unsubscribe %d", n, bytes, i+1)
			}
		}
		for i, pattern := range []string{"#", "p/#", "q/#", "+/a/m"} {
			p.mustSubscribe(t, fmt.Sprint(i), pattern)
			if n := held(); n != 1 {
				t.Errorf("%d snapshots held with %d subscriptions, want 1", n, i+1)
			}
		}
		h.unsubscribe(p.client, "0") // gives its turn up
		h.unsubscribe(p.client, "2") // gives up its place in line
		f.take(p.message())
		for _, id := range []string{"1", "3"} {
			if m, ok := f.take(p.message()).(*wire.Subscribed); !ok || m.ID != id {
				t.Errorf("got %+v, want the snapshot of %s", f.last, id)
			}
		}
		if n, bytes := held(), h.m.snapshotBytes.Load(); n != 0 || bytes != 0 {
			t.Errorf("%d snapshots of %d bytes held after all were read", n, bytes)
		}
	})
}

func TestSnapshotInFlightKeepsTheNextBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := testHub()
		h.apply(0, []telemetry.Update{single("p/a/m", 0, 1)}, 0)
		p, f := h.pipe(), newFollower(t)
		defer p.end()
		p.mustSubscribe(t, "first", "#")
		synctest.Wait() // it is being written
		h.unsubscribe(p.client, "first")
		p.mustSubscribe(t, "second", "#")
		synctest.Wait()
		if bytes := h.m.snapshotBytes.Load(); bytes != 0 {
			t.Errorf("%d bytes of a second snapshot while the first is in flight", bytes)
		}
		for _, id := range []string{"first", "second"} {
			if m, ok := f.take(p.message()).(*wire.Subscribed); !ok || m.ID != id {
				t.Errorf("got %+v, want the snapshot of %s", f.last, id)
			}
		}
		h.apply(0, []telemetry.Update{single("p/a/m", 1, 1)}, 0)
		f.take(p.message())
		if got := f.series("second", "p/a/m").seen; got != 1 {
			t.Errorf("second is at version %d, want 1", got)
		}
	})
}

func TestViewsThatBreakTogetherSendTheirSnapshotsOneAfterTheOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := testHub()
		h.apply(0, []telemetry.Update{single("p/a/m", 0, 1)}, 0)
		p, f := h.pipe(), newFollower(t)
		defer p.end()
		ids := map[string]string{"one": "#", "two": "p/#", "three": "p/+/m"}
		for id, pattern := range ids {
			p.mustSubscribe(t, id, pattern)
			f.take(p.message())
		}
		h.apply(0, []telemetry.Update{single("p/a/m", 5, 1)}, 0)
		for f.resyncs < len(ids) || len(f.views) < len(ids) {
			f.take(p.message())
		}
		for id := range ids {
			if got := f.series(id, "p/a/m").base; got != 5 {
				t.Errorf("%s begins anew at version %d, want 5", id, got)
			}
		}
	})
}

func TestSnapshotsWaitForAnEncoderWithoutBeingCopied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := testHub()
		h.apply(0, []telemetry.Update{single("p/a/m", 0, 1)}, 0)
		n := h.takeEncoders()
		var clients []*pipeClient
		for i := range 20 {
			p := h.pipe()
			p.mustSubscribe(t, "x", []string{"#", "p/#", "p/a/m", "+/a/m"}[i%4])
			clients = append(clients, p)
		}
		synctest.Wait()
		h.mu.Lock()
		if got := len(h.encoders.queue); got != 4 {
			t.Errorf("%d wait for an encoder, want one for each of the 4 views", got)
		}
		h.mu.Unlock()
		for _, p := range clients {
			if len(p.lane.items) != 0 {
				t.Fatal("a place was taken before there was an encoder")
			}
		}
		h.apply(0, []telemetry.Update{single("p/a/m", 1, 1)}, 0)
		h.releaseEncoders(n)
		for _, p := range clients {
			f := newFollower(t)
			if m, ok := f.take(p.message()).(*wire.Subscribed); !ok || m.Rows[0].Update.Version != 1 {
				t.Errorf("got %+v, want a snapshot at version 1", f.last)
			}
			p.end()
		}
		synctest.Wait()
		if h.encoders.free != n {
			t.Errorf("%d encoders free at the end, want %d", h.encoders.free, n)
		}
	})
}

func TestSnapshotOfAPlaceThatWasGivenUpIsNotKept(t *testing.T) {
	h := testHub()
	p := h.pipe()
	defer p.end()
	s := &subscription{id: "x", client: p.client}
	it := p.reserve(s, 0)
	if !p.wants(it) {
		t.Error("the place is not wanted")
	}
	p.forget(s)
	if p.wants(it) {
		t.Error("the place is still wanted")
	}
	p.fill(it, textFrame(make([]byte, 1000)))
	if got := h.m.snapshotBytes.Load(); got != 0 || it.frame.body != nil {
		t.Errorf("%d bytes are held", got)
	}
}

func TestSnapshotsOverHTTPWaitForAnEncoderAndTooManyAreRefused(t *testing.T) {
	s := startServer(t, nil)
	s.feed(single("p/a/m", 0, 1))
	n := s.hub.takeEncoders()
	waiting := func() int {
		s.hub.mu.Lock()
		defer s.hub.mu.Unlock()
		return s.hub.encoders.requests
	}
	status := make(chan int)
	go func() {
		code, _ := s.get(t, "/v1/snapshot?series=%23")
		status <- code
	}()
	eventually(t, "the request waits", func() bool { return waiting() == 1 })
	given, giveUp := context.WithCancel(t.Context())
	left := make(chan error)
	for range maxSnapshotRequests - 1 {
		go func() { left <- s.hub.acquireEncoder(given) }()
	}
	eventually(t, "all wait", func() bool { return waiting() == maxSnapshotRequests })
	if code, body := s.get(t, "/v1/snapshot?series=%23"); code != http.StatusServiceUnavailable || errorCode(body) != wire.CodeOverloaded {
		t.Errorf("one too many: %d %s", code, body)
	}
	giveUp()
	for range maxSnapshotRequests - 1 {
		if err := <-left; err == nil {
			t.Error("an encoder was given although none was free")
		}
	}
	s.hub.releaseEncoders(n)
	if code := <-status; code != http.StatusOK {
		t.Errorf("the request that waited: %d", code)
	}
	eventually(t, "all encoders are free", func() bool {
		s.hub.mu.Lock()
		defer s.hub.mu.Unlock()
		return s.hub.encoders.free == n && s.hub.encoders.requests == 0
	})
}
