package push

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"weir/auth"
	"weir/wire"
)

// lifeServer is a Server without a network whose connections are pipes.
func lifeServer(t *testing.T, change func(*Options)) *Server {
	t.Helper()
	opts := Options{Config: DefaultConfig()}
	if change != nil {
		change(&opts)
	}
	s, err := build(opts)
	if err != nil {
		t.Fatal(err)
	}
	s.hub.setReady()
	s.conns.begin()
	return s
}

// join makes a pipe a connection of the server.
func (s *Server) join(t *testing.T, session string) *pipeClient {
	t.Helper()
	p := s.hub.pipe()
	c := s.newClient()
	c.session, c.conn, c.who = session, p.conn, &auth.Principal{Subject: session}
	p.client = c
	if err := s.conns.admit(c, netip.Prefix{}); err != nil {
		t.Fatal(err)
	}
	s.conns.add(c)
	return p
}

// frames reads what the connection is sent, to its end.
func (p *pipeClient) frames() <-chan []byte {
	out := make(chan []byte, 1000)
	go func() {
		defer close(out)
		for m := p.message(); m != nil; m = p.message() {
			out <- m
		}
	}()
	return out
}

func TestAppPingsGoToWhoKnowsThemAndTheAnswerTellsTheRoundTrip(t *testing.T) {
	s := startServer(t, func(o *Options) { o.Config.Heartbeat = 20 * time.Millisecond })
	s.feed(single("p/a/m", 0, 1))
	for name, o := range map[string]dialOptions{"asked for": {query: "?app_ping=1"}, "has pinged": {}} {
		c := s.dial(o)
		if o.query == "" {
			c.send(`{"type":"app_ping","payload":{"t":7}}`)
		}
		var asked struct{ T int64 }
		f := newFollower(t)
		for {
			m, ok := f.take(c.message("app_ping")).(*wire.Ping)
			if ok {
				if err := json.Unmarshal(m.Payload, &asked); err != nil || asked.T <= 0 {
					t.Fatalf("%s: payload %s: %v", name, m.Payload, err)
				}
				break
			}
		}
		c.send(`{"type":"app_pong","payload":{"t": %d}}`, asked.T)
		c.send(`{"type":"stats"}`)
		if got := await[*wire.Stats](c, f).RTTMS; !(got > 0) {
			t.Errorf("%s: rtt_ms = %v", name, got)
		}
		_ = c.conn.NetConn().Close()
	}
	old := s.dial(dialOptions{})
	f := newFollower(t)
	old.until("two pings", func() bool { return old.pings >= 2 })
	old.send(`{"type":"stats"}`)
	await[*wire.Stats](old, f)
	for _, m := range old.msgs {
		if m, ok := f.take(m).(*wire.Ping); ok {
			t.Errorf("one who does not know app_ping was told %s", m.Payload)
		}
	}
}

func TestRoundTripIsMeasuredFromTheNewestPing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := lifeServer(t, nil)
		p := s.join(t, "a")
		defer p.end()
		frames := p.frames()
		p.knowsPings()
		var asked int64
		for range 2 {
			time.Sleep(s.cfg.Heartbeat)
			asked = time.Now().UnixMicro()
			s.survey(time.Now())
			p.heardNow()
		}
		time.Sleep(70 * time.Millisecond)
		for _, said := range []string{"null", `{"t":0}`, `{"t":1}`, `{"t":"x"}`, fmt.Sprintf(`{"t":%d}`, asked-s.cfg.Heartbeat.Microseconds())} {
			if p.answered([]byte(said)); p.rtt.Load() != 0 {
				t.Fatalf("%s was taken for an answer", said)
			}
		}
		p.answered(fmt.Appendf(nil, `{"t":%d}`, asked))
		if got := time.Duration(p.rtt.Load()); got != 70*time.Millisecond {
			t.Errorf("round trip = %v", got)
		}
		time.Sleep(time.Second)
		p.answered(fmt.Appendf(nil, `{"t":%d}`, asked)) // again
		if got := time.Duration(p.rtt.Load()); got != 70*time.Millisecond {
			t.Errorf("round trip = %v after a second answer", got)
		}
		synctest.Wait()
		if len(frames) != 4 {
			t.Errorf("%d frames, want two pings of each kind", len(frames))
		}
	})
}

func TestWhoIsSilentIsAwayAndThenClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []string
		s := lifeServer(t, func(o *Options) {
			o.Presence = func(session string, away bool) { told = append(told, fmt.Sprint(session, " ", away)) }
		})
		back, page, gone := s.join(t, "back"), s.join(t, "page"), s.join(t, "gone")
		for _, p := range []*pipeClient{back, page, gone} {
			defer p.end()
			p.frames()
		}
		page.knowsPings()
		second := func(n int) {
			for range n {
				time.Sleep(time.Second)
				page.heardNow() // the browser answers for a page that does not
				s.survey(time.Now())
			}
		}
		expect := func(want ...string) {
			t.Helper()
			if slices.Sort(told); !slices.Equal(told, want) {
				t.Errorf("told %q, want %q", told, want)
			}
			told = nil
		}
		second(60)
		expect()
		second(1)
		expect("back true", "gone true", "page true")
		if !gone.away.Load() || s.hub.m.away.Load() != 3 {
			t.Errorf("%d are away", s.hub.m.away.Load())
		}
		back.heardNow()
		s.handle(page.client, []byte(`{"type":"app_pong"}`))
		second(1)
		expect("back false", "page false")
		second(29)
		synctest.Wait()
		if gone.closing() != endedHeartbeat || back.closing() != 0 || page.closing() != 0 {
			t.Errorf("closed for %v, %v, %v", gone.closing(), back.closing(), page.closing())
		}
		expect()
	})
}

// closing is why the connection is closed, 0 if it is not.
func (p *pipeClient) closing() closeReason {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.reason
}

// jumped is what time.Now returns after somebody has set the clock: the wall clock has moved, and the monotonic one that a
// Time also has (as package time documents) has not.
func jumped(t *testing.T, now time.Time, by time.Duration) time.Time {
	t.Helper()
	const nanosecondBits = 30
	at := now
	*(*uint64)(unsafe.Pointer(&at)) += uint64(by/time.Second) << nanosecondBits
	if at.Sub(now) != 0 || at.Round(0).Sub(now.Round(0)) != by {
		t.Fatalf("the layout of time.Time is another one by now: %v, %v", at, now)
	}
	return at
}

// Virtual time has no monotonic clock, so the test makes its own.
func TestSettingTheClockClosesNobody(t *testing.T) {
	for _, jump := range []time.Duration{-time.Hour, time.Hour} {
		s := lifeServer(t, nil)
		now := time.Now()
		var clock atomic.Pointer[time.Time]
		set := func(to time.Time) {
			now = to
			clock.Store(&to)
		}
		set(now)
		s.hub.now = func() time.Time { return *clock.Load() }
		p := s.join(t, "a")
		frames := p.frames()
		s.survey(now)
		p.progress.Store(s.hub.elapsed(now)) // a write is under way
		set(jumped(t, now.Add(s.cfg.Heartbeat), jump))
		s.survey(now)
		if p.closing() != 0 || p.away.Load() {
			t.Fatalf("after a jump by %v: closed %v, away %v", jump, p.closing(), p.away.Load())
		}
		if ping := <-frames; len(ping) != 8 {
			t.Fatalf("ping %q", ping)
		}
		p.progress.Store(0)
		set(now.Add(s.cfg.IdleTimeout + time.Second))
		s.survey(now)
		if p.closing() != endedHeartbeat {
			t.Errorf("after a jump by %v silence is not noticed", jump)
		}
		p.end()
	}
}

// One that goes on sending shows that it is there, but not that it reads.
func TestWhoAnswersButNeverReadsIsClosedForNoProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := lifeServer(t, nil)
		p := s.join(t, "a")
		defer p.end()
		p.knowsPings()
		for range 100 {
			time.Sleep(time.Second)
			s.handle(p.client, []byte(`{"type":"app_pong"}`))
			p.heardNow()
			s.survey(time.Now())
		}
		if p.closing() != endedNoProgress || p.away.Load() {
			t.Errorf("closed for %v, away %v", p.closing(), p.away.Load())
		}
	})
}
