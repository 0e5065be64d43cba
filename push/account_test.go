package push

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"weir/auth"
	"weir/wire"
)

// refusedWith checks that a request is refused with a status, a code and a path.
func (ts *testServer) refusedWith(t *testing.T, token, path string, want *wire.Error, header ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience) // or what is let in would never end
	defer cancel()
	status, body := ts.getIn(ctx, t, path, append(header, "Authorization", "Bearer "+token)...)
	var answer wire.ErrorBody
	if err := json.Unmarshal(body, &answer); err != nil || answer.Error == nil {
		t.Fatalf("%s: %d %s", path, status, body)
	}
	if status != wire.StatusOf(want.Code) || answer.Error.Code != want.Code || answer.Error.Path != want.Path {
		t.Errorf("%s is answered %d %s, want %s at %q", path, status, body, want.Code, want.Path)
	}
}

// Whoever streams one pattern in many ways makes as many views, and is stopped; another is served meanwhile.
func TestOnePrincipalTakesItsShareOfViewsAndOthersAreServed(t *testing.T) {
	for _, tc := range []struct {
		bound  string
		change func(*Config)
	}{
		{"views", func(c *Config) { c.MaxViewsPerPrincipal = 3 }},
		{"rows", func(c *Config) { c.MaxViewRowsPerPrincipal = 6 }}, // p/# has two
	} {
		t.Run(tc.bound, func(t *testing.T) {
			s, _ := startGuarded(t, func(o *Options) { tc.change(&o.Config) })
			way := func(i int) string {
				return url.Values{"subscribe": {"p/#"}, "filter": {fmt.Sprintf("max > %d", i)}}.Encode()
			}
			var greedy []*eventClient
			for i := range 3 {
				greedy = append(greedy, s.stream(way(i), dialOptions{token: "p"}))
				greedy = append(greedy, s.stream(way(i), dialOptions{token: "p"})) // the same view
			}
			over := &wire.Error{Code: wire.CodeLimitPrincipal, Path: "subscribe"}
			for i := range 20 {
				s.refusedWith(t, "p", "/v1/events?"+way(3+i), over)
			}
			over.Path = "series"
			s.refusedWith(t, "p-again", "/v1/snapshot?series=p/a/m&min_version=9&wait=1m", over) // the same subject, another way
			c, f := s.dial(dialOptions{token: "p"}), newFollower(t)
			c.subscribe("x", "p/#", 1)
			if e := await[*wire.ErrorMsg](c, f); e.Code != wire.CodeLimitPrincipal || e.Path != "payload.patterns" || e.ID != "x" {
				t.Errorf("%+v", e)
			}

			other, g := s.dial(dialOptions{token: "p-tom"}), newFollower(t) // the subject's name in a tenant
			other.subscribe("x", "p/#", 0)
			await[*wire.Subscribed](other, g)
			s.feed(single("p/a/m", 1, 9))
			await[*wire.Updates](other, g)

			if n := s.hub.m.refused[wire.CodeLimitPrincipal].Get(); n != 21 {
				t.Errorf("%d requests are counted as refused", n)
			}
			if n := s.hub.m.messageErrors[wire.CodeLimitPrincipal].Get(); n != 1 {
				t.Errorf("%d subscriptions are counted as refused", n)
			}
			for _, one := range greedy[:2] {
				_ = one.tcp.Close()
			}
			eventually(t, "its view is gone", func() bool { return s.hub.m.views.Load() == 3 })
			s.stream(way(9), dialOptions{token: "p"})
			s.stop()
			if n := len(s.conns.accounts); n != 0 {
				t.Errorf("%d accounts are left", n)
			}
		})
	}
}

func TestARequestThatWaitsCountsAsAConnection(t *testing.T) {
	const poll = "/v1/snapshot?series=q/a/m&min_version=1&wait=1m"
	for _, tc := range []struct {
		name   string
		change func(*Options)
		code   string
	}{
		{"of its principal", func(o *Options) { o.Config.MaxConnectionsPerPrincipal = 3 }, wire.CodeLimitPrincipal},
		{"of its address", func(o *Options) { o.Config.MaxConnectionsPerAddress = 3 }, wire.CodeLimitAddress},
		{"of all", func(o *Options) { o.Config.MaxConnections = 3 }, wire.CodeTooManyConns},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, _ := startGuarded(t, func(o *Options) { o.Proxies = here(t); tc.change(o) })
			from := []string{"X-Forwarded-For", "192.0.2.7"}
			c := s.dial(dialOptions{token: "q", from: from[1]})
			await[*wire.Welcome](c, newFollower(t))
			s.stream("subscribe=q/%23", dialOptions{token: "q"}, from...)
			answered := make(chan int)
			go func() {
				status, _ := s.get(t, poll, append(from, "Authorization", "Bearer q")...)
				answered <- status
			}()
			eventually(t, "the request waits", func() bool { return s.waiting("q/a/m") })
			full := &wire.Error{Code: tc.code}
			s.refusedWith(t, "q", poll, full, from...)
			s.refusedWith(t, "q", "/v1/events?subscribe=q/%23", full, from...)
			if tc.code != wire.CodeLimitPrincipal { // that is known once it is known who asks
				s.refusedWith(t, "q", "/v1/live", full, append(from, "Upgrade", "websocket", "Connection", "Upgrade")...)
			}
			s.refusedWith(t, "p", "/v1/snapshot?series=q/%23", &wire.Error{Code: wire.CodeForbidden, Path: "series[0]"})
			s.feed(single("q/a/m", 1, 9))
			if status := <-answered; status != http.StatusOK {
				t.Errorf("the request that waited is answered %d", status)
			}
			eventually(t, "its place is free", func() bool { return s.metric("weir_push_waiting_requests") == 0 })
			if status, body := s.get(t, poll, append(from, "Authorization", "Bearer q")...); status != http.StatusOK {
				t.Errorf("the next is answered %d %s", status, body)
			}
			if n := s.hub.m.refused[tc.code].Get(); n < 2 {
				t.Errorf("%d are counted as refused", n)
			}
		})
	}
}

// metric is the value of a gauge.
func (ts *testServer) metric(name string) float64 {
	var exposed strings.Builder
	ts.hub.m.set.WritePrometheus(&exposed)
	for line := range strings.Lines(exposed.String()) {
		if text, ok := strings.CutPrefix(line, name+" "); ok {
			value, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
			if err == nil {
				return value
			}
		}
	}
	return math.NaN()
}

// On an open server an address stands for a principal, and this machine may have all there is.
func TestAnAddressTakesItsShareOfAnOpenServer(t *testing.T) {
	s := startServer(t, func(o *Options) { o.Config.MaxViewsPerPrincipal, o.Proxies = 1, here(t) })
	s.feed(single("p/a/m", 0, 1))
	from := []string{"X-Forwarded-For", "2001:db8::7"}
	s.stream("subscribe=p/%23", dialOptions{}, from...)
	s.stream("subscribe=p/%23", dialOptions{}, from...)
	from[1] = "2001:db8::8" // of the same network
	over := &wire.Error{Code: wire.CodeLimitPrincipal, Path: "subscribe"}
	s.refusedWith(t, "", "/v1/events?subscribe=p/a/%23", over, from...)
	from[1] = "2001:db8:1::8"
	s.stream("subscribe=p/a/%23", dialOptions{}, from...)
	for i := range 3 {
		s.stream(fmt.Sprintf("subscribe=p/%%23&max_hz=%d", i+1), dialOptions{})
	}
}

func TestOperatorsSeeWhoTakesMost(t *testing.T) {
	s, g := startGuarded(t, func(o *Options) {
		o.Config.MaxViewsPerPrincipal, o.Config.MaxViewRowsPerPrincipal, o.Config.MaxConnectionsPerPrincipal = 4, 100, 10
	})
	g.principals["operator"] = &auth.Principal{Subject: "op", Method: auth.MethodKey, Roles: []string{auth.RoleOperator}, Read: patterns("#")}
	g.principals["operator-p"] = &auth.Principal{Subject: "op", Tenant: "p", Method: auth.MethodKey, Roles: []string{auth.RoleOperator}, Read: patterns("#")}
	s.stream("subscribe=p/%23", dialOptions{token: "p"})
	s.stream("subscribe=p/a/%23", dialOptions{token: "p"})
	s.stream("subscribe=p/%23", dialOptions{token: "tenant"})
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.get(t, "/v1/snapshot?series=q/a/m&min_version=1&wait=1m", "Authorization", "Bearer q")
	}()
	eventually(t, "the request waits", func() bool { return s.waiting("q/a/m") })
	for token, want := range map[string]string{
		"operator": `[{"subject":"anna","connections":2,"waiting":0,"views":2,"view_rows":3},` +
			`{"subject":"quinn","connections":0,"waiting":1,"views":1,"view_rows":1},` +
			`{"subject":"tom","tenant":"p","connections":1,"waiting":0,"views":1,"view_rows":2}]`,
		"operator-p": `[{"subject":"tom","tenant":"p","connections":1,"waiting":0,"views":1,"view_rows":2}]`,
	} {
		if status, body := s.ask(t, token, "/v1/connections?limit=1"); status != 200 || !strings.Contains(body, `"shares":`+want) {
			t.Errorf("%s sees %d %s", token, status, body)
		}
	}
	for name, want := range map[string]float64{"connections": 0.2, "views": 0.5, "view_rows": 0.03} {
		if got := s.metric(fmt.Sprintf("weir_push_largest_share{of=%q}", name)); got != want {
			t.Errorf("the largest share of %s is %v, want %v", name, got, want)
		}
	}
	s.feed(single("q/a/m", 1, 1))
	<-done
}
