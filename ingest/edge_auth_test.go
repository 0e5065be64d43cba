package ingest

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lxzan/gws"

	"weir/auth"
	"weir/telemetry"
	"weir/wire"
)

// doorman is a gate that knows some tokens. A token that begins with "expired" has.
type doorman struct {
	mu      sync.Mutex
	known   map[string]*auth.Principal
	watched map[*auth.Principal][]func(*wire.Error)
	asked   int // how often for a token
}

func newDoorman() *doorman {
	return &doorman{known: make(map[string]*auth.Principal), watched: make(map[*auth.Principal][]func(*wire.Error))}
}

// let makes a token of a device that may write all of tenant a.
func (d *doorman) let(token, subject string, change ...func(*auth.Principal)) *auth.Principal {
	write, err := telemetry.ParsePattern("a/#")
	if err != nil {
		panic(err)
	}
	p := &auth.Principal{Subject: subject, Method: auth.MethodToken, Tenant: "a", Roles: []string{auth.RoleDevice}, Write: []telemetry.Pattern{write}}
	for _, c := range change {
		c(p)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.known[token] = p
	return p
}

func (d *doorman) Request(r *http.Request) (*auth.Principal, error) {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return nil, auth.ErrNoCredentials
	}
	return d.Token(r.Context(), token)
}

func (d *doorman) Token(_ context.Context, token string) (*auth.Principal, error) {
	if strings.HasPrefix(token, "expired") {
		return nil, wire.NewError(wire.CodeTokenExpired, "")
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked++
	if p := d.known[token]; p != nil {
		return p, nil
	}
	return nil, wire.NewError(wire.CodeTokenInvalid, "")
}

func (d *doorman) Watch(p *auth.Principal, ended func(*wire.Error)) func() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.watched[p] = append(d.watched[p], ended)
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.watched, p)
	}
}

func (d *doorman) end(p *auth.Principal, code string) {
	d.mu.Lock()
	watched := d.watched[p]
	d.mu.Unlock()
	for _, ended := range watched {
		ended(wire.NewError(code, ""))
	}
}

func (d *doorman) watching() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.watched)
}

func guarded(d *doorman, change ...func(*Options)) func(*Options) {
	return func(o *Options) {
		o.Gate = d
		for _, c := range change {
			c(o)
		}
	}
}

func bearer(token string) http.Header { return http.Header{"Authorization": {"Bearer " + token}} }

func authMessage(token string) string { return string((&wire.Auth{Token: token}).Append(nil)) }

const readingOfA = `{"device":"a/b","metric":"m","value":1}`

func (d *device) authenticated(subject string) {
	d.t.Helper()
	var m struct {
		Type    string
		Payload struct {
			Subject   string
			Roles     []string
			ExpiresAt *time.Time `json:"expires_at"`
		}
	}
	text := d.message()
	if err := json.Unmarshal(text, &m); err != nil || m.Type != wire.TypeAuthenticated || m.Payload.Subject != subject || len(m.Payload.Roles) != 1 {
		d.t.Fatalf("answer %s, %v", text, err)
	}
}

func (d *device) accepts(reading string) {
	d.t.Helper()
	d.send(reading)
	if r := d.receipt(); r.Accepted != 1 {
		d.t.Fatalf("receipt: %+v", r)
	}
}

func (d *device) closedAs(code uint16, reason string) {
	d.t.Helper()
	if gotCode, gotReason := d.closeCode(); gotCode != code || gotReason != reason {
		d.t.Errorf("closed %d %q, want %d %q", gotCode, gotReason, code, reason)
	}
}

func TestCredentialsMayComeWithTheRequestOrAsTheFirstMessage(t *testing.T) {
	g := newDoorman()
	g.let("good", "press7")
	s := start(t, nullProducer{}, guarded(g))
	s.dial(t, "", bearer("good")).accepts(readingOfA)
	late := s.dial(t, "?device=a/b", nil)
	if n := s.strangers.Load(); n != 1 {
		t.Errorf("%d connections without credentials", n)
	}
	late.send(authMessage("good"))
	late.authenticated("press7")
	late.accepts(`{"metric":"m","value":1}`)
	late.send(string(padded(mib)))
	if r := late.receipt(); r.Accepted != 1 {
		t.Errorf("a large frame afterwards: %+v", r)
	}
	if n := s.strangers.Load(); n != 0 {
		t.Errorf("%d connections without credentials", n)
	}
	_ = late.conn.WriteClose(1000, nil)
	eventually(t, "the watch has ended with the connection", func() bool { return s.connections.Load() == 1 && s.principals.of("a\x00press7") == 1 })
}

func TestWhoDoesNotSayWhoTheyAreIsClosed(t *testing.T) {
	t.Parallel() // it waits
	g := newDoorman()
	p := &logProducer{}
	s := start(t, p, guarded(g, func(o *Options) { o.Config.AuthTimeout = time.Minute }))
	for name, said := range map[string]string{
		"a reading": readingOfA, "a ping": `{"type":"app_ping"}`, "a hello": `{"type":"hello"}`, "nonsense": `}`,
		"credentials that cannot be read": `{"type":"auth","payload":`,
	} {
		t.Run(name, func(t *testing.T) {
			d := s.dial(t, "", nil)
			d.send(said)
			d.closedAs(wire.CloseRefused, wire.ReasonUnauthenticated)
		})
	}
	hasty := start(t, p, guarded(g, func(o *Options) { o.Config.AuthTimeout = 500 * time.Millisecond }))
	silent := hasty.dial(t, "", nil) // both wait at once
	conn, br := hasty.rawDial(t, nil)
	_, _ = conn.Write([]byte{finalFrame | opText})
	t.Run("nothing", func(*testing.T) { silent.closedAs(wire.CloseRefused, wire.ReasonAuthTimeout) })
	t.Run("the first byte of a message", func(t *testing.T) { closedWith(t, br, wire.CloseRefused, wire.ReasonAuthTimeout) })
	if n := hasty.count(`weir_ingest_closed_total{reason="auth_timeout"}`); n != 2 {
		t.Errorf("counted %d times", n)
	}
	if p.asked() != 0 {
		t.Error("something was stored, be it a dead letter")
	}
	eventually(t, "none is counted any more", func() bool { return s.strangers.Load() == 0 && hasty.strangers.Load() == 0 })
}

func TestCredentialsThatDoNotDoAreClosedWithTheirReason(t *testing.T) {
	g := newDoorman()
	g.let("good", "press7")
	s := start(t, nullProducer{}, guarded(g))
	for name, c := range map[string]struct {
		token, query string
		code         uint16
		reason       string
	}{
		"invalid":          {"bad", "", wire.CloseRefused, wire.ReasonTokenInvalid},
		"expired":          {"expired", "", wire.CloseTokenExpired, wire.ReasonTokenExpired},
		"another's device": {"good", "?device=b/c", wire.CloseRefused, wire.ReasonForbidden},
	} {
		t.Run(name, func(t *testing.T) {
			s.dial(t, c.query, bearer(c.token)).closedAs(c.code, c.reason)
			d := s.dial(t, c.query, nil)
			d.send(authMessage(c.token))
			d.closedAs(c.code, c.reason)
		})
	}
	if got := s.count(`weir_ingest_closed_total{reason="token_invalid"}`); got != 2 {
		t.Errorf("counted %d times", got)
	}
	for query, want := range map[string]int{"?device=b/c": http.StatusForbidden, "?device=a/c": http.StatusOK} {
		if res, r := s.post(t, query, `{"metric":"m","value":1}`, "Authorization", "Bearer good"); res.StatusCode != want {
			t.Errorf("POST %s: %d %+v", query, res.StatusCode, r)
		}
	}
	if res, _ := s.post(t, "", readingOfA); res.StatusCode != http.StatusUnauthorized {
		t.Errorf("POST without credentials: %d", res.StatusCode)
	}
}

func TestWhoHasYetToSayWhoTheyAreGetsNoRoom(t *testing.T) {
	g := newDoorman()
	g.let("good", "press7")
	s := start(t, nullProducer{}, guarded(g))
	conn, br := s.rawDial(t, nil)
	announce(t, conn, mib)
	closedWith(t, br, wire.CloseTooLarge, wire.ReasonFrameTooLarge)
	fragments, br := s.rawDial(t, nil)
	_, _ = fragments.Write(clientFrame(opText, false, true, strangerBytes))
	_, _ = fragments.Write(clientFrame(0, true, true, 1))
	closedWith(t, br, wire.CloseTooLarge, wire.ReasonFrameTooLarge)
	if s.pending.taken.Load() != 0 {
		t.Error("room was taken")
	}
	// Who sends a large message right behind the credentials is not refused for what was read ahead.
	eager, br := s.rawDial(t, nil)
	go func() {
		_, _ = eager.Write(append(masked(opText, []byte(authMessage("good"))), masked(opText, padded(mib))...))
	}()
	if _, payload, err := readFrame(br); err != nil || !strings.Contains(string(payload), wire.TypeAuthenticated) {
		t.Fatalf("%s, %v", payload, err)
	}
	accepted(t, br, 1)
}

func TestCredentialsAreRenewedByTheSamePrincipalOnly(t *testing.T) {
	g := newDoorman()
	first := g.let("first", "press7")
	second := g.let("second", "press7")
	g.let("other", "press8")
	s := start(t, nullProducer{}, guarded(g))
	d := s.dial(t, "", bearer("first"))
	d.accepts(readingOfA)
	g.mu.Lock()
	late := g.watched[first][0]
	g.mu.Unlock()
	d.send(authMessage("second"))
	d.authenticated("press7")
	late(wire.NewError(wire.CodeTokenExpired, "")) // the end of what has been renewed is nothing to the connection
	d.accepts(readingOfA)
	if n := g.watching(); n != 1 {
		t.Errorf("%d principals are watched", n)
	}
	d.send(authMessage("other"))
	d.closedAs(wire.CloseRefused, wire.ReasonForbidden)
	eventually(t, "no watch is left", func() bool { return g.watching() == 0 && s.connections.Load() == 0 })
	again := s.dial(t, "", bearer("second"))
	again.accepts(readingOfA)
	g.end(second, wire.CodeTokenExpired)
	again.closedAs(wire.CloseTokenExpired, wire.ReasonTokenExpired)
}

func TestRevocationEndsAConnectionThatTakesNothing(t *testing.T) {
	g := newDoorman()
	who := g.let("good", "press7")
	p := &logProducer{}
	s := start(t, p, guarded(g, func(o *Options) { o.Config.WriteTimeout = time.Hour }))
	d := s.dial(t, "", bearer("good"))
	d.accepts(readingOfA)
	// This one takes no receipts, so that the writer is in the middle of one.
	stuck, br := s.rawDial(t, nil, "Authorization: Bearer good")
	_ = br
	frame := masked(opText, []byte(`{"device":"a/b","readings":[`+strings.Repeat(`7,`, 1000)+`7]}`))
	flood(t, stuck, frame, 1<<30)
	g.end(who, wire.CodeTokenRevoked)
	d.closedAs(wire.CloseTokenRevoked, wire.ReasonTokenRevoked)
	eventually(t, "both are gone", func() bool { return s.connections.Load() == 0 })
}

func TestADeviceIsToldThatItsCredentialsEndSoon(t *testing.T) {
	g := newDoorman()
	ends := time.Now().Add(time.Hour)
	g.let("good", "press7", func(p *auth.Principal) { p.Expires = ends })
	g.let("later", "press7", func(p *auth.Principal) { p.Expires = ends.Add(time.Hour) })
	s := start(t, nullProducer{}, guarded(g))
	d := s.dial(t, "", bearer("good"))
	renewed := s.dial(t, "", bearer("good"))
	renewed.send(authMessage("later"))
	renewed.authenticated("press7")
	lookAt := func(at time.Time) { s.each(func(c *conn) { c.notices(at.UnixMicro()) }) }
	lookAt(ends.Add(-expiryNotice - time.Millisecond))
	d.silent("not yet")
	lookAt(ends.Add(-expiryNotice))
	want := fmt.Sprintf(`{"type":"token_expiring","payload":{"expires_at":"%s"}}`, ends.UTC().Format(time.RFC3339))
	if m := string(d.message()); m != want {
		t.Errorf("%s, want %s", m, want)
	}
	lookAt(ends)
	d.silent("told once")
	renewed.silent("renewed in time")
}

func TestConnectionsAreBoundedByPrincipalByAddressAndWithoutEither(t *testing.T) {
	g := newDoorman()
	g.let("good", "press7")
	s := start(t, nullProducer{}, guarded(g, func(o *Options) {
		o.Config.MaxConnectionsPerPrincipal, o.Config.MaxConnectionsPerAddress, o.Config.MaxUnauthenticated = 1, 2, 1
		o.Proxies = mustProxies("127.0.0.0/8", "::1")
	}))
	first := s.dial(t, "", bearer("good"))
	first.accepts(readingOfA) // places are taken after the handshake: the first has its own now
	s.dial(t, "", bearer("good")).closedAs(wire.CloseRefused, wire.ReasonLimitPrincipal)
	_ = first.conn.WriteClose(1000, nil)
	eventually(t, "the place is free", func() bool { return s.connections.Load() == 0 })
	s.dial(t, "", bearer("good")).accepts(readingOfA)

	stranger := s.dial(t, "", nil)
	refused(t, s, nil, wire.CodeTooManyConns)
	_ = stranger.conn.WriteClose(1000, nil)
	eventually(t, "the place is free", func() bool { return s.strangers.Load() == 0 })

	from := func(address string) http.Header {
		return http.Header{"Authorization": {"Bearer bad"}, "X-Forwarded-For": {address}}
	}
	// Connections stay counted until they have ended, so these wait for the end.
	for range 3 {
		s.dial(t, "", from("203.0.113.5")).closedAs(wire.CloseRefused, wire.ReasonTokenInvalid)
		eventually(t, "gone", func() bool { return s.addresses.holders() == 0 })
	}
	g.let("x", "x")
	g.let("y", "y")
	open := func(token, address string) *device {
		h := bearer(token)
		h.Set("X-Forwarded-For", address)
		return s.dial(t, "", h)
	}
	open("x", "2001:db8::1").accepts(readingOfA)
	open("y", "2001:db8::2").accepts(readingOfA)
	refused(t, s, from("2001:db8::3"), wire.CodeLimitAddress)
	if n := s.count(`weir_ingest_refused_total{reason="address"}`); n != 1 {
		t.Errorf("counted %d times", n)
	}
}

// refused asks for an upgrade that is answered 429.
func refused(t *testing.T, s *site, h http.Header, code string) {
	t.Helper()
	_, res, err := gws.NewClient(&gws.BuiltinEventHandler{}, &gws.ClientOption{
		Addr: "ws" + strings.TrimPrefix(s.url, "http") + "/v1/ingest", RequestHeader: h})
	if err == nil || res == nil || res.StatusCode != http.StatusTooManyRequests || res.Header.Get("Retry-After") == "" {
		t.Fatalf("%v, %v", res, err)
	}
	defer res.Body.Close()
	var body wire.ErrorBody
	if err := json.NewDecoder(res.Body).Decode(&body); err != nil || body.Error.Code != code {
		t.Errorf("%+v, %v", body.Error, err)
	}
}

// gws hands on what it has read, even after the close frame.
func TestWhatIsReadAlongWithTheReasonForAnEndIsNotHeardAfterTheEnd(t *testing.T) {
	g := newDoorman()
	g.let("good", "press7")
	p := &logProducer{}
	s := start(t, p, guarded(g))
	conn, br := s.rawDial(t, nil)
	said := masked(opText, []byte(`{}`))
	said = append(append(said, masked(opText, []byte(authMessage("good")))...), masked(opText, []byte(readingOfA))...)
	if _, err := conn.Write(said); err != nil {
		t.Fatal(err)
	}
	closedWith(t, br, wire.CloseRefused, wire.ReasonUnauthenticated)
	_ = conn.Close()
	eventually(t, "it is gone", func() bool { return s.connections.Load() == 0 })
	if g.asked != 0 || p.asked() != 0 {
		t.Errorf("%d tokens were looked at, %d records stored", g.asked, p.asked())
	}
	if n := s.count(`weir_ingest_closed_total{reason="unauthenticated"}`); n != 1 {
		t.Errorf("counted %d times", n)
	}
}

// of is how many connections the holder has.
func (p *places[H]) of(holder H) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.taken[holder]
}

// What a connection is given up for is what came first, but that its credentials have ended comes before all else.
func TestASignOutIsNotOverriddenByAnotherVerdict(t *testing.T) {
	c := newConn(start(t, nullProducer{}).Server, dialect{})
	c.work.Store(writerDone)
	c.giveUp(idleOut)
	if c.giveUp(tooSlow); c.verdict.Load() != idleOut {
		t.Errorf("verdict %d", c.verdict.Load())
	}
	c.net = &lingering{Conn: nowhere{}}
	c.signOut(nil, wire.NewError(wire.CodeTokenRevoked, ""))
	if c.giveUp(idleOut); c.verdict.Load() != signedOut {
		t.Errorf("verdict %d", c.verdict.Load())
	}
}
