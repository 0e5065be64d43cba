package push

import (
	"net/http"
	"net/url"
	"strconv"
	"testing"

	"weir/telemetry"
	"weir/wire"
)

// write feeds updates as a tail of partition 0 does: through the window.
func (ts *testServer) write(us ...telemetry.Update) {
	next := ts.wrote + 1
	ts.hub.window.add(wire.TopicUpdates, 0, []stored{{ts.wrote, wire.AppendUpdateBatch(nil, us[0].EmitTime, us)}}, next)
	ts.hub.apply(0, us, next)
	ts.wrote = next
}

// tailed prepares a server for write.
func (ts *testServer) tailed() {
	ts.hub.begin(wire.TopicUpdates, 0, 0)
	ts.hub.begin(wire.TopicAlerts, 0, 0)
}

func (ts *testServer) snapshotOf(t *testing.T, query string) *wire.Snapshot {
	t.Helper()
	status, body := ts.get(t, "/v1/snapshot?"+query)
	if status != 200 {
		t.Fatalf("status %d: %s", status, body)
	}
	snap, err := wire.DecodeSnapshot(body)
	if err != nil {
		t.Fatal(err)
	}
	return snap
}

func TestALongPollIsAnsweredByWhatWasMissed(t *testing.T) {
	s := startServer(t, nil)
	s.tailed()
	s.write(single("p/a/m", 0, 1), single("q/a/m", 0, 1))
	cursor := s.snapshotOf(t, "series=p/%23").Cursor
	s.write(single("p/a/m", 1, 9), single("q/a/m", 1, 1))
	s.write(single("p/a/m", 2, 3))
	query := "series=p/%23&wait=1m&cursor=" + url.QueryEscape(cursor)
	snap := s.snapshotOf(t, query)
	if !snap.Resumed || len(snap.Rows) != 1 {
		t.Fatalf("%+v", snap)
	}
	if u := snap.Rows[0].Update; u.Series != "p/a/m" || u.Since != 0 || u.Version != 2 || u.N != 2 || u.Max != 9 {
		t.Errorf("%+v", u)
	}

	answers := make(chan *wire.Snapshot)
	go func() { answers <- s.snapshotOf(t, "series=p/%23&wait=1m&cursor="+url.QueryEscape(snap.Cursor)) }()
	eventually(t, "the request waits", func() bool { return s.waiting("p/#") })
	s.write(single("q/a/m", 2, 1))
	s.write(single("p/a/m", 3, 4))
	if later := <-answers; !later.Resumed || len(later.Rows) != 1 || later.Rows[0].Update.Since != 2 || later.Rows[0].Update.Version != 3 {
		t.Errorf("%+v", later)
	}

	go func() { answers <- s.snapshotOf(t, "series=p/a/m&min_version=4&wait=1m") }()
	eventually(t, "the request waits", func() bool { return s.waiting("p/a/m") })
	s.write(single("p/a/m", 4, 5))
	if later := <-answers; later.Resumed || len(later.Rows) != 1 || later.Rows[0].Update.Version != 4 {
		t.Errorf("%+v", later)
	}
	if n := s.hub.m.views.Load(); n != 0 {
		t.Errorf("%d views are left", n)
	}
}

func TestALongPollThatCannotGoOnGetsTheWholeState(t *testing.T) {
	s := startServer(t, nil)
	s.tailed()
	s.write(single("p/a/m", 0, 1))
	other := positions{epoch: "another", updates: []int64{1}, alerts: []int64{0}}
	for _, cursor := range []string{other.cursor(), "nonsense"} {
		if snap := s.snapshotOf(t, "series=p/%23&wait=1m&cursor="+url.QueryEscape(cursor)); snap.Resumed || len(snap.Rows) != 1 {
			t.Errorf("%+v", snap)
		}
	}
}

func TestALongPollEndsInTime(t *testing.T) {
	s := startServer(t, nil)
	s.tailed()
	s.write(single("p/a/m", 0, 1))
	cursor := s.snapshotOf(t, "series=p/%23").Cursor
	if snap := s.snapshotOf(t, "series=p/%23&wait=1ms&cursor="+url.QueryEscape(cursor)); !snap.Resumed || len(snap.Rows) != 0 || snap.Cursor == "" {
		t.Errorf("%+v", snap)
	}
	status, body := s.get(t, "/v1/snapshot?series=p/a/m&min_version=9&wait=1ms")
	if status != 504 || errorCode(body) != wire.CodeWaitTimeout {
		t.Errorf("%d %s", status, body)
	}
	for _, query := range []string{"series=p/%23&min_version=1", "series=p/a/m&min_version=x", "series=p/a/m&cursor=a&wait=1h", "series=p/a/m&min_version=1&cursor=a", "series=p/a/m&min_version=1&wait=-1s"} {
		if status, body := s.get(t, "/v1/snapshot?"+query); status != 400 || errorCode(body) != wire.CodeFieldRange {
			t.Errorf("%s: %d %s", query, status, body)
		}
	}
}

func TestALongPollEndsWhenTheServerStops(t *testing.T) {
	s := startServer(t, nil)
	s.tailed()
	s.write(single("p/a/m", 0, 1))
	go func() { // the answer may be lost with the test's HTTP server
		if res, err := http.Get("http://" + s.addr + "/v1/snapshot?series=p/a/m&min_version=9&wait=1m"); err == nil {
			_ = res.Body.Close()
		}
	}()
	eventually(t, "the request waits", func() bool { return s.waiting("p/a/m") })
	s.stop()
	eventually(t, "it waits no more", func() bool { return s.hub.m.views.Load() == 0 })
}

// waiting reports whether a request waits for news of the pattern.
func (ts *testServer) waiting(pattern string) bool {
	ts.hub.mu.Lock()
	defer ts.hub.mu.Unlock()
	for _, v := range ts.hub.views {
		if v.patterns[0].String() == pattern && v.news != nil {
			return true
		}
	}
	return false
}

func TestLongPollsThatOneReadingWakesAreAllAnswered(t *testing.T) {
	const polls = 3 * maxSnapshotRequests
	s := startServer(t, nil)
	s.tailed()
	s.write(single("p/a/m", 0, 1))
	query := "/v1/snapshot?series=p/%23&wait=1m&cursor=" + url.QueryEscape(s.snapshotOf(t, "series=p/%23").Cursor)
	answers := make(chan int, polls)
	for n := 1; n <= polls; n++ {
		go func() {
			status, _ := s.get(t, query)
			answers <- status
		}()
		eventually(t, "the request waits", func() bool { return s.pollers() == n })
	}
	var held int
	eventually(t, "no encoder is free", func() bool {
		s.hub.mu.Lock()
		defer s.hub.mu.Unlock()
		for s.hub.encoders.take() {
			held++
		}
		return held == cap(s.hub.deflater.compressors)
	})
	s.write(single("p/a/m", 1, 2))
	eventually(t, "requests wait for an encoder", func() bool {
		s.hub.mu.Lock()
		defer s.hub.mu.Unlock()
		return s.hub.encoders.requests >= maxPollsAtOnce
	})
	for range held {
		s.hub.releaseEncoder()
	}
	for range polls {
		if status := <-answers; status != 200 {
			t.Fatalf("status %d", status)
		}
	}
}

// pollers is how many requests use the one view there is.
func (ts *testServer) pollers() (n int) {
	ts.hub.mu.Lock()
	defer ts.hub.mu.Unlock()
	for _, v := range ts.hub.views {
		n += v.users
	}
	return n
}

func TestALongPollEndsWithItsCredentials(t *testing.T) {
	s, gate := startGuarded(t, nil)
	s.tailed()
	s.write(single("p/a/m", 0, 1))
	ended := make(chan string, 1)
	go func() {
		status, body := s.get(t, "/v1/snapshot?series=p/a/m&min_version=1&wait=1m", "Authorization", "Bearer p")
		ended <- strconv.Itoa(status) + " " + errorCode(body)
	}()
	eventually(t, "the request waits", func() bool { return s.waiting("p/a/m") && gate.watched() == 1 })
	gate.end("anna", wire.CodeTokenRevoked)
	if got, want := <-ended, "401 "+wire.CodeTokenRevoked; got != want {
		t.Errorf("%s, not %s", got, want)
	}
	eventually(t, "nothing is left of it", func() bool { return gate.watched() == 0 && s.hub.m.views.Load() == 0 })
}
