package push

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"testing"
	"time"

	"weir/auth"
	"weir/telemetry"
	"weir/wire"
)

// Whoever comes back from further than the window makes the log be read, up to a share; another is told what it has missed.
func TestOnePrincipalReadsItsShareOfTheLogAndOthersGoOn(t *testing.T) {
	s, _ := startGuarded(t, func(o *Options) { o.Config.ResumeWindowBytes, o.Config.MaxReadBackPerPrincipal = 1, 1 })
	s.tailed()
	var log []stored
	s.hub.window.readBack = func(_ context.Context, topic string, _ int, from, to int64) ([]stored, error) {
		if topic != wire.TopicUpdates {
			return nil, nil
		}
		return log[from:to], nil
	}
	s.hub.mu.Lock()
	old := s.hub.at.cursor()
	s.hub.mu.Unlock()
	for v := telemetry.Version(1); v < 4; v++ {
		us := []telemetry.Update{single("p/a/m", v, 1), single("q/a/m", v, 1)}
		log = append(log, stored{s.wrote, wire.AppendUpdateBatch(nil, us[0].EmitTime, us)})
		s.write(us...)
	}
	poll := func(token, series, cursor string) *wire.Snapshot {
		t.Helper()
		status, body := s.ask(t, token, "/v1/snapshot?wait=0s&series="+series+"&cursor="+url.QueryEscape(cursor))
		snap, err := wire.DecodeSnapshot([]byte(body))
		if status != 200 || err != nil {
			t.Fatalf("%d %s: %v", status, body, err)
		}
		return snap
	}
	now := ""
	if snap := poll("p", "p/a/m", old); !snap.Resumed || len(snap.Rows) != 1 || snap.Rows[0].Update.N != 3 {
		t.Errorf("the first is answered %+v", snap)
	} else {
		now = snap.Cursor
	}
	if snap := poll("p", "p/a/m", old); snap.Resumed {
		t.Error("the log was read for one who has had its share")
	}
	c, f := s.dial(dialOptions{token: "p-again"}), newFollower(t) // the same subject
	c.send(`{"type":"subscribe","payload":{"id":"x","patterns":["p/a/m"],"cursor":%q}}`, old)
	if m := await[*wire.Resync](c, f); m.Reason != resyncTooOld {
		t.Errorf("%+v", m)
	}
	if m := await[*wire.Subscribed](c, f); m.Resumed || len(m.Rows) != 1 {
		t.Errorf("%+v", m)
	}
	if n := s.hub.m.readBackRefused.Get(); n != 2 {
		t.Errorf("%d are counted as refused", n)
	}
	if snap := poll("p", "p/a/m", now); !snap.Resumed {
		t.Error("what is in the window is refused")
	}
	if snap := poll("q", "q/a/m", old); !snap.Resumed || len(snap.Rows) != 1 || snap.Rows[0].Update.N != 3 {
		t.Errorf("another is answered %+v", snap)
	}
	for subject, want := range map[string]bool{"anna": false, "another": true} { // for who reads another log it is the same share
		who := &auth.Principal{Subject: subject, Method: auth.MethodKey}
		share := s.ReadShare(httptest.NewRequestWithContext(auth.WithPrincipal(t.Context(), who), http.MethodGet, "/", nil))
		if share(0) != want || share(1) {
			t.Errorf("%s may read on: %v; then: %v", subject, !want, share(0))
		}
	}
	d, g := s.dial(dialOptions{token: "tenant"}), newFollower(t)
	d.send(`{"type":"subscribe","payload":{"id":"x","patterns":["p/a/m"],"cursor":%q}}`, old)
	if m := await[*wire.Subscribed](d, g); !m.Resumed {
		t.Errorf("%+v", m)
	}
}

func TestAShareOfTheLogIsForAMinute(t *testing.T) {
	r := newReadShares(600)
	a, b := &account{key: accountKey{subject: "a"}}, &account{key: accountKey{address: netip.MustParsePrefix("192.0.2.7/32")}}
	now := time.Unix(1_000_000_000, 0)
	if !r.may(nil, now) || !r.may(a, now) {
		t.Error("who has read nothing may not")
	}
	r.spend([]*account{a}, 900, now)
	for after, want := range map[time.Duration]bool{0: false, 29 * time.Second: false, 31 * time.Second: true} {
		if r.may(a, now.Add(after)) != want || !r.may(b, now.Add(after)) {
			t.Errorf("after %v: %v, %v", after, r.may(a, now.Add(after)), r.may(b, now.Add(after)))
		}
	}
	r.spend([]*account{b}, 1, now.Add(2*time.Minute))
	if len(r.left) != 1 {
		t.Errorf("%d are remembered", len(r.left))
	}
}
