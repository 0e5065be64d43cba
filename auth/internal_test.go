package auth

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"
)

type netipPrefix = netip.Prefix

func ipOf(i int) string { return fmt.Sprintf("10.%d.%d.%d:1", i>>16, i>>8&255, i&255) }

// signRaw signs any text as claims.
func signRaw(t *testing.T, s *Signer, text string) string {
	t.Helper()
	header := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256","kid":"` + s.kid + `"}`))
	signed := header + "." + base64.RawURLEncoding.EncodeToString([]byte(text))
	sig, err := s.method.Sign(signed, s.private)
	if err != nil {
		t.Fatal(err)
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(sig)
}

func TestTheClientIsTheLastAddressThatNoProxyHas(t *testing.T) {
	p := proxies{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	for _, c := range []struct{ remote, forwarded, want string }{
		{"192.0.2.1:5", "203.0.113.1", "192.0.2.1"},
		{"10.0.0.1:5", "", "10.0.0.1"},
		{"10.0.0.1:5", "203.0.113.1", "203.0.113.1"},
		{"10.0.0.1:5", "1.1.1.1, 203.0.113.1", "203.0.113.1"},
		{"10.0.0.1:5", "203.0.113.1, 10.0.0.2", "203.0.113.1"},
		{"10.0.0.1:5", "nonsense, 10.0.0.2", "10.0.0.2"},
		{"[::1]:5", "2001:db8::7", "2001:db8::7"},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = c.remote
		if c.forwarded != "" {
			r.Header.Set("X-Forwarded-For", c.forwarded)
		}
		if got := p.remote(r).String(); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
}

func TestTimesOfTokensAreExactToTheMicrosecond(t *testing.T) {
	for _, at0 := range []time.Time{time.UnixMicro(1_764_000_000_123_457), time.Unix(1_764_000_000, 0), time.UnixMicro(1_999_999_999_999_999)} {
		text, err := at(at0).MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		var back seconds
		if err := back.UnmarshalJSON(text); err != nil || !back.Time().Equal(at0) {
			t.Errorf("%s came back as %s, %v", at0, back.Time(), err)
		}
	}
}

func BenchmarkKey(b *testing.B) {
	s, _ := newSigner([]byte("a-secret-of-more-than-thirty-two-bytes"))
	r := keyRecord{ID: "abc", rights: rights{Roles: []string{RoleDevice}, Write: []string{"#"}}}
	_, secret, _ := parseKey(r.addSecret(s, time.Now(), time.Now()))
	k, _ := newAPIKey(r)
	ring := &keyring{keys: map[string]*apiKey{"abc": k}}
	b.ReportAllocs()
	for b.Loop() {
		if _, e := ring.verify(s, "abc", secret, time.Now()); e != nil {
			b.Fatal(e)
		}
	}
}

func BenchmarkOwnToken(b *testing.B) {
	s, _ := newSigner([]byte("a-secret-of-more-than-thirty-two-bytes"))
	c := DefaultConfig()
	v, _ := newVerifier(s, &c, nil, time.Now)
	token, _, _ := s.Mint(Token{Subject: "x", Roles: []string{RoleViewer}, Read: []string{"plant1/#"}, Expires: time.Now().Add(time.Hour)}, time.Now())
	b.ReportAllocs()
	for b.Loop() {
		if _, _, e := v.verify(b.Context(), token, audienceAccess); e != nil {
			b.Fatal(e)
		}
	}
}
