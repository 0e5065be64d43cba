package auth_test

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"weir/auth"
)

// still stops time, so that no failure drains away while a test makes others.
func still(change func(*auth.Options)) func(*auth.Options) {
	return func(o *auth.Options) {
		o.Now = (&clock{at: time.Now()}).now
		change(o)
	}
}

// exhaust has the address of w's requests use up its attempts, as one device with a wrong key does.
func (w *world) exhaust() {
	w.t.Helper()
	for range 25 {
		w.ask("GET", "/v1/session", "weir_aaaa_bbbb", nil)
	}
	if a := w.ask("GET", "/v1/session", "weir_aaaa_bbbb", nil); a.code() != "limit_address" {
		w.t.Fatalf("%d %s", a.status, a.raw)
	}
}

func TestOneMisconfiguredDeviceDoesNotLockOutItsNeighbours(t *testing.T) {
	s := newService(t)
	w := open(t, still(s.options)).run()
	s.claims = object{"groups": []string{"plant1-night"}}
	cookie, state := s.begin(w)
	token := w.token(w.operator(), object{"sub": "x", "roles": []string{"viewer"}, "read": []string{"#"}})
	session := cookieOf(t, w.ask("POST", "/v1/session", "", object{"token": token}), "weir_session").Value
	family := w.ask("POST", "/v1/session", "", object{"token": token, "refresh": true})
	link, err := w.OperatorLink("http://weir.test")
	must(t, err)
	w.exhaust()
	for name, ask := range map[string]func() answer{
		"token":  func() answer { return w.ask("GET", "/v1/session", token, nil) },
		"cookie": func() answer { return w.serve(withCookie("GET", "/v1/session", session)) },
		"operator link": func() answer {
			return w.ask("POST", "/v1/session", "", object{"code": link[len("http://weir.test/#code="):]})
		},
		"sign-in": func() answer { return back(w, cookie, state, "the-code") },
		"refresh token": func() answer {
			return w.ask("POST", "/v1/session/refresh", "", object{"refresh_token": family.text("refresh_token")})
		},
	} {
		if a := ask(); a.status != 200 {
			t.Errorf("a valid %s: %d %s", name, a.status, a.raw)
		}
	}
	for name, ask := range map[string]func() answer{
		"token":         func() answer { return w.ask("GET", "/v1/session", token+"x", nil) },
		"operator link": func() answer { return w.ask("POST", "/v1/session", "", object{"code": "nonsense"}) },
		"refresh token": func() answer { return w.ask("POST", "/v1/session/refresh", "", object{"refresh_token": token}) },
		"sign-in":       func() answer { return back(w, cookie, state+"x", "the-code") },
	} {
		if a := ask(); a.status != 429 || a.code() != "limit_address" || a.header.Get("Retry-After") == "" {
			t.Errorf("a wrong %s: %d %s", name, a.status, a.raw)
		}
	}
}

func TestIssuersAreNotAskedForAnAddressWithTooManyFailures(t *testing.T) {
	p, c := publish(t), &clock{at: time.Now()}
	known, strange := newES256(t), newES256(t)
	p.change(false, jwk(t, "1", known.Public(), nil))
	w := open(t, func(o *auth.Options) {
		o.Config.JWT.JWKSURLs, o.Now, o.Client = []string{p.URL}, c.now, p.Client()
	})
	w.wantRefusal(sign(t, "ES256", "1", known, nil), "")
	c.advance(time.Minute)
	w.exhaust()
	before := p.times()
	if a := w.ask("GET", "/v1/session", sign(t, "ES256", "2", strange, nil), nil); a.code() != "limit_address" || p.times() != before {
		t.Errorf("%d %s, asked %d times", a.status, a.raw, p.times()-before)
	}
	if a := w.ask("GET", "/v1/session", sign(t, "ES256", "1", known, nil), nil); a.status != 200 {
		t.Errorf("a token by a key that is known: %d %s", a.status, a.raw)
	}
	// From elsewhere it is: there may be a new key.
	r := httptest.NewRequest(http.MethodGet, "/v1/session", nil)
	r.RemoteAddr = netip.MustParseAddrPort("203.0.113.77:1").String()
	r.Header.Set("Authorization", "Bearer "+sign(t, "ES256", "2", strange, nil))
	if a := w.serve(r); a.status != 401 || p.times() != before+1 {
		t.Errorf("%d %s, asked %d times", a.status, a.raw, p.times()-before)
	}
}

func TestFailedSignInsOfAnAddressAreBoundedByThemselves(t *testing.T) {
	s := newService(t)
	w := open(t, still(s.options)).run()
	s.claims = object{"groups": []string{"plant1-night"}}
	for i := range 25 {
		cookie, state := s.begin(w)
		a := back(w, cookie, state, "wrong")
		if over := i >= 20; a.status != 401 && !over || over && a.code() != "limit_address" {
			t.Fatalf("sign-in %d: %d %s", i, a.status, a.raw)
		}
	}
	if s.exchanged > 2*20 { // the client may try both ways of showing its secret
		t.Errorf("the service was asked %d times", s.exchanged)
	}
}
