package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/MicahParks/jwkset"
	"golang.org/x/time/rate"
)

const (
	jwksTimeout  = 5 * time.Second
	maxJWKSBytes = 1 << 20
	maxJWKSKeys  = 100
	// jwksPause is the least time between two readings because of a key that is not known, so that strangers
	// cannot have the issuer asked as often as they like. It is also that between attempts after a failure.
	jwksPause = 10 * time.Second
)

// jwks are the keys that an issuer publishes at a URL. While it does not answer, those it last published count.
type jwks struct {
	url    string
	client *http.Client
	log    *slog.Logger
	again  *rate.Limiter
	now    func() time.Time

	reading sync.Mutex // held while it is read

	mu   sync.RWMutex
	keys map[string]verifyKey // by kid; nil until they were read
	read time.Time
}

func newJWKS(from string, client *http.Client, log *slog.Logger, now func() time.Time) *jwks {
	shown := redacted
	if u, err := url.Parse(from); err == nil {
		shown = RedactURL(u)
	}
	return &jwks{
		url: from, client: client, log: log.With("jwks", shown), now: now,
		again: rate.NewLimiter(rate.Every(jwksPause), 1),
	}
}

func (j *jwks) key(kid string) (verifyKey, bool) {
	j.mu.RLock()
	defer j.mu.RUnlock()
	k, ok := j.keys[kid]
	return k, ok
}

func (j *jwks) loaded() bool {
	j.mu.RLock()
	defer j.mu.RUnlock()
	return j.keys != nil
}

// age is how long ago the keys were read; 0 if never.
func (j *jwks) age() time.Duration {
	j.mu.RLock()
	defer j.mu.RUnlock()
	if j.read.IsZero() {
		return 0
	}
	return j.now().Sub(j.read)
}

// run reads the keys now and then.
func (j *jwks) run(ctx context.Context, every time.Duration) {
	for ctx.Err() == nil {
		pause := every
		if err := j.refresh(ctx); err != nil && ctx.Err() == nil {
			j.log.Warn("the issuer's keys cannot be read; those known go on", "error", err)
			pause = min(jwksPause, every)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
}

// lookAgain reads the keys because one is missing. Whoever comes while they are being read waits for that.
func (j *jwks) lookAgain(ctx context.Context) {
	before := j.lastRead()
	j.reading.Lock()
	fresh := j.lastRead() != before
	j.reading.Unlock()
	if fresh || !j.again.AllowN(j.now(), 1) {
		return
	}
	// Others wait for the answer, too: it does not end with this request.
	if err := j.refresh(context.WithoutCancel(ctx)); err != nil {
		j.log.Warn("the issuer's keys cannot be read; those known go on", "error", err)
	}
}

func (j *jwks) lastRead() time.Time {
	j.mu.RLock()
	defer j.mu.RUnlock()
	return j.read
}

func (j *jwks) refresh(ctx context.Context) error {
	j.reading.Lock()
	defer j.reading.Unlock()
	ctx, cancel := context.WithTimeout(ctx, jwksTimeout)
	defer cancel()
	keys, err := j.fetch(ctx)
	if err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.keys, j.read = keys, j.now()
	return nil
}

func (j *jwks) fetch(ctx context.Context) (map[string]verifyKey, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, j.url, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/jwk-set+json, application/json")
	res, err := j.client.Do(req)
	if err != nil {
		var told *url.Error // it names the URL with its query
		if errors.As(err, &told) {
			err = told.Err
		}
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("answered %s", res.Status)
	}
	text, err := io.ReadAll(io.LimitReader(res.Body, maxJWKSBytes+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxJWKSBytes {
		return nil, fmt.Errorf("longer than %d bytes", maxJWKSBytes)
	}
	return parseJWKS(text)
}

// parseJWKS takes the public keys that tokens may be signed with. Others in the set are left out.
func parseJWKS(text []byte) (map[string]verifyKey, error) {
	var set jwkset.JWKSMarshal
	if err := json.Unmarshal(text, &set); err != nil {
		return nil, errors.New("not a key set")
	}
	if len(set.Keys) > maxJWKSKeys {
		return nil, fmt.Errorf("more than %d keys", maxJWKSKeys)
	}
	keys := make(map[string]verifyKey)
	for _, m := range set.Keys {
		if m.KID == "" || m.KTY == jwkset.KtyOct || m.USE != "" && m.USE != jwkset.UseSig {
			continue
		}
		// The key counts, not the certificate that may come with it; an x5u would be fetched.
		m.X5U, m.X5C, m.X5T, m.X5TS256 = "", nil, "", ""
		named := m.ALG.String()
		k, err := jwkset.NewJWKFromMarshal(m, jwkset.JWKMarshalOptions{}, jwkset.JWKValidateOptions{SkipAll: true})
		if err != nil {
			continue
		}
		alg, ok := algorithmOf(k.Key())
		if !ok || named != "" && named != alg {
			continue
		}
		keys[m.KID] = verifyKey{alg, k.Key()}
	}
	if len(keys) == 0 {
		return nil, errors.New("no key in it can be used")
	}
	return keys, nil
}
