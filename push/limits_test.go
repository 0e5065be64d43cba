package push

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"weir/auth"
	"weir/internal/remote"
	"weir/telemetry"
	"weir/wire"
)

// knock asks for an upgrade, and returns the status and code of a refusal.
func (ts *testServer) knock(t *testing.T, header ...string) (int, string) {
	t.Helper()
	status, body := ts.get(t, "/v1/live", append(header, "Connection", "Upgrade", "Upgrade", "websocket")...)
	return status, errorCode(body)
}

func TestConnectionsOfOneAddressAreBounded(t *testing.T) {
	s, _ := startGuarded(t, func(o *Options) { o.Config.MaxConnectionsPerAddress, o.Proxies = 2, here(t) })
	const from = "192.0.2.7"
	first := s.dial(dialOptions{token: "p", from: from})
	await[*wire.Welcome](first, newFollower(t))
	await[*wire.Welcome](s.dial(dialOptions{token: "q", from: from}), newFollower(t))
	if status, code := s.knock(t, "X-Forwarded-For", from); status != http.StatusTooManyRequests || code != wire.CodeLimitAddress {
		t.Errorf("the third is answered %d %s", status, code)
	}
	if n := s.hub.m.refused[wire.CodeLimitAddress].Get(); n != 1 {
		t.Errorf("counted %d times", n)
	}
	_ = first.conn.NetConn().Close()
	eventually(t, "its place is free", func() bool { return s.hub.m.connections.Load() == 1 })
	await[*wire.Welcome](s.dial(dialOptions{token: "p", from: from}), newFollower(t))
	for range 3 { // this machine's own are not counted: a proxy that nobody declared brings everybody
		await[*wire.Welcome](s.dial(dialOptions{token: "p"}), newFollower(t))
	}
}

// here are proxies on this machine.
func here(t *testing.T) remote.Proxies {
	t.Helper()
	p, err := remote.ParseProxies([]string{"127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestConnectionsOfOnePrincipalAreBounded(t *testing.T) {
	s, _ := startGuarded(t, func(o *Options) { o.Config.MaxConnectionsPerPrincipal = 2 })
	first := s.dial(dialOptions{token: "p"})
	await[*wire.Welcome](first, newFollower(t))
	await[*wire.Welcome](s.dial(dialOptions{token: "p-again"}), newFollower(t)) // the same subject
	s.dial(dialOptions{token: "p"}).waitClosed(wire.CloseRefused, wire.ReasonLimitPrincipal)
	late := s.dial(dialOptions{})
	late.authenticate("p")
	late.waitClosed(wire.CloseRefused, wire.ReasonLimitPrincipal)
	await[*wire.Welcome](s.dial(dialOptions{token: "q"}), newFollower(t))
	await[*wire.Welcome](s.dial(dialOptions{token: "p-tom"}), newFollower(t)) // the subject's name in a tenant
	eventually(t, "they are counted", func() bool { return s.hub.m.closes[endedLimitPrincipal].Get() == 2 })
	_ = first.conn.NetConn().Close()
	eventually(t, "its place is free", func() bool { return s.hub.m.connections.Load() == 3 })
	await[*wire.Welcome](s.dial(dialOptions{token: "p"}), newFollower(t))
}

func TestPrincipalsOfAnOpenServerAreNotBounded(t *testing.T) {
	s := startServer(t, func(o *Options) { o.Config.MaxConnectionsPerPrincipal = 1 })
	for range 3 {
		await[*wire.Welcome](s.dial(dialOptions{}), newFollower(t))
	}
}

func TestStrangersKeepNobodyOut(t *testing.T) {
	s, _ := startGuarded(t, func(o *Options) { o.Config.MaxConnections = 8 })
	strangers := []*wsClient{s.dial(dialOptions{}), s.dial(dialOptions{})}
	if status, code := s.knock(t); status != http.StatusTooManyRequests || code != wire.CodeTooManyConns {
		t.Errorf("one stranger more is answered %d %s", status, code)
	}
	for range 6 {
		await[*wire.Welcome](s.dial(dialOptions{token: "p"}), newFollower(t))
	}
	if status, code := s.knock(t, "Authorization", "Bearer p"); status != http.StatusTooManyRequests || code != wire.CodeTooManyConns {
		t.Errorf("one connection more is answered %d %s", status, code)
	}
	strangers[0].authenticate("p")
	await[*wire.Welcome](strangers[0], newFollower(t))
	s.stop()
	r := &s.conns
	if r.strangers+r.admitted+len(r.clients)+len(r.addresses)+len(r.accounts) != 0 {
		t.Errorf("places that were not given back: %+v", r)
	}
}

func TestStrangersOfOneAddressKeepNoOtherStrangersOut(t *testing.T) {
	proxies, err := remote.ParseProxies([]string{"127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	s, _ := startGuarded(t, func(o *Options) { o.Config.MaxConnections, o.Proxies = 48, proxies })
	one := make([]*wsClient, 3) // of 12
	for i := range one {
		one[i] = s.dial(dialOptions{from: fmt.Sprintf("2001:db8::%d", i+1)}) // all of one network
	}
	for _, h := range [][]string{{"X-Forwarded-For", "2001:db8::9"}, {"X-Forwarded-For", "2001:db8::9", "Authorization", "Bearer bad"}} {
		if status, code := s.knock(t, h...); status != http.StatusTooManyRequests || code != wire.CodeLimitAddress {
			t.Errorf("the fourth is answered %d %s", status, code)
		}
	}
	await[*wire.Welcome](s.dial(dialOptions{from: "2001:db8::9", token: "q"}), newFollower(t))
	one[0].authenticate("p")
	await[*wire.Welcome](one[0], newFollower(t))
	_ = one[1].conn.NetConn().Close()
	for range 2 { // in the places of those two, which may take a moment
		eventually(t, "there is a place", func() bool { return s.strangersFrom("2001:db8::") < 3 })
		s.dial(dialOptions{from: "2001:db8::9"})
	}
	for range 9 { // the machine itself may have all that are left
		s.dial(dialOptions{})
	}
	if status, code := s.knock(t, "X-Forwarded-For", "192.0.2.1"); status != http.StatusTooManyRequests || code != wire.CodeTooManyConns {
		t.Errorf("the thirteenth is answered %d %s", status, code)
	}
	s.stop()
	if r := &s.conns; r.strangers+len(r.from) != 0 {
		t.Errorf("places that were not given back: %d, %v", r.strangers, r.from)
	}
}

// strangersFrom is how many an address has.
func (ts *testServer) strangersFrom(address string) int {
	ts.conns.mu.Lock()
	defer ts.conns.mu.Unlock()
	return ts.conns.from[remote.Holder(netip.MustParseAddr(address))]
}

func TestAddressIsThatWhichATrustedProxyTells(t *testing.T) {
	s, _ := startGuarded(t, func(o *Options) { o.Config.MaxConnectionsPerAddress, o.Proxies = 1, here(t) })
	await[*wire.Welcome](s.dial(dialOptions{token: "p", from: "192.0.2.7"}), newFollower(t))
	// Without its key the handshake comes to nothing, but the request is past the limit.
	for from, want := range map[string]int{"192.0.2.7": http.StatusTooManyRequests, "192.0.2.8": http.StatusBadRequest} {
		if status, _ := s.knock(t, "X-Forwarded-For", from); status != want {
			t.Errorf("%s: status %d, want %d", from, status, want)
		}
	}
}
func TestListsOverHTTPHoldWhatTheAskerMayRead(t *testing.T) {
	s, _ := startGuarded(t, nil)
	for _, tc := range []struct {
		token, path string
		status      int
		want        string
	}{
		{"", "/v1/series", 401, `"unauthenticated"`},
		{"nonsense", "/v1/series", 401, `"token_invalid"`},
		{"", "/v1/snapshot?series=p/%23", 401, `"unauthenticated"`},
		{"all", "/v1/series", 200, `["p/a/m","p/b/m","q/a/m","shared/x/m"]`},
		{"p", "/v1/series", 200, `["p/a/m","p/b/m","shared/x/m"]`},
		{"p", "/v1/series?pattern=%2B/a/m", 200, `["p/a/m"]`},
		{"p", "/v1/series?pattern=q/%23", 200, `{"series":[],"truncated":false}`},
		{"p", "/v1/series?pattern=%23&limit=2", 200, `{"series":["p/a/m","p/b/m"],"truncated":true}`},
		{"q", "/v1/series?pattern=%23&limit=1", 200, `{"series":["q/a/m"],"truncated":false}`},
		{"tenant", "/v1/series", 200, `["p/a/m","p/b/m"]`},
		{"tenant", "/v1/series?pattern=%23", 200, `["p/a/m","p/b/m"]`},
		{"p", "/v1/snapshot?series=p/%23&series=shared/x/m", 200, `"shared/x/m"`},
		{"p", "/v1/snapshot?series=p/%23&series=q/%23", 403, `"path":"series[1]"`},
		{"tenant", "/v1/snapshot?series=%23", 403, `"forbidden"`},
	} {
		status, body := s.ask(t, tc.token, tc.path)
		if status != tc.status || !strings.Contains(body, tc.want) {
			t.Errorf("%s asks %s: %d %s, want %d %s", tc.token, tc.path, status, body, tc.status, tc.want)
		}
	}
}

func (ts *testServer) ask(t *testing.T, token, path string) (int, string) {
	t.Helper()
	var header []string
	if token != "" {
		header = []string{"Authorization", "Bearer " + token}
	}
	status, body := ts.get(t, path, header...)
	return status, string(body)
}

func TestReadablePatternsAreWhatMayBeRead(t *testing.T) {
	segment := rapid.SampledFrom([]string{"a", "b", "_x"})
	wild := rapid.SampledFrom([]string{"a", "b", "_x", "+"})
	rapid.Check(t, func(t *rapid.T) {
		p := &auth.Principal{
			Tenant: rapid.SampledFrom([]string{"", "a", "_x"}).Draw(t, "tenant"),
			Roles:  []string{rapid.SampledFrom([]string{auth.RoleViewer, auth.RoleViewer, auth.RoleDevice}).Draw(t, "role")},
		}
		for _, s := range rapid.SliceOfN(rapid.SliceOfN(wild, 0, 3), 0, 4).Draw(t, "read") {
			if rapid.Bool().Draw(t, "hash") || len(s) == 0 {
				s = append(s, "#")
			}
			p.Read = append(p.Read, patterns(strings.Join(s, "/"))...)
		}
		got := readablePatterns(p)
		for range 10 {
			path := strings.Join(rapid.SliceOfN(segment, 1, 4).Draw(t, "path"), "/")
			selected := slices.ContainsFunc(got, func(r telemetry.Pattern) bool { return r.Match(path) })
			if selected != p.MayReadPath(path) {
				t.Fatalf("tenant %q, read %v: %v select %s: %v", p.Tenant, p.Read, got, path, selected)
			}
		}
		for _, r := range got {
			if !p.MayRead(r) {
				t.Fatalf("tenant %q, read %v: %s may not be read", p.Tenant, p.Read, r)
			}
		}
	})
}
