package auth_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/MicahParks/jwkset"

	"weir/auth"
)

// published is an issuer's key set that can be changed, and taken down.
type published struct {
	*httptest.Server
	mu    sync.Mutex
	set   jwkset.JWKSMarshal
	down  bool
	asked int
}

func publish(t *testing.T) *published {
	t.Helper()
	p := new(published)
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.asked++
		if p.down {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		_ = json.NewEncoder(w).Encode(p.set)
	}))
	t.Cleanup(p.Close)
	return p
}

func (p *published) change(down bool, keys ...jwkset.JWKMarshal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = down
	if keys != nil {
		p.set.Keys = keys
	}
}

func (p *published) times() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked
}

func jwk(t *testing.T, kid string, key any, change func(*jwkset.JWKMarshal)) jwkset.JWKMarshal {
	t.Helper()
	k, err := jwkset.NewJWKFromKey(key, jwkset.JWKOptions{
		Metadata: jwkset.JWKMetadataOptions{KID: kid}, Marshal: jwkset.JWKMarshalOptions{Private: true}})
	must(t, err)
	m := k.Marshal()
	if change != nil {
		change(&m)
	}
	return m
}

func newES256(t *testing.T) crypto.Signer {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	return k
}

// clock is set by hand.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

func TestPublishedKeysAreFollowed(t *testing.T) {
	p, c := publish(t), &clock{at: time.Now()}
	first, second := newES256(t), newES256(t)
	p.change(false, jwk(t, "1", first.Public(), nil))
	w := open(t, func(o *auth.Options) {
		o.Config.JWT.JWKSURLs, o.Now = []string{p.URL}, c.now
		o.Client = p.Client()
	})
	byFirst, bySecond := sign(t, "ES256", "1", first, nil), sign(t, "ES256", "2", second, nil)
	w.wantRefusal(byFirst, "")
	if p.times() != 1 {
		t.Errorf("asked %d times", p.times())
	}

	// Rotation: the first token of a new key has the set read anew, once in a while.
	p.change(false, jwk(t, "1", first.Public(), nil), jwk(t, "2", second.Public(), nil))
	w.wantRefusal(bySecond, "token_invalid") // the last reading was just now
	c.advance(11 * time.Second)
	w.wantRefusal(bySecond, "")
	w.wantRefusal(byFirst, "")

	// Strangers cannot have it read as often as they like.
	before := p.times()
	for range 20 {
		w.wantRefusal(sign(t, "ES256", "3", second, nil), "token_invalid")
	}
	if n := p.times() - before; n > 1 {
		t.Errorf("asked %d times", n)
	}

	// Down: what is known goes on.
	p.change(true)
	c.advance(time.Minute)
	w.wantRefusal(sign(t, "ES256", "3", second, nil), "token_invalid")
	w.wantRefusal(byFirst, "")
	w.wantRefusal(bySecond, "")

	// A set without any key that can be used is a failure, too.
	p.change(false, jwk(t, "1", []byte(sharedSecret), nil))
	c.advance(time.Minute)
	w.wantRefusal(sign(t, "ES256", "3", second, nil), "token_invalid")
	w.wantRefusal(byFirst, "")

	// Withdrawn: no longer.
	p.change(false, jwk(t, "2", second.Public(), nil))
	c.advance(time.Minute)
	w.wantRefusal(sign(t, "ES256", "3", second, nil), "token_invalid")
	w.wantRefusal(byFirst, "token_invalid")
	w.wantRefusal(bySecond, "")
}

func TestRunReadsPublishedKeysAtTheStart(t *testing.T) {
	p, key := publish(t), newES256(t)
	p.change(false, jwk(t, "1", key.Public(), nil))
	w := open(t, func(o *auth.Options) { o.Config.JWT.JWKSURLs, o.Client = []string{p.URL}, p.Client() }).run()
	for p.times() == 0 {
		time.Sleep(time.Millisecond)
	}
	w.wantRefusal(sign(t, "ES256", "1", key, nil), "")
	p.Client().CloseIdleConnections()
}

func TestWithoutAnyKeyYetAskingLaterIsAdvised(t *testing.T) {
	p := publish(t)
	p.change(true)
	w := open(t, func(o *auth.Options) { o.Config.JWT.JWKSURLs, o.Client = []string{p.URL}, p.Client() })
	w.wantRefusal(sign(t, "ES256", "1", newES256(t), nil), "not_ready")
}

func TestOfAPublishedSetOnlySigningKeysCount(t *testing.T) {
	p, key := publish(t), newES256(t)
	p.change(false,
		jwk(t, "good", key.Public(), nil),
		jwk(t, "secret", []byte(sharedSecret), nil),
		jwk(t, "encryption", key.Public(), func(m *jwkset.JWKMarshal) { m.USE = jwkset.UseEnc }),
		jwk(t, "ES512", key.Public(), func(m *jwkset.JWKMarshal) { m.ALG = jwkset.AlgES512 }),
		jwkset.JWKMarshal{KTY: "new", KID: "strange"},
	)
	w := open(t, func(o *auth.Options) { o.Config.JWT.JWKSURLs, o.Client = []string{p.URL}, p.Client() })
	w.wantRefusal(sign(t, "ES256", "good", key, nil), "")
	for _, kid := range []string{"encryption", "ES512", "strange"} {
		w.wantRefusal(sign(t, "ES256", kid, key, nil), "token_invalid")
	}
	w.wantRefusal(sign(t, "HS256", "secret", []byte(sharedSecret), nil), "token_invalid")
	w.wantRefusal(sign(t, "HS256", "good", []byte("anything"), nil), "token_invalid")
	if _, err := w.Token(context.Background(), sign(t, "ES256", "good", key, object{"roles": nil})); err != nil {
		t.Error(err)
	}
}
