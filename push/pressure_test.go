package push

import (
	"fmt"
	"math"
	"net/http"
	"net/netip"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"weir/telemetry"
	"weir/wire"
)

func TestNewConnectionsAreRefusedWhileTooMuchWaitsAndTheOthersGoOn(t *testing.T) {
	const bound = 256 << 10
	s := startServer(t, func(o *Options) {
		smallBuffers(o)
		o.Config.MaxBufferedBytes = bound
	})
	s.feed(single("p/a/m", 0, 1), single("q/a/m", 0, 1))
	stalled := s.dial(dialOptions{recvBuffer: 2 << 10, stalled: true, query: "?subscribe=p/%23"})
	working, f := s.dial(dialOptions{query: "?subscribe=q/%23"}), newFollower(t)
	await[*wire.Subscribed](working, f)
	eventually(t, "both subscribe", func() bool { return s.hub.m.subscriptions.Load() == 2 })
	alerts := telemetry.Version(0)
	raise := func(until int64) {
		for s.hub.m.buffered() <= until {
			s.hub.alerts(0, []telemetry.Alert{alert(fmt.Sprint("a", alerts), "p/a/m", telemetry.Firing, alerts)}, 0)
			alerts++
		}
		s.survey(time.Now())
	}
	raise(bound)
	for _, path := range []string{"/v1/live", "/v1/events?subscribe=%23"} {
		res := s.request(t, path, "Connection", "Upgrade", "Upgrade", "websocket")
		wait, _ := strconv.Atoi(res.Header.Get("Retry-After"))
		if res.StatusCode != http.StatusServiceUnavailable || wait < 5 {
			t.Errorf("%s is answered %d, Retry-After %d", path, res.StatusCode, wait)
		}
	}
	if m := s.hub.m; m.refused[wire.CodeOverloaded].Get() != 2 || m.overloaded.Load() != 1 || m.connections.Load() != 2 {
		t.Errorf("refused %d, overloaded %d, connections %d", m.refused[wire.CodeOverloaded].Get(), m.overloaded.Load(), m.connections.Load())
	}
	s.feed(single("q/a/m", 1, 1))
	working.followUntil(f, "an update", func() bool { return f.series("q/#", "q/a/m").seen == 1 })

	raise(bound + bound/2) // too much: who has most makes room
	stalled.read()
	stalled.waitClosed(wire.CloseResyncOverflow, wire.ReasonResyncOverflow)
	s.survey(time.Now())
	await[*wire.Welcome](s.dial(dialOptions{}), newFollower(t))
	s.feed(single("q/a/m", 2, 1))
	working.followUntil(f, "an update", func() bool { return f.series("q/#", "q/a/m").seen == 2 })
	if got := s.hub.m.shed.Get(); got != 1 {
		t.Errorf("%d were closed to make room", got)
	}
}

func (ts *testServer) request(t *testing.T, path string, header ...string) *http.Response {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, "http://"+ts.addr+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	return res
}

func TestNewConnectionsAreRefusedWhileTheHeapIsNearItsLimit(t *testing.T) {
	s := lifeServer(t, nil)
	if s.pressure.live() <= 0 {
		t.Error("nothing is in use")
	}
	for _, tc := range []struct {
		limit, live int64
		refused     bool
	}{
		{math.MaxInt64, 1 << 40, false},
		{1000, 800, false},
		{1000, 801, true},
		{1000, 500, false},
	} {
		s.pressure = pressure{limit: func() int64 { return tc.limit }, live: func() int64 { return tc.live }}
		s.survey(time.Now())
		err := s.conns.admit(s.newClient(), netip.Prefix{})
		if refused := err != nil; refused != tc.refused || refused && err.Code != wire.CodeOverloaded {
			t.Errorf("%d of %d bytes: %v", tc.live, tc.limit, err)
		}
	}
}

func (p *pipeClient) lagging() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.laggingLocked()
}

func TestWhatWaitsForOneConnectionIsBoundedWithWhatItGathers(t *testing.T) {
	for names, want := range map[int]closeReason{100: 0, 400: endedOverflow} {
		synctest.Test(t, func(t *testing.T) {
			s := lifeServer(t, func(o *Options) { o.Config.MaxWaitingBytes = 64 << 10 })
			feed := func(v telemetry.Version) {
				for i := range names {
					s.hub.apply(0, []telemetry.Update{single(fmt.Sprintf("p/d%d/m", i), v, 1)}, 0)
					if i == 0 {
						synctest.Wait() // until it is in flight
					}
				}
			}
			feed(0)
			p := s.join(t, "a")
			defer p.end()
			if err := s.hub.subscribe(p.client, "x", choice{patterns: patterns("#")}, nil); err != nil {
				t.Fatal(err)
			}
			p.message()
			synctest.Wait()
			feed(1) // the first is in flight, the second waits, the others gather
			if want := names - 2; p.lagging() < want {
				t.Errorf("%d rows wait, want at least %d", p.lagging(), want)
			}
			s.survey(time.Now())
			if p.closing() != want {
				t.Errorf("%d rows: closed for %v, want %v", p.lagging(), p.closing(), want)
			}
			p.frames()
			synctest.Wait()
			if p.lagging() != 0 || s.hub.m.buffered() != 0 {
				t.Errorf("%d rows and %d bytes wait when all is read", p.lagging(), s.hub.m.buffered())
			}
		})
	}
}
