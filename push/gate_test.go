package push

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/auth"
	"weir/telemetry"
	"weir/wire"
)

// tableGate knows principals, and refusals, by their tokens. Tests end credentials by the watches it keeps.
type tableGate struct {
	principals map[string]*auth.Principal
	refusals   map[string]error

	mu      sync.Mutex
	watches map[*auth.Principal]map[int]func(*wire.Error)
	last    int
}

// principal is one with the role viewer.
func principal(subject, tenant string, read ...string) *auth.Principal {
	return &auth.Principal{
		Subject: subject, Tenant: tenant, Method: auth.MethodKey, Roles: []string{auth.RoleViewer}, Read: patterns(read...),
	}
}

func newGate() *tableGate {
	return &tableGate{
		principals: map[string]*auth.Principal{
			"all":     principal("root", "", "#"),
			"p":       principal("anna", "", "p/#", "shared/+/m"),
			"p-again": principal("anna", "", "p/a/#"),
			"tenant":  principal("tom", "p", "#"),
			"q":       principal("quinn", "", "q/#"),
			"p-tom":   principal("anna", "p", "#"),
		},
		refusals: map[string]error{
			"expired": wire.NewError(wire.CodeTokenExpired, ""),
			"revoked": wire.NewError(wire.CodeTokenRevoked, ""),
			"broken":  context.DeadlineExceeded,
		},
		watches: make(map[*auth.Principal]map[int]func(*wire.Error)),
	}
}

func (g *tableGate) Request(r *http.Request) (*auth.Principal, error) {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return nil, auth.ErrNoCredentials
	}
	return g.Token(r.Context(), token)
}

func (g *tableGate) Token(_ context.Context, token string) (*auth.Principal, error) {
	if err := g.refusals[token]; err != nil {
		return nil, err
	}
	if p := g.principals[token]; p != nil {
		fresh := *p
		return &fresh, nil
	}
	return nil, wire.NewError(wire.CodeTokenInvalid, "")
}

func (g *tableGate) Watch(p *auth.Principal, ended func(*wire.Error)) func() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.last++
	number := g.last
	if g.watches[p] == nil {
		g.watches[p] = make(map[int]func(*wire.Error))
	}
	g.watches[p][number] = ended
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		delete(g.watches[p], number)
		if len(g.watches[p]) == 0 {
			delete(g.watches, p)
		}
	}
}

// end ends the credentials of a subject, as an expiry or a revocation does: under the gate's lock.
func (g *tableGate) end(subject, code string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for p, list := range g.watches {
		for _, ended := range list {
			if p.Subject == subject {
				ended(wire.NewError(code, ""))
			}
		}
	}
}

func (g *tableGate) watched() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.watches)
}

func startGuarded(t *testing.T, change func(*Options)) (*testServer, *tableGate) {
	g := newGate()
	s := startServer(t, func(o *Options) {
		o.Gate = g
		if change != nil {
			change(o)
		}
	})
	s.feed(single("p/a/m", 0, 1), single("p/b/m", 0, 2), single("q/a/m", 0, 3), single("shared/x/m", 0, 4))
	return s, g
}

// sweepAt does what the sweeper does at that time, short of pings.
func (ts *testServer) sweepAt(now time.Time) {
	for _, c := range ts.conns.list() {
		c.mu.Lock()
		c.checkIdentityLocked(now)
		c.mu.Unlock()
	}
}

func (c *wsClient) authenticate(token string) {
	c.send(`{"type":"auth","payload":{"token":%q}}`, token)
}

func TestCredentialsOfTheRequestAreEnough(t *testing.T) {
	s, _ := startGuarded(t, nil)
	c, f := s.dial(dialOptions{token: "p", query: "?subscribe=p/%23&subscribe=q/%23"}), newFollower(t)
	if w := await[*wire.Welcome](c, f); strings.Join(w.Read, " ") != "p/# shared/+/m" {
		t.Errorf("read = %q", w.Read)
	}
	var refused *wire.ErrorMsg
	var granted *wire.Subscribed
	for refused == nil || granted == nil {
		switch m := f.take(c.message("both answers")).(type) {
		case *wire.ErrorMsg:
			refused = m
		case *wire.Subscribed:
			granted = m
		}
	}
	if refused.Code != wire.CodeForbidden || refused.ID != "q/#" || refused.Path != "subscribe[1]" {
		t.Errorf("error = %+v", refused)
	}
	if granted.ID != "p/#" || len(granted.Rows) != 2 {
		t.Errorf("subscribed = %+v", granted)
	}
}

func TestCredentialsMayComeAsTheFirstMessageAndNothingIsToldBefore(t *testing.T) {
	s, _ := startGuarded(t, nil)
	c, f := s.dial(dialOptions{query: "?subscribe=p/%23"}), newFollower(t)
	if err := c.conn.WritePing([]byte("there?")); err != nil {
		t.Fatal(err)
	}
	c.until("the pong", func() bool { return len(c.pongs) == 1 })
	if len(c.msgs) != 0 {
		t.Fatalf("a stranger was told %q", c.msgs)
	}
	c.authenticate("p")
	a, ok := f.take(c.message("authenticated")).(*wire.Authenticated)
	if !ok || a.Subject != "anna" || strings.Join(a.Roles, " ") != "viewer" || strings.Join(a.Read, " ") != "p/# shared/+/m" || !a.ExpiresAt.IsZero() {
		t.Errorf("authenticated = %+v", f.last)
	}
	if _, ok := f.take(c.message("welcome")).(*wire.Welcome); !ok {
		t.Errorf("then came %+v", f.last)
	}
	if sub := await[*wire.Subscribed](c, f); sub.ID != "p/#" {
		t.Errorf("subscribed = %+v", sub)
	}
}

func TestStrangersAreClosedWithTheReason(t *testing.T) {
	s, g := startGuarded(t, nil)
	for name, tc := range map[string]struct {
		token, says string
		code        uint16
		reason      string
	}{
		"invalid in the request":  {token: "nonsense", code: wire.CloseRefused, reason: wire.ReasonTokenInvalid},
		"expired in the request":  {token: "expired", code: wire.CloseTokenExpired, reason: wire.ReasonTokenExpired},
		"revoked in the request":  {token: "revoked", code: wire.CloseTokenRevoked, reason: wire.ReasonTokenRevoked},
		"gate fails":              {token: "broken", code: wire.CloseInternal, reason: wire.ReasonInternal},
		"invalid in the message":  {says: `{"type":"auth","payload":{"token":"nonsense"}}`, code: wire.CloseRefused, reason: wire.ReasonTokenInvalid},
		"revoked in the message":  {says: `{"type":"auth","payload":{"token":"revoked"}}`, code: wire.CloseTokenRevoked, reason: wire.ReasonTokenRevoked},
		"another message first":   {says: `{"type":"app_ping"}`, code: wire.CloseRefused, reason: wire.ReasonUnauthenticated},
		"no message of the kind":  {says: `nonsense`, code: wire.CloseRefused, reason: wire.ReasonUnauthenticated},
		"subscribes before":       {says: `{"type":"subscribe","payload":{"id":"a","patterns":["p/#"]}}`, code: wire.CloseRefused, reason: wire.ReasonUnauthenticated},
		"no token in the message": {says: `{"type":"auth","payload":{}}`, code: wire.CloseRefused, reason: wire.ReasonUnauthenticated},
	} {
		t.Run(name, func(t *testing.T) {
			c := s.dial(dialOptions{token: tc.token, query: "?subscribe=p/%23"})
			if tc.says != "" {
				c.send("%s", tc.says)
				_ = c.conn.WriteString(`{"type":"auth","payload":{"token":"p"}}`) // too late
			}
			c.waitClosed(tc.code, tc.reason)
			if len(c.msgs) != 0 {
				t.Errorf("a stranger was told %q", c.msgs)
			}
		})
	}
	eventually(t, "nobody is left", func() bool { return s.hub.m.connections.Load() == 0 && s.hub.m.subscriptions.Load() == 0 })
	if n := g.watched(); n != 0 {
		t.Errorf("%d credentials are watched", n)
	}
}

func TestStrangerWhoSaysNothingIsClosedInTime(t *testing.T) {
	s, _ := startGuarded(t, func(o *Options) { o.Config.AuthTimeout = 20 * time.Millisecond })
	s.dial(dialOptions{}).waitClosed(wire.CloseRefused, wire.ReasonAuthTimeout)
	eventually(t, "it is counted", func() bool { return s.hub.m.closes[endedAuthTimeout].Get() == 1 })
	known, f := s.dial(dialOptions{token: "p"}), newFollower(t)
	await[*wire.Welcome](known, f)
	s.sweepAt(time.Now().Add(time.Minute)) // whoever is known stays
	known.send(`{"type":"app_ping"}`)
	await[*wire.Pong](known, f)
}

func TestEveryPatternOfASubscriptionNeedsPermission(t *testing.T) {
	s, _ := startGuarded(t, nil)
	for token, tc := range map[string]map[string]string{
		"p": {
			`"p/#"`: "", `"p/a/m","shared/x/m"`: "", `"p/+/m"`: "", `"shared/+/m"`: "",
			`"#"`: "payload.patterns[0]", `"p/#","q/#"`: "payload.patterns[1]", `"+/a/m"`: "payload.patterns[0]", `"shared/#"`: "payload.patterns[0]",
			`"nothing/of/that/name"`: "payload.patterns[0]",
		},
		"tenant": {`"p/#"`: "", `"p/+/m"`: "", `"#"`: "payload.patterns[0]", `"q/a/m"`: "payload.patterns[0]", `"+/a/m"`: "payload.patterns[0]"},
		"all":    {`"#"`: "", `"q/#","+/a/m"`: ""},
	} {
		c, f := s.dial(dialOptions{token: token}), newFollower(t)
		for list, path := range tc {
			c.send(`{"type":"subscribe","payload":{"id":"x","patterns":[%s],"max_hz":0}}`, list)
			if path == "" {
				await[*wire.Subscribed](c, f)
				c.send(`{"type":"unsubscribe","payload":{"id":"x"}}`)
				continue
			}
			if e := await[*wire.ErrorMsg](c, f); e.Code != wire.CodeForbidden || e.Path != path || e.ID != "x" {
				t.Errorf("%s subscribes to %s: %+v", token, list, e)
			}
		}
		if len(f.errors) != strings.Count(strings.Join(values(tc), ""), "payload") {
			t.Errorf("%s: errors %+v", token, f.errors)
		}
	}
}

func values(m map[string]string) (out []string) {
	for _, v := range m {
		out = append(out, v)
	}
	return out
}

func TestTenantSeesUpdatesAndAlertsOfItsOwnOnly(t *testing.T) {
	s, _ := startGuarded(t, nil)
	c, f := s.dial(dialOptions{token: "tenant"}), newFollower(t)
	if w := await[*wire.Welcome](c, f); strings.Join(w.Read, " ") != "p/#" {
		t.Errorf("read = %q", w.Read)
	}
	s.hub.alerts(0, []telemetry.Alert{alert("before", "q/a/m", telemetry.Firing, 0), alert("mine", "p/a/m", telemetry.Firing, 0)}, 2)
	c.subscribe("x", "p/#", 0)
	if sub := await[*wire.Subscribed](c, f); len(sub.Rows) != 2 || len(sub.Alerts) != 1 || sub.Alerts[0].ID != "mine" {
		t.Errorf("subscribed = %+v", sub)
	}
	s.hub.alerts(0, []telemetry.Alert{alert("theirs", "q/a/m", telemetry.Firing, 1), alert("second", "p/b/m", telemetry.Firing, 1)}, 4)
	s.feed(single("q/a/m", 1, 1), single("p/a/m", 1, 1))
	c.followUntil(f, "the update", func() bool { return f.series("x", "p/a/m").seen == 1 })
	c.followUntil(f, "the alert", func() bool { return len(f.alerts) > 0 })
	for _, m := range c.msgs {
		if strings.Contains(string(m), "q/a") || strings.Contains(string(m), "theirs") || strings.Contains(string(m), "before") {
			t.Errorf("was told %s", m)
		}
	}
}

func TestNewCredentialsOfTheSameSubjectNarrowWhatIsSubscribed(t *testing.T) {
	s, _ := startGuarded(t, nil)
	c, f := s.dial(dialOptions{token: "p"}), newFollower(t)
	c.subscribe("wide", "p/#", 0)
	await[*wire.Subscribed](c, f)
	c.subscribe("narrow", "p/a/m", 0)
	await[*wire.Subscribed](c, f)
	c.authenticate("p-again")
	if e := await[*wire.ErrorMsg](c, f); e.Code != wire.CodeForbidden || e.ID != "wide" {
		t.Errorf("error = %+v", e)
	}
	if a := await[*wire.Authenticated](c, f); strings.Join(a.Read, " ") != "p/a/#" {
		t.Errorf("authenticated = %+v", a)
	}
	s.feed(single("p/a/m", 1, 1), single("p/b/m", 1, 1))
	c.followUntil(f, "the narrow one's update", func() bool { return f.series("narrow", "p/a/m").seen == 1 })
	if got := f.series("wide", "p/b/m").seen; got != 0 {
		t.Errorf("version %d after the subscription had ended", got)
	}
	c.subscribe("wide", "p/b/m", 0)
	if e := await[*wire.ErrorMsg](c, f); e.Code != wire.CodeForbidden {
		t.Errorf("error = %+v", e)
	}
	if len(f.errors) != 2 {
		t.Errorf("errors %+v", f.errors)
	}
}

func TestCredentialsThatAreRefusedLaterLeaveTheConnectionAsItWas(t *testing.T) {
	s, _ := startGuarded(t, nil)
	c, f := s.dial(dialOptions{token: "p"}), newFollower(t)
	c.subscribe("x", "p/#", 0)
	await[*wire.Subscribed](c, f)
	c.authenticate("nonsense")
	if e := await[*wire.ErrorMsg](c, f); e.Code != wire.CodeTokenInvalid {
		t.Errorf("error = %+v", e)
	}
	if counted := s.hub.m.messageErrors[wire.CodeTokenInvalid].Get(); counted != 1 {
		t.Errorf("counted %d times", counted)
	}
	s.feed(single("p/a/m", 1, 1))
	c.followUntil(f, "an update", func() bool { return f.series("x", "p/a/m").seen == 1 })
}

func TestCredentialsOfSomebodyElseEndTheConnection(t *testing.T) {
	s, _ := startGuarded(t, nil)
	for name, token := range map[string]string{"another subject": "q", "the same subject of another tenant": "p-tom"} {
		t.Run(name, func(t *testing.T) {
			c, f := s.dial(dialOptions{token: "p"}), newFollower(t)
			await[*wire.Welcome](c, f)
			c.authenticate(token)
			c.waitClosed(wire.CloseRefused, wire.ReasonForbidden)
		})
	}
}

func TestEndOfCredentialsIsAnnouncedAndANewTokenKeepsTheConnection(t *testing.T) {
	s, g := startGuarded(t, nil)
	ends := time.Now().Add(expiryNotice - time.Second).Truncate(time.Second)
	g.principals["short"] = principal("anna", "", "p/#")
	g.principals["short"].Expires = ends
	c, f := s.dial(dialOptions{token: "short"}), newFollower(t)
	if m := await[*wire.TokenExpiring](c, f); !m.ExpiresAt.Equal(ends) {
		t.Errorf("expires at %v, want %v", m.ExpiresAt, ends)
	}
	s.sweepAt(time.Now())
	c.authenticate("p")
	if _, ok := f.take(c.message("authenticated")).(*wire.Authenticated); !ok {
		t.Errorf("after one announcement: %+v", f.last)
	}
	g.principals["short"].Expires = ends.Add(time.Second)
	c.authenticate("short")
	if a := await[*wire.Authenticated](c, f); !a.ExpiresAt.Equal(ends.Add(time.Second)) {
		t.Errorf("authenticated = %+v", a)
	}
	await[*wire.TokenExpiring](c, f) // again, for these

	long, h := s.dial(dialOptions{token: "p"}), newFollower(t)
	await[*wire.Welcome](long, h)
	s.sweepAt(time.Now())
	long.send(`{"type":"app_ping"}`)
	if _, ok := h.take(long.message("the pong")).(*wire.Pong); !ok {
		t.Errorf("credentials that do not end: %+v", h.last)
	}
}

func TestCredentialsThatEndCloseTheConnectionsThatStandOnThem(t *testing.T) {
	s, g := startGuarded(t, nil)
	for code, want := range map[string]struct {
		code   uint16
		reason string
	}{
		wire.CodeTokenExpired: {wire.CloseTokenExpired, wire.ReasonTokenExpired},
		wire.CodeTokenRevoked: {wire.CloseTokenRevoked, wire.ReasonTokenRevoked},
	} {
		c, f := s.dial(dialOptions{token: "p", query: "?subscribe=p/%23"}), newFollower(t)
		await[*wire.Subscribed](c, f)
		other, h := s.dial(dialOptions{token: "q"}), newFollower(t)
		await[*wire.Welcome](other, h)
		g.end("anna", code)
		c.waitClosed(want.code, want.reason)
		other.send(`{"type":"app_ping"}`)
		await[*wire.Pong](other, h)
		_ = other.conn.NetConn().Close()
	}
	eventually(t, "nothing is watched", func() bool { return g.watched() == 0 })
}

func TestCredentialsThatWereReplacedEndNothing(t *testing.T) {
	s, g := startGuarded(t, nil)
	c, f := s.dial(dialOptions{token: "p"}), newFollower(t)
	await[*wire.Welcome](c, f)
	var stale []func(*wire.Error)
	g.mu.Lock()
	for _, list := range g.watches {
		for _, ended := range list {
			stale = append(stale, ended)
		}
	}
	g.mu.Unlock()
	c.authenticate("p-again")
	await[*wire.Authenticated](c, f)
	if len(stale) != 1 || g.watched() != 1 {
		t.Fatalf("%d watches before, %d after", len(stale), g.watched())
	}
	stale[0](wire.NewError(wire.CodeTokenExpired, "")) // it was on its way
	c.send(`{"type":"app_ping"}`)
	await[*wire.Pong](c, f)
	g.end("anna", wire.CodeTokenRevoked)
	c.waitClosed(wire.CloseTokenRevoked, wire.ReasonTokenRevoked)
}

func TestOpenServerTakesWhateverCredentials(t *testing.T) {
	s := startServer(t, nil)
	c, f := s.dial(dialOptions{token: "anything"}), newFollower(t)
	if w := await[*wire.Welcome](c, f); strings.Join(w.Read, " ") != "#" {
		t.Errorf("read = %q", w.Read)
	}
	c.authenticate("anything else")
	if a := await[*wire.Authenticated](c, f); a.Subject != "anonymous" {
		t.Errorf("authenticated = %+v", a)
	}
}

func TestWhoSpeaksNothingThatIsSpokenHereIsToldByTheCloseCode(t *testing.T) {
	s, _ := startGuarded(t, nil)
	s.dial(dialOptions{token: "p", protocol: "weir.v9.proto"}).waitClosed(wire.CloseUnsupportedProtocol, wire.ReasonUnsupportedProtocol)
}

func TestSubprotocolThatCarriesCredentialsIsNeverChosen(t *testing.T) {
	s, _ := startGuarded(t, nil)
	for offer, want := range map[string]string{
		"weir.token.secret, " + wire.LiveProtocol: wire.LiveProtocol,
		wire.LiveProtocol + ", weir.token.secret": wire.LiveProtocol,
		"weir.token.secret":                       "",
	} {
		c, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(patience))
		fmt.Fprintf(c, "GET /v1/live HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Protocol: %s\r\n"+
			"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", offer)
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := res.Header.Get("Sec-WebSocket-Protocol"); res.StatusCode != http.StatusSwitchingProtocols || got != want {
			t.Errorf("offered %s: %s, %q", offer, res.Status, got)
		}
	}
}
