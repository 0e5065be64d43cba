package auth_test

import (
	"context"
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"weir/auth"
	"weir/internal/remote"
)

func cookieOf(t *testing.T, a answer, name string) *http.Cookie {
	t.Helper()
	for _, c := range (&http.Response{Header: a.header}).Cookies() {
		if c.Name == name {
			return c
		}
	}
	t.Fatalf("no cookie %s in %v: %s", name, a.header, a.raw)
	return nil
}

func withCookie(method, path, value string) *http.Request {
	r := httptest.NewRequest(method, path, nil)
	r.AddCookie(&http.Cookie{Name: "weir_session", Value: value})
	return r
}

func TestASessionIsACookieThatNoScriptReads(t *testing.T) {
	w := open(t, nil).run()
	_, key := w.key(w.operator(), object{"roles": []string{"operator"}, "read": []string{"plant1/#"}, "tenant": "plant1"})
	a := w.ask("POST", "/v1/session", "", object{"token": key})
	if a.status != 200 || a.text("tenant") != "plant1" || a.text("expires_at") == "" || strings.Contains(a.raw, "eyJ") {
		t.Fatalf("%d %s", a.status, a.raw)
	}
	c := cookieOf(t, a, "weir_session")
	if !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != "/" || c.Secure || c.MaxAge < 12*3600-2 {
		t.Errorf("%+v", c)
	}
	who := w.serve(withCookie("GET", "/v1/session", c.Value))
	if who.status != 200 || who.text("method") != "cookie" || who.text("tenant") != "plant1" {
		t.Errorf("%d %s", who.status, who.raw)
	}
	out := w.serve(withCookie("DELETE", "/v1/session", c.Value))
	if gone := cookieOf(t, out, "weir_session"); out.status != 204 || gone.MaxAge >= 0 || gone.Value != "" {
		t.Errorf("%d %+v", out.status, gone)
	}
	if who := w.serve(withCookie("GET", "/v1/session", c.Value)); who.code() != "token_revoked" {
		t.Errorf("after signing out: %d %s", who.status, who.raw)
	}
	w.wantRefusal(key, "")
}

func TestCookiesAreSecureBehindTLS(t *testing.T) {
	w := open(t, func(o *auth.Options) { o.Proxies, _ = remote.ParseProxies([]string{"192.0.2.0/24"}) }).run()
	token := readToken(w)
	for name, c := range map[string]struct {
		change func(*http.Request)
		want   bool
	}{
		"plain":         {func(*http.Request) {}, false},
		"TLS":           {func(r *http.Request) { r.TLS = new(tls.ConnectionState) }, true},
		"trusted proxy": {func(r *http.Request) { r.Header.Set("X-Forwarded-Proto", "https") }, true},
		"any proxy": {func(r *http.Request) {
			r.RemoteAddr = "198.51.100.1:1"
			r.Header.Set("X-Forwarded-Proto", "https")
		}, false},
	} {
		r := httptest.NewRequest(http.MethodPost, "/v1/session", strings.NewReader(`{"token":"`+token+`"}`))
		r.Header.Set("Content-Type", "application/json")
		c.change(r)
		if got := cookieOf(t, w.serve(r), "weir_session").Secure; got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestForeignPagesCannotActWithACookie(t *testing.T) {
	w := open(t, nil).run()
	c := cookieOf(t, w.ask("POST", "/v1/session", "", object{"token": readToken(w)}), "weir_session")
	for origin, want := range map[string]int{"": 200, "http://example.com": 200, "https://evil.example": 403} {
		r := withCookie("POST", "/act", c.Value)
		if origin != "" {
			r.Header.Set("Origin", origin)
		}
		if a := w.serve(r); a.status != want {
			t.Errorf("from %q: %d", origin, a.status)
		}
	}
}

func TestBodiesOfSessionsAreStrict(t *testing.T) {
	w := open(t, nil).run()
	post := func(kind, body string) answer {
		r := httptest.NewRequest(http.MethodPost, "/v1/session", strings.NewReader(body))
		r.Header.Set("Content-Type", kind)
		return w.serve(r)
	}
	for name, c := range map[string]struct{ kind, body, code string }{
		"form":          {"application/x-www-form-urlencoded", "token=a", "media_type"},
		"text":          {"text/plain", `{"token":"a"}`, "media_type"},
		"empty":         {"application/json", "", "field_missing token"},
		"no token":      {"application/json", `{}`, "field_missing token"},
		"unknown field": {"application/json", `{"tokn":"a"}`, "field_unknown tokn"},
		"wrong type":    {"application/json", `{"token":5}`, "field_type token"},
		"cut":           {"application/json", `{"token":`, "json_syntax"},
		"two":           {"application/json", `{"token":"a"} {}`, "json_syntax"},
		"large":         {"application/json", `{"token":"` + strings.Repeat("a", 70<<10) + `"}`, "frame_too_large"},
		"wrong token":   {"application/json", `{"token":"a"}`, "token_invalid"},
		"wrong code":    {"application/json", `{"code":"a"}`, "token_invalid code"},
	} {
		if a := post(c.kind, c.body); a.code() != c.code || strings.Contains(a.raw, "aaaa") {
			t.Errorf("%s: %d %.200s", name, a.status, a.raw)
		}
	}
}

func TestAnOperatorLinkWorksOnceAndNotForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t, nil).run()
		link, err := w.OperatorLink("http://127.0.0.1:7420/")
		must(t, err)
		u, err := url.Parse(link)
		must(t, err)
		code, ok := strings.CutPrefix(u.Fragment, "code=")
		if !ok || u.Path != "/" || u.RawQuery != "" {
			t.Fatal(link)
		}
		a := w.ask("POST", "/v1/session", "", object{"code": code})
		if a.status != 200 || a.text("subject") != "operator" {
			t.Fatalf("%d %s", a.status, a.raw)
		}
		p, err := w.Request(withCookie("GET", "/", cookieOf(t, a, "weir_session").Value))
		must(t, err)
		if !p.Has(auth.RoleAdmin) || !p.Has(auth.RoleDevice) || !p.MayReadPath("a/b/c") {
			t.Errorf("%+v", p)
		}
		if a := w.ask("POST", "/v1/session", "", object{"code": code}); a.status != 401 {
			t.Errorf("a second time: %d", a.status)
		}
		late, err := w.OperatorLink("http://127.0.0.1:7420")
		must(t, err)
		time.Sleep(15 * time.Minute)
		if a := w.ask("POST", "/v1/session", "", object{"code": late[strings.Index(late, "=")+1:]}); a.status != 401 {
			t.Errorf("too late: %d", a.status)
		}
	})
}

func TestASessionEndsNoLaterThanWhatItWasMadeOf(t *testing.T) {
	w := open(t, nil).run()
	token := w.token(w.operator(), object{"sub": "x", "roles": []string{"viewer"}, "ttl": "2m"})
	for _, refresh := range []bool{false, true} {
		a := w.ask("POST", "/v1/session", "", object{"token": token, "refresh": refresh})
		for _, field := range []string{"expires_at", "refresh_expires_at"} {
			if a.text(field) == "" {
				continue
			}
			until, err := time.Parse(time.RFC3339, a.text(field))
			must(t, err)
			if left := time.Until(until); left > 2*time.Minute {
				t.Errorf("%s: %s left", field, left)
			}
		}
	}
	original, err := w.Token(context.Background(), token)
	must(t, err)
	session := w.ask("POST", "/v1/session", "", object{"token": token, "refresh": true})
	ended, stop := w.watch(session.text("access_token"))
	defer stop()
	a := w.ask("POST", "/v1/revocations", w.operator(), object{"token": original.TokenID})
	if a.status != 200 {
		t.Fatalf("%d %s", a.status, a.raw)
	}
	wantEnd(t, ended, "token_revoked")
	if a := w.ask("POST", "/v1/session/refresh", "", object{"refresh_token": session.text("refresh_token")}); a.code() != "token_revoked" {
		t.Errorf("%d %s", a.status, a.raw)
	}
}

func TestNoSessionIsMadeOfASession(t *testing.T) {
	w := open(t, nil).run()
	root := w.token(w.operator(), object{"sub": "alice", "roles": []string{"viewer"}, "read": []string{"#"}, "ttl": "24h"})
	_, key := w.key(w.operator(), object{"roles": []string{"viewer"}})
	for _, original := range []string{root, key, w.operator()} {
		first := w.ask("POST", "/v1/session", "", object{"token": original})
		if first.status == 403 {
			continue // the operator's is a session already
		}
		session := cookieOf(t, first, "weir_session").Value
		family := w.ask("POST", "/v1/session", "", object{"token": original, "refresh": true})
		for _, one := range []string{session, family.text("access_token")} {
			for _, refresh := range []bool{false, true} {
				if a := w.ask("POST", "/v1/session", "", object{"token": one, "refresh": refresh}); a.code() != "forbidden token" {
					t.Errorf("%d %s", a.status, a.raw)
				}
			}
		}
	}
	session := cookieOf(t, w.ask("POST", "/v1/session", "", object{"token": root}), "weir_session").Value
	if a := w.ask("DELETE", "/v1/session", root, nil); a.status != 204 {
		t.Errorf("%d %s", a.status, a.raw)
	}
	w.wantRefusal(session, "token_revoked") // with what it was made of
}

func TestRefreshTokensRotateAndReuseRevokesTheFamily(t *testing.T) {
	w := open(t, nil).run()
	a := w.ask("POST", "/v1/session", "", object{"token": readToken(w), "refresh": true})
	first := a.text("refresh_token")
	if a.header.Get("Set-Cookie") != "" || first == "" {
		t.Fatalf("%d %s", a.status, a.raw)
	}
	ended, stop := w.watch(a.text("access_token"))
	defer stop()
	b := w.ask("POST", "/v1/session/refresh", "", object{"refresh_token": first})
	second := b.text("refresh_token")
	if b.status != 200 || second == first {
		t.Fatalf("%d %s", b.status, b.raw)
	}
	w.wantRefusal(b.text("access_token"), "")
	p, err := w.Token(context.Background(), b.text("access_token"))
	must(t, err)
	if p.Subject != "bob" || !p.MayReadPath("a/b") || !p.Has(auth.RoleViewer) || p.Has(auth.RoleOperator) {
		t.Errorf("%+v", p)
	}
	wantOpen(t, ended)
	if c := w.ask("POST", "/v1/session/refresh", "", object{"refresh_token": first}); c.code() != "token_revoked" {
		t.Errorf("reuse: %d %s", c.status, c.raw)
	}
	wantEnd(t, ended, "token_revoked")
	if c := w.ask("POST", "/v1/session/refresh", "", object{"refresh_token": second}); c.code() != "token_revoked" {
		t.Errorf("the newest after reuse: %d %s", c.status, c.raw)
	}
	w.wantRefusal(b.text("access_token"), "token_revoked")
	if c := w.ask("POST", "/v1/session/refresh", "", object{"refresh_token": b.text("access_token")}); c.code() != "token_invalid" {
		t.Errorf("an access token renews: %d %s", c.status, c.raw)
	}
}

func TestAFamilyEndsWithItsLifetime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t, func(o *auth.Options) { o.Config.RefreshLifetime = time.Hour }).run()
		_, key := w.key(w.operator(), object{"roles": []string{"viewer"}})
		token := w.ask("POST", "/v1/session", "", object{"token": key, "refresh": true}).text("refresh_token")
		for range 3 {
			time.Sleep(19 * time.Minute)
			token = w.ask("POST", "/v1/session/refresh", "", object{"refresh_token": token}).text("refresh_token")
		}
		time.Sleep(4 * time.Minute)
		if a := w.ask("POST", "/v1/session/refresh", "", object{"refresh_token": token}); a.code() != "token_expired" {
			t.Errorf("%d %s", a.status, a.raw)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		n := 0
		w.store.Range("family/", func(string, []byte) bool { n++; return true })
		if n > 1 { // the operator's may still be there
			t.Errorf("%d families are kept", n)
		}
	})
}

func TestStoreFailuresAreToldWithoutDetail(t *testing.T) {
	w := open(t, nil).run()
	by, token := w.operator(), readToken(w)
	w.store.Fail(context.DeadlineExceeded)
	for _, c := range []struct {
		path string
		body object
	}{
		{"/v1/session", object{"token": token, "refresh": true}},
		{"/v1/keys", object{"roles": []string{"viewer"}}},
		{"/v1/revocations", object{"subject": "x"}},
	} {
		if a := w.ask("POST", c.path, by, c.body); a.status != 500 || a.code() != "internal" || strings.Contains(a.raw, "deadline") {
			t.Errorf("%s: %d %s", c.path, a.status, a.raw)
		}
	}
}

func TestFailedAttemptsOfAnAddressAreBounded(t *testing.T) {
	c := &clock{at: time.Now()}
	w := open(t, func(o *auth.Options) { o.Config.FailedAttempts, o.Now = 5, c.now }).run()
	by := w.operator()
	_, key := w.key(by, object{"roles": []string{"viewer"}})
	try := func(remote, credential string) answer {
		r := httptest.NewRequest(http.MethodGet, "/v1/session", nil)
		r.RemoteAddr = remote
		r.Header.Set("Authorization", "Bearer "+credential)
		return w.serve(r)
	}
	const mean, other = "203.0.113.9:1", "203.0.113.10:1"
	for i := range 5 {
		if a := try(mean, "weir_x_y"); a.status != 401 {
			t.Fatalf("attempt %d: %d %s", i, a.status, a.raw)
		}
	}
	a := try(mean, "weir_x_y")
	if a.status != 429 || a.code() != "limit_address" || a.header.Get("Retry-After") == "" {
		t.Errorf("%d %s %v", a.status, a.raw, a.header)
	}
	if a := try(mean, by); a.status != 200 {
		t.Errorf("a token from the same address is refused: %d", a.status)
	}
	if a := try(mean, key); a.status != 200 {
		t.Errorf("a device behind the same address is refused: %d", a.status)
	}
	if a := try(other, by); a.status != 200 {
		t.Errorf("another address is refused: %d", a.status)
	}
	_, err := w.Token(auth.WithAddress(context.Background(), netip.MustParseAddrPort(mean).Addr()), by+"x")
	if err == nil || auth.Refusal(err).Code != "limit_address" {
		t.Errorf("a first message is not bounded: %v", err)
	}
	c.advance(30 * time.Second)
	if a := try(mean, by); a.status != 200 {
		t.Errorf("after a while: %d", a.status)
	}
	if got := try("[2001:db8::1]:1", "x"); got.status != 401 {
		t.Errorf("%d", got.status)
	}
}
