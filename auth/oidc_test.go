package auth_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"

	"weir/auth"
)

// service is a sign-in service with one account.
type service struct {
	*httptest.Server
	t         *testing.T
	claims    object // over the usual ones
	challenge string
	nonce     string
	exchanged int
}

func newService(t *testing.T) *service {
	t.Helper()
	s := &service{t: t}
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(object{
			"issuer": s.URL, "authorization_endpoint": s.URL + "/authorize", "token_endpoint": s.URL + "/token", "jwks_uri": s.URL + "/keys",
			"id_token_signing_alg_values_supported": []string{"ES256"}})
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(jwkset.JWKSMarshal{Keys: []jwkset.JWKMarshal{jwk(t, "1", pairs()["ES256"].Public(), nil)}})
	})
	mux.HandleFunc("/token", func(w http.ResponseWriter, r *http.Request) {
		s.exchanged++
		sum := sha256.Sum256([]byte(r.FormValue("code_verifier")))
		_, secret, _ := r.BasicAuth()
		if r.FormValue("code") != "the-code" || base64.RawURLEncoding.EncodeToString(sum[:]) != s.challenge || secret != "client-secret" {
			http.Error(w, `{"error":"invalid_grant"}`, http.StatusBadRequest)
			return
		}
		now := time.Now()
		claims := jwt.MapClaims{"tenant": "plant1", "iss": s.URL, "aud": "weir", "sub": "alice", "iat": now.Unix(), "exp": now.Add(time.Minute).Unix(), "nonce": s.nonce}
		maps.Copy(claims, s.claims)
		token := jwt.NewWithClaims(jwt.SigningMethodES256, claims)
		token.Header["kid"] = "1"
		text, err := token.SignedString(pairs()["ES256"])
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(object{"access_token": "x", "token_type": "Bearer", "id_token": text})
	})
	s.Server = httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

func (s *service) options(o *auth.Options) {
	o.Client = s.Client()
	o.Config.OIDC = auth.OIDCConfig{
		Issuer: s.URL, ClientID: "weir", ClientSecret: "client-secret", RedirectURL: "https://weir.example/v1/session/oidc/callback",
		Scopes: []string{"openid"}, RolesClaim: "roles", TenantClaim: "tenant", ReadClaim: "read",
		Rules: []auth.OIDCRule{
			{Claim: "groups", Value: "plant1-*", Tenant: "plant1", Roles: []string{"viewer"}, Read: []string{"plant1/#"}},
			{Claim: "groups", Value: "plant2-*", Tenant: "plant2", Roles: []string{"viewer"}, Read: []string{"plant2/#"}},
			{Claim: "groups", Value: "engineers", Roles: []string{"operator"}, Write: []string{"#"}},
			{Claim: "groups", Value: "talkers", Rooms: []auth.RoomRights{{Rooms: []string{"plant1/#"}, May: []string{auth.RoomSend}}}},
			{Claim: "groups", Value: "silent", Rooms: []auth.RoomRights{}},
		},
	}
}

// begin sends a browser to the service and returns the cookie and the state it has there.
func (s *service) begin(w *world) (cookie *http.Cookie, state string) {
	s.t.Helper()
	a := w.serve(httptest.NewRequest(http.MethodGet, "/v1/session/oidc", nil))
	if a.status != http.StatusFound {
		s.t.Fatalf("%d %s", a.status, a.raw)
	}
	to, err := url.Parse(a.header.Get("Location"))
	must(s.t, err)
	q := to.Query()
	if to.Path != "/authorize" || q.Get("code_challenge_method") != "S256" || q.Get("client_id") != "weir" || q.Get("response_type") != "code" {
		s.t.Fatalf("sent to %s", to)
	}
	s.challenge, s.nonce = q.Get("code_challenge"), q.Get("nonce")
	cookie = cookieOf(s.t, a, "weir_sign_in")
	if !cookie.HttpOnly || cookie.SameSite != http.SameSiteLaxMode || cookie.Path != "/v1/session/oidc" {
		s.t.Errorf("%+v", cookie)
	}
	return cookie, q.Get("state")
}

func back(w *world, cookie *http.Cookie, state, code string) answer {
	w.t.Helper()
	r := httptest.NewRequest(http.MethodGet, "/v1/session/oidc/callback?"+url.Values{"state": {state}, "code": {code}}.Encode(), nil)
	if cookie != nil {
		r.AddCookie(&http.Cookie{Name: cookie.Name, Value: cookie.Value})
	}
	return w.serve(r)
}

func TestASignInServiceSignsBrowsersIn(t *testing.T) {
	s := newService(t)
	w := open(t, s.options).run()
	s.claims = object{"groups": []string{"plant1-night", "engineers", "poets"}}
	cookie, state := s.begin(w)
	a := back(w, cookie, state, "the-code")
	if a.status != 200 || !strings.Contains(a.raw, `content="0;url=/"`) {
		t.Fatalf("%d %s\n%s", a.status, a.raw, w.log)
	}
	if gone := cookieOf(t, a, "weir_sign_in"); gone.MaxAge >= 0 {
		t.Errorf("%+v", gone)
	}
	p, err := w.Request(withCookie("GET", "/", cookieOf(t, a, "weir_session").Value))
	must(t, err)
	if p.Subject != "alice" || p.Tenant != "plant1" || !p.Has(auth.RoleOperator) || p.Has(auth.RoleAdmin) ||
		!p.MayReadPath("plant1/a/m") || p.MayWrite("plant2/a") {
		t.Errorf("%+v", p)
	}
}

func TestASignInIsRefused(t *testing.T) {
	engineers := object{"groups": []string{"engineers"}}
	for name, c := range map[string]struct {
		claims object
		back   func(w *world, cookie *http.Cookie, state string) answer
		code   string
	}{
		"no role":            {object{"groups": "poets"}, nil, "forbidden"},
		"made-up role":       {object{"roles": "root"}, nil, "forbidden"},
		"two tenants":        {object{"groups": []string{"plant1-a", "plant2-b"}}, nil, "forbidden"},
		"claim against rule": {object{"groups": []string{"plant1-a"}, "tenant": "plant2"}, nil, "forbidden"},
		"empty tenant":       {object{"roles": "admin", "tenant": ""}, nil, "forbidden tenant"},
		"no tenant claim":    {object{"roles": "admin", "tenant": nil}, nil, "forbidden tenant"},
		"tenants, none":      {object{"roles": "admin", "tenant": []string{}}, nil, "forbidden tenant"},
		"tenant by number":   {object{"roles": "admin", "tenant": 7}, nil, "forbidden tenant"},
		"tenants by number":  {object{"roles": "admin", "tenant": []any{7, "plant1"}}, nil, "forbidden tenant"},
		"tenant of the rule": {object{"groups": []string{"plant1-a"}, "tenant": nil}, nil, "forbidden tenant"},
		"broken pattern":     {object{"roles": "viewer", "read": "a//b"}, nil, "forbidden read[0]"},
		"other nonce":        {object{"roles": "viewer", "nonce": "x"}, nil, "token_invalid"},
		"other audience":     {object{"roles": "viewer", "aud": "x"}, nil, "token_invalid"},
		"expired":            {object{"roles": "viewer", "exp": 1}, nil, "token_invalid"},
		"other state": {engineers, func(w *world, c *http.Cookie, state string) answer {
			return back(w, c, state+"x", "the-code")
		}, "token_invalid"},
		"no state": {engineers, func(w *world, c *http.Cookie, _ string) answer { return back(w, c, "", "the-code") }, "token_invalid"},
		"no cookie": {engineers, func(w *world, _ *http.Cookie, state string) answer {
			return back(w, nil, state, "the-code")
		}, "unauthenticated"},
		"another browser's cookie": {engineers, func(w *world, c *http.Cookie, state string) answer {
			other := w.serve(httptest.NewRequest(http.MethodGet, "/v1/session/oidc", nil))
			return back(w, cookieOf(w.t, other, "weir_sign_in"), state, "the-code")
		}, "token_invalid"},
		"session as cookie": {engineers, func(w *world, c *http.Cookie, state string) answer {
			return back(w, &http.Cookie{Name: c.Name, Value: w.operator()}, state, "the-code")
		}, "token_invalid"},
		"other code": {engineers, func(w *world, c *http.Cookie, state string) answer { return back(w, c, state, "x") }, "token_invalid"},
		"turned down": {engineers, func(w *world, c *http.Cookie, state string) answer {
			return back(w, c, state, "")
		}, "forbidden"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newService(t)
			w := open(t, s.options).run()
			s.claims = c.claims
			cookie, state := s.begin(w)
			w.wantRefusal(cookie.Value, "token_invalid")
			var a answer
			if c.back != nil {
				a = c.back(w, cookie, state)
			} else {
				a = back(w, cookie, state, "the-code")
			}
			if a.code() != c.code || strings.Contains(strings.Join(a.header.Values("Set-Cookie"), ";"), "weir_session") {
				t.Errorf("%d %s %v, want %s", a.status, a.raw, a.header, c.code)
			}
		})
	}
}

func TestASilentSignInServiceIsToldAndAskedAgainLater(t *testing.T) {
	s, c := newService(t), &clock{at: time.Now()}
	handler := s.Config.Handler
	asked := 0
	s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { asked++; w.WriteHeader(http.StatusServiceUnavailable) })
	w := open(t, func(o *auth.Options) { s.options(o); o.Now = c.now }).run()
	for range 3 {
		if a := w.serve(httptest.NewRequest(http.MethodGet, "/v1/session/oidc", nil)); a.code() != "not_ready" {
			t.Errorf("%d %s", a.status, a.raw)
		}
	}
	if asked != 1 {
		t.Errorf("asked %d times", asked)
	}
	s.Config.Handler = handler
	c.advance(6 * time.Second)
	s.begin(w)
}

func TestWithoutASignInServiceThereIsNone(t *testing.T) {
	w := open(t, nil)
	for _, path := range []string{"/v1/session/oidc", "/v1/session/oidc/callback"} {
		if a := w.serve(httptest.NewRequest(http.MethodGet, path, nil)); a.code() != "not_found" {
			t.Errorf("%s: %d %s", path, a.status, a.raw)
		}
	}
}

func TestASignInServiceGivesRightsInRooms(t *testing.T) {
	for group, may := range map[string]bool{"talkers": true, "silent": false} {
		s := newService(t)
		w := open(t, s.options).run()
		s.claims = object{"groups": []string{"plant1-night", "engineers", group}}
		cookie, state := s.begin(w)
		p, err := w.Request(withCookie("GET", "/", cookieOf(t, back(w, cookie, state, "the-code"), "weir_session").Value))
		must(t, err)
		if p.MayInRoom(auth.RoomSend, "plant1/ops") != may || p.MayInRoom(auth.RoomJoin, "plant1/ops") || !p.Has(auth.RoleOperator) {
			t.Errorf("%s: %+v", group, p)
		}
	}
}
