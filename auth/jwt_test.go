package auth_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"weir/auth"
)

const sharedSecret = "a-shared-secret-of-more-than-32-bytes"

// pairs are keys of each kind, made once: RSA takes its time.
var pairs = sync.OnceValue(func() map[string]crypto.Signer {
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	e, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	_, d, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	return map[string]crypto.Signer{"RS256": r, "ES256": e, "EdDSA": d}
})

func publicPEM(t *testing.T, key crypto.Signer) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	must(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

func publicFile(t *testing.T, key crypto.Signer) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "public.pem")
	must(t, os.WriteFile(name, publicPEM(t, key), 0o600))
	return name
}

// issuer has keys of all kinds, each under its algorithm's name.
func issuer(t *testing.T) func(*auth.Options) {
	return func(o *auth.Options) {
		o.Config.JWT.Issuer, o.Config.JWT.Audience = "https://id.example", "weir.example"
		o.Config.JWT.Keys = []auth.JWTKey{{KID: "HS256", Alg: "HS256", Secret: sharedSecret}, {Alg: "HS256", Secret: sharedSecret + "!"}}
		for alg, key := range pairs() {
			o.Config.JWT.Keys = append(o.Config.JWT.Keys, auth.JWTKey{KID: alg, Alg: alg, PublicKeyFile: publicFile(t, key)})
		}
	}
}

// sign makes a token of claims over those of a good one; a nil claim is left out.
func sign(t *testing.T, alg, kid string, key any, change object) string {
	t.Helper()
	now := time.Now()
	claims := jwt.MapClaims{
		"iss": "https://id.example", "aud": []string{"weir.example", "other"}, "sub": "alice", "jti": "1",
		"iat": now.Unix(), "exp": now.Add(time.Hour).Unix(), "roles": []string{"viewer", "poet"}, "read": []string{"plant1/#"},
	}
	maps.Copy(claims, change)
	maps.DeleteFunc(claims, func(_ string, v any) bool { return v == nil })
	token := jwt.NewWithClaims(jwt.GetSigningMethod(alg), claims)
	if kid != "" {
		token.Header["kid"] = kid
	}
	if crit, ok := change["crit"]; ok {
		token.Header["crit"] = crit
	}
	text, err := token.SignedString(key)
	must(t, err)
	return text
}

func TestTokensOfEachAlgorithmAreTaken(t *testing.T) {
	w := open(t, issuer(t))
	tokens := map[string]string{
		"HS256":       sign(t, "HS256", "HS256", []byte(sharedSecret), nil),
		"without kid": sign(t, "HS256", "", []byte(sharedSecret+"!"), nil),
	}
	for alg, key := range pairs() {
		tokens[alg] = sign(t, alg, alg, key, nil)
	}
	for name, token := range tokens {
		p, err := w.Token(context.Background(), token)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if p.Subject != "alice" || p.TokenID != "1" || len(p.Roles) != 1 || !p.Has(auth.RoleViewer) || !p.MayReadPath("plant1/a/m") ||
			p.MayReadPath("plant2/a/m") || time.Until(p.Expires) < 59*time.Minute || time.Since(p.Issued) > time.Minute {
			t.Errorf("%s: %+v", name, p)
		}
	}
}

func TestTokensAreRefused(t *testing.T) {
	w := open(t, issuer(t)).run()
	secret := []byte(sharedSecret)
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	hs := func(change object) string { return sign(t, "HS256", "HS256", secret, change) }
	in := func(d time.Duration) int64 { return time.Now().Add(d).Unix() }
	refresh := w.ask("POST", "/v1/session", "", object{"token": readToken(w), "refresh": true}).text("refresh_token")
	parts := strings.Split(hs(nil), ".")
	for name, c := range map[string]struct{ token, code string }{
		"alg none":                 {sign(t, "none", "HS256", jwt.UnsafeAllowNoneSignatureType, nil), "token_invalid"},
		"alg none without kid":     {sign(t, "none", "", jwt.UnsafeAllowNoneSignatureType, nil), "token_invalid"},
		"public key as secret":     {sign(t, "HS256", "RS256", publicPEM(t, pairs()["RS256"]), nil), "token_invalid"},
		"key of another algorithm": {sign(t, "ES256", "EdDSA", pairs()["ES256"], nil), "token_invalid"},
		"HS512 of the secret":      {sign(t, "HS512", "HS256", secret, nil), "token_invalid"},
		"PS256 of the key":         {sign(t, "PS256", "RS256", pairs()["RS256"], nil), "token_invalid"},
		"foreign key":              {sign(t, "ES256", "ES256", other, nil), "token_invalid"},
		"unknown kid":              {sign(t, "HS256", "nobody", secret, nil), "token_invalid"},
		"no kid, another's secret": {sign(t, "HS256", "", secret, nil), "token_invalid"},
		"cut":                      {hs(nil)[:40], "token_invalid"},
		"signature cut":            {parts[0] + "." + parts[1] + ".", "token_invalid"},
		"other audience":           {hs(object{"aud": "someone.else"}), "token_invalid"},
		"no audience":              {hs(object{"aud": nil}), "token_invalid"},
		"other issuer":             {hs(object{"iss": "https://evil.example"}), "token_invalid"},
		"issuer of Weir's own":     {hs(object{"iss": "weir", "aud": "weir"}), "token_invalid"},
		"no issuer":                {hs(object{"iss": nil}), "token_invalid"},
		"expired":                  {hs(object{"exp": in(-31 * time.Second)}), "token_expired"},
		"no end":                   {hs(object{"exp": nil}), "token_invalid"},
		"end is text":              {hs(object{"exp": "tomorrow"}), "token_invalid"},
		"ends too late":            {hs(object{"exp": in(9000 * time.Hour)}), "token_invalid"},
		"not yet":                  {hs(object{"nbf": in(40 * time.Second)}), "token_invalid"},
		"of the future":            {hs(object{"iat": in(40 * time.Second)}), "token_invalid"},
		"no subject":               {hs(object{"sub": nil}), "token_invalid"},
		"subject with a newline":   {hs(object{"sub": "a\nb"}), "token_invalid"},
		"broken read pattern":      {hs(object{"read": []string{"a/#/b"}}), "token_invalid"},
		"broken write pattern":     {hs(object{"write": "a//b"}), "token_invalid"},
		"tenant of two segments":   {hs(object{"tenant": "a/b"}), "token_invalid"},
		"tenant with a wildcard":   {hs(object{"tenant": "+"}), "token_invalid"},
		"critical extension":       {hs(object{"crit": []string{"b64"}}), "token_invalid"},
		"refresh token":            {refresh, "token_invalid"},
		"no token":                 {"nonsense", "token_invalid"},
		"long":                     {strings.Repeat("a", 17<<10), "token_invalid"},
		"nothing":                  {"", "none"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := refusal(w, c.token); got != c.code {
				t.Errorf("refused with %q, want %q", got, c.code)
			}
		})
	}
	w.wantRefusal(hs(object{"exp": in(-25 * time.Second)}), "")
	w.wantRefusal(hs(object{"nbf": in(25 * time.Second), "iat": in(25 * time.Second)}), "")
	w.wantRefusal(hs(object{"key": "k", "fam": "f", "parent": "p", "roles": "viewer operator"}), "")
}

// readToken is a token of Weir's own.
func readToken(w *world) string {
	return w.token(w.operator(), object{"sub": "bob", "roles": []string{"viewer"}, "read": []string{"#"}})
}

func TestOwnTokensNeedNoIssuerAndEndOnTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t, issuer(t)).run()
		token := w.token(w.operator(), object{"sub": "bob", "roles": []string{"viewer"}, "read": []string{"#"}, "ttl": "5s"})
		ended, stop := w.watch(token)
		defer stop()
		time.Sleep(4999 * time.Millisecond)
		synctest.Wait()
		wantOpen(t, ended)
		w.wantRefusal(token, "")
		time.Sleep(time.Millisecond)
		synctest.Wait()
		wantEnd(t, ended, "token_expired")
		w.wantRefusal(token, "token_expired")
	})
}

func TestATokenTakenAfterItsEndIsWatchedForTheLeeway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t, issuer(t)).run()
		ended, stop := w.watch(sign(t, "HS256", "HS256", []byte(sharedSecret), object{"exp": time.Now().Add(-10 * time.Second).Unix()}))
		defer stop()
		time.Sleep(19 * time.Second)
		synctest.Wait()
		wantOpen(t, ended)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		wantEnd(t, ended, "token_expired")
	})
}

func TestAStoppedWatchIsSilentAndManyEndInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t, nil).run()
		by := w.operator()
		var ends []<-chan string
		for _, ttl := range []string{"3m", "1m", "2m", "1m", "4m"} {
			ended, stop := w.watch(w.token(by, object{"sub": "x", "roles": []string{"viewer"}, "ttl": ttl}))
			if ttl == "2m" {
				stop()
				stop()
			} else {
				defer stop()
			}
			ends = append(ends, ended)
		}
		time.Sleep(3*time.Minute + time.Second)
		synctest.Wait()
		for i, want := range []int{1, 1, 0, 1, 0} {
			if len(ends[i]) != want {
				t.Errorf("watch %d ended %d times, want %d", i, len(ends[i]), want)
			}
		}
	})
}

func TestASigningKeyMayBeEd25519(t *testing.T) {
	der, err := x509.MarshalPKCS8PrivateKey(pairs()["EdDSA"])
	must(t, err)
	file := filepath.Join(t.TempDir(), "signing.pem")
	must(t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600))
	w := open(t, func(o *auth.Options) { o.Config.SigningKeyFile = file }).run()
	token := readToken(w)
	w.wantRefusal(token, "")
	header, err := jwt.NewParser().DecodeSegment(strings.Split(token, ".")[0])
	must(t, err)
	if !bytes.Contains(header, []byte(`"EdDSA"`)) {
		t.Errorf("%s", header)
	}
	s, err := auth.ReadSigner(file)
	must(t, err)
	offline, id, err := s.Mint(auth.Token{Subject: "x", Roles: []string{"viewer"}, Expires: time.Now().Add(time.Minute)}, time.Now())
	must(t, err)
	if p, err := w.Token(context.Background(), offline); err != nil || p.TokenID != id {
		t.Errorf("%+v, %v", p, err)
	}
}

func TestUnusableKeysAreToldWithTheirField(t *testing.T) {
	dir := t.TempDir()
	short := filepath.Join(dir, "short")
	must(t, os.WriteFile(short, []byte("too short\n"), 0o600))
	for name, c := range map[string]struct {
		change func(*auth.Config)
		want   string
	}{
		"short signing key":   {func(c *auth.Config) { c.SigningKeyFile = short }, "at least 32 bytes"},
		"missing signing key": {func(c *auth.Config) { c.SigningKeyFile = dir + "/none" }, "signing key: open"},
		"short secret file": {func(c *auth.Config) {
			c.JWT.Keys = []auth.JWTKey{{KID: "a", Alg: "HS256", SecretFile: short}}
		}, "auth.jwt.keys[0]: secret_file: must have"},
		"key of another algorithm": {func(c *auth.Config) {
			c.JWT.Keys = []auth.JWTKey{{KID: "a", Alg: "ES256", PublicKeyFile: publicFile(t, pairs()["EdDSA"])}}
		}, "auth.jwt.keys[0]: public_key_file: the key in"},
		"unknown algorithm": {func(c *auth.Config) { c.JWT.Keys = []auth.JWTKey{{Alg: "none"}} }, `auth.jwt.keys[0].alg: "none" is none of`},
		"kid twice": {func(c *auth.Config) {
			k := auth.JWTKey{KID: "a", Alg: "HS256", Secret: sharedSecret}
			c.JWT.Keys = []auth.JWTKey{k, k}
		}, `auth.jwt.keys[1].kid: "a" is there already`},
		"http JWKS":    {func(c *auth.Config) { c.JWT.JWKSURLs = []string{"http://id.example/keys"} }, "auth.jwt.jwks_urls[0]: must be https"},
		"half of OIDC": {func(c *auth.Config) { c.OIDC.Issuer = "https://id.example" }, "auth.oidc.redirect_url: not a URL"},
		"certificate role": {func(c *auth.Config) {
			c.Certificates = []auth.CertificateRule{{Subject: "*", Roles: []string{"king"}}}
		}, "auth.certificates[0].roles[0]: "},
		"certificate pattern": {func(c *auth.Config) {
			c.Certificates = []auth.CertificateRule{{Subject: "*", Write: []string{"{name}#"}}}
		}, "auth.certificates[0].write[0]: "},
		"certificate rooms": {func(c *auth.Config) {
			c.Certificates = []auth.CertificateRule{{Subject: "*", Rooms: []auth.RoomRights{{Rooms: []string{"{name}/#"}, May: []string{"shout"}}}}}
		}, "auth.certificates[0].rooms[0].may[0]: "},
		"sign-in rooms": {func(c *auth.Config) {
			c.OIDC = auth.OIDCConfig{Issuer: "https://id.example", Rules: []auth.OIDCRule{{Rooms: []auth.RoomRights{{Rooms: []string{"a//b"}}}}}}
		}, "auth.oidc.rules[0].rooms[0].rooms[0]: "},
		"zero lifetime": {func(c *auth.Config) { c.SessionLifetime = 0 }, "auth.session_lifetime: must be between"},
	} {
		t.Run(name, func(t *testing.T) {
			o := auth.Options{Config: auth.DefaultConfig()}
			c.change(&o.Config)
			_, err := auth.New(o)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}
