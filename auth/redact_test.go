package auth

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"weir/internal/remote"
)

func TestURLsAreShownWithoutWhatLetsIn(t *testing.T) {
	for raw, want := range map[string]string{
		"https://weir/v1/live?subscribe=a/%23&access_token=abc&x=1": "https://weir/v1/live?subscribe=a/%23&access_token=***&x=1",
		"/v1/live?ACCESS%5ftoken=abc":                               "/v1/live?ACCESS%5ftoken=***",
		"/cb?state=s&code=abc":                                      "/cb?state=s&code=***",
		"/?q=weir_abc_def":                                          "/?q=***",
		"https://user:pw@host/a":                                    "https://%2A%2A%2A@host/a",
		"http://host/#code=abc":                                     "http://host/#%2A%2A%2A",
		"/plain?a=b;c&d":                                            "/plain?a=b;c&d",
		"/?%zz=secret":                                              "/?%zz=***",
	} {
		u, err := url.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		got := RedactURL(u)
		if strings.ReplaceAll(got, "%2A", "*") != strings.ReplaceAll(want, "%2A", "*") {
			t.Errorf("%s: %s, want %s", raw, got, want)
		}
		if u.String() != raw && !strings.Contains(raw, "%5f") {
			t.Errorf("%s was changed to %s", raw, u)
		}
	}
	if got := RedactText("bad token eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0. and weir_ab_cd, sorry"); got != "bad token *** and ***, sorry" {
		t.Errorf("%s", got)
	}
}

// FuzzCredentials: whatever is sent as a credential is refused with a code, and quickly.
func FuzzCredentials(f *testing.F) {
	s, err := newSigner([]byte(strings.Repeat("s", minSecret)))
	if err != nil {
		f.Fatal(err)
	}
	c := DefaultConfig()
	now := time.Unix(1_990_000_000, 0)
	v, err := newVerifier(s, &c, nil, func() time.Time { return now })
	if err != nil {
		f.Fatal(err)
	}
	// Nothing random: the fuzzer's processes must agree on what is good.
	good, err := s.sign(&claims{Subject: "x", Audience: []string{audienceAccess}, Expires: at(now.Add(time.Hour))})
	if err != nil {
		f.Fatal(err)
	}
	ring := &keyring{keys: map[string]*apiKey{}}
	const secret, key = "abcdefghijklmnopqrstuvwxyz234567", "weir_abc_abcdefghijklmnopqrstuvwxyz234567"
	r := keyRecord{ID: "abc", rights: rights{Roles: []string{RoleDevice}}, Secrets: []keySecret{{Hash: s.hash(secret)}}}
	if ring.keys["abc"], _ = newAPIKey(r); ring.keys["abc"] == nil {
		f.Fatal("no key")
	}
	for _, seed := range []string{
		good, key, "", "weir_", "weir__", "weir_abc_", "weir_abc_x", "a.b.c", "eyJhbGciOiJub25lIn0.e30.", good + ".", "....",
		"eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjFlOTl9.AA", "Bearer " + key,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if id, secret, ok := parseKey(text); ok {
			if KeyPrefix+id+"_"+secret != text {
				t.Errorf("%q is not %q and %q", text, id, secret)
			}
			if p, e := ring.verify(s, id, secret, time.Now()); e == nil && (text != key || p == nil) {
				t.Errorf("%q is taken for a key", text)
			}
		}
		_, p, e := v.verify(t.Context(), text, audienceAccess, false)
		if (p == nil) == (e == nil) {
			t.Errorf("%q: %v, %v", text, p, e)
		}
		// Base64 has bits to spare at the end of a signature: what they are says nothing.
		if e == nil && text[:len(text)-1] != good[:len(good)-1] {
			t.Errorf("%q is taken for a token", text)
		}
		if shown := RedactText(text + " " + key); strings.Contains(shown, key) {
			t.Errorf("%q is shown", shown)
		}
	})
}

// FuzzClaims: no claims make a principal of what is not sound.
func FuzzClaims(f *testing.F) {
	for _, seed := range []string{
		`{"sub":"a","exp":2e9,"roles":["viewer"],"read":"a/#"}`, `{"sub":"a","exp":-1}`, `{"exp":1e10,"sub":"a","tenant":"a/b"}`,
		`{"exp":2000000000.123456,"sub":"a","write":["+"],"roles":"admin x"}`, `{"exp":"1"}`, `[]`, `null`, `{"exp":null,"aud":5}`,
	} {
		f.Add(seed)
	}
	s, err := newSigner([]byte(strings.Repeat("s", minSecret)))
	if err != nil {
		f.Fatal(err)
	}
	c := DefaultConfig()
	v, err := newVerifier(s, &c, nil, func() time.Time { return time.Unix(1_990_000_000, 0) })
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		token := signRaw(t, s, text)
		_, p, e := v.verify(t.Context(), token, audienceAccess, false)
		if e != nil {
			return
		}
		if p.Subject == "" || p.Expires.IsZero() || p.Tenant != "" && !validTenant(p.Tenant) {
			t.Errorf("%s: %+v", text, p)
		}
		for _, r := range p.Roles {
			if !slices.Contains(Roles(), r) {
				t.Errorf("%s: role %s", text, r)
			}
		}
	})
}

func TestAFullTableOfAttemptsIsGoneThroughOnceInThousands(t *testing.T) {
	a := newAttempts(2, time.Now)
	for i := range maxAddresses {
		a.failed(remote.Network(ipOf(i)))
	}
	a.failed(remote.Network(ipOf(maxAddresses)))
	if free := maxAddresses - len(a.from); free < maxAddresses/4-1 {
		t.Errorf("%d places are free", free)
	}
}

func TestURLsWithUserinfoAreNeitherTakenNorLogged(t *testing.T) {
	const secret = "http://user:s3cr3tpassword@127.0.0.1:1/jwks?token=s3cr3tpassword"
	var buf bytes.Buffer
	j := newJWKS(secret, http.DefaultClient, slog.New(slog.NewTextHandler(&buf, nil)), time.Now)
	j.log.Warn("the issuer's keys cannot be read")
	j.lookAgain(t.Context())
	if text := buf.String(); strings.Contains(text, "s3cr3t") || strings.Count(text, "127.0.0.1:1") < 2 {
		t.Errorf("%s", text)
	}
	c := DefaultConfig()
	c.JWT.JWKSURLs = []string{secret}
	c.OIDC.Issuer, c.OIDC.RedirectURL = "https://u:s3cr3tpassword@id.example", "https://u:s3cr3tpassword@weir.example"+callbackPath
	err := c.Validate()
	for _, field := range []string{"jwt.jwks_urls[0]", "oidc.issuer", "oidc.redirect_url"} {
		if err == nil || !strings.Contains(err.Error(), field+": must hold no user") || strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("%s: %v", field, err)
		}
	}
}

func TestAttemptsAreForgottenWithinBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &attempts{perMinute: 2, now: time.Now, from: make(map[netip.Prefix]failures)}
		for i := range maxAddresses + 100 {
			a.failed(remote.Network(ipOf(i)))
		}
		if len(a.from) > maxAddresses {
			t.Errorf("%d addresses", len(a.from))
		}
		time.Sleep(time.Minute)
		fresh := maxAddresses / 2
		for i := range fresh {
			a.failed(remote.Network(ipOf(1<<20 + i)))
		}
		if len(a.from) > fresh {
			t.Errorf("%d addresses after a while", len(a.from))
		}
	})
	if remote.Network(netip.MustParseAddr("2001:db8::1")) != remote.Network(netip.MustParseAddr("2001:db8::2")) {
		t.Error("one machine has many addresses of IPv6")
	}
}
