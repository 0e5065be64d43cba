package auth

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"weir/wire"
)

func ipOf(i int) netip.Addr {
	return netip.MustParseAddr(fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255))
}

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
		if _, _, e := v.verify(b.Context(), token, audienceAccess, false); e != nil {
			b.Fatal(e)
		}
	}
}

func TestReadBodyTakesOneObjectAndNothingAfterIt(t *testing.T) {
	for text, want := range map[string]string{
		`{"name":"a"}`: "", "{\"name\":\"a\"} \n": "", "  ": "",
		`{"name":"a"}}`: wire.CodeJSONSyntax, `{"name":"a"}]`: wire.CodeJSONSyntax, `{"name":"a"} {}`: wire.CodeJSONSyntax, `{"name":"a"}x`: wire.CodeJSONSyntax,
	} {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(text))
		r.Header.Set("Content-Type", "application/json")
		var body struct {
			Name string `json:"name"`
		}
		got := ""
		if e := readBody(httptest.NewRecorder(), r, &body); e != nil {
			got = e.Code
		}
		if got != want {
			t.Errorf("%q: code %q, want %q", text, got, want)
		}
	}
}
