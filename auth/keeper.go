package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"weir/internal/joined"
	"weir/internal/remote"
	"weir/wire"
)

// Options of a Keeper.
type Options struct {
	Config Config
	// Store is weir.auth. New watches it, so it must not run yet.
	Store Store
	// DataDir is where the signing key and the local key lie. Empty: they live as long as the process.
	DataDir string
	// Proxies are believed when they say whom they speak for, and whether by TLS.
	Proxies remote.Proxies
	// Metrics and Logger may be nil.
	Metrics *metrics.Set
	Logger  *slog.Logger
	// Now is the clock; nil: time.Now.
	Now func() time.Time
	// Client is for the requests to issuers; nil: one that follows no redirect.
	Client *http.Client
}

// Keeper is the Gate of a server that asks for credentials. Its methods are safe for concurrent use.
type Keeper struct {
	config  Config
	store   Store
	dataDir string
	log     *slog.Logger
	now     func() time.Time
	meters  *meters

	signer   *Signer
	verifier *verifier
	keys     *keyring
	revoked  *revocations
	watches  *watches
	attempts *attempts // wrong credentials
	signIns  *attempts // sign-ins that failed at the service, which each take requests to it
	proxies  remote.Proxies
	codes    *codes
	makings  *makings
	lineage  *lineage
	families sync.Mutex // one renewal at a time in this process; across processes the record tells
	changing sync.Mutex // one change of API keys at a time in this process
	signIn   *signIn    // nil: no sign-in service is configured
	ready    chan struct{}
}

// New reads the keys. It calls nobody; Run does.
func New(o Options) (*Keeper, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Metrics == nil {
		o.Metrics = metrics.NewSet()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Client == nil {
		o.Client = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	if err := o.Config.Validate(); err != nil {
		return nil, joined.Prefixed("auth.", err)
	}
	k := &Keeper{
		config: o.Config, store: o.Store, dataDir: o.DataDir, log: o.Logger, now: o.Now,
		keys:     &keyring{log: o.Logger, keys: make(map[string]*apiKey)},
		revoked:  &revocations{log: o.Logger, all: make(map[string]revocation)},
		watches:  newWatches(o.Now),
		attempts: newAttempts(o.Config.FailedAttempts, o.Now),
		signIns:  newAttempts(o.Config.FailedAttempts, o.Now),
		codes:    &codes{now: o.Now, made: make(map[string]time.Time)},
		makings:  &makings{now: o.Now, of: make(map[string]*making)},
		lineage:  newLineage(),
		proxies:  o.Proxies,
		ready:    make(chan struct{}),
	}
	if err := k.open(&o); err != nil {
		return nil, err
	}
	k.meters = newMeters(o.Metrics, k)
	k.follow()
	return k, nil
}

func (k *Keeper) open(o *Options) error {
	var err error
	if k.signer, err = openSigner(o.Config.SigningKeyFile, o.DataDir); err != nil {
		return fmt.Errorf("auth: %w", err)
	}
	var sets []*jwks
	for _, url := range o.Config.JWT.JWKSURLs {
		sets = append(sets, newJWKS(url, o.Client, o.Logger, o.Now))
	}
	if k.verifier, err = newVerifier(k.signer, &o.Config, sets, o.Now); err != nil {
		return err
	}
	k.signIn, err = newSignIn(o.Config.OIDC, o.Client, o.Now)
	return err
}

// follow keeps what weir.auth holds at hand, and ends watches when it ends them.
func (k *Keeper) follow() {
	k.store.Watch(keyPrefix, func(key string, value []byte) {
		id := key[len(keyPrefix):]
		k.keys.apply(id, value)
		k.watches.review(nameOf(revokeKey, id), k.verdict)
	})
	k.store.Watch(revokedPrefix, func(key string, value []byte) {
		if one, ok := k.revoked.apply(key[len(revokedPrefix):], value); ok {
			k.watches.review(nameOf(one.Kind, one.Value), k.verdict)
		}
	})
	k.store.Watch(familyPrefix, func(key string, value []byte) {
		f := new(family)
		if value == nil || json.Unmarshal(value, f) != nil {
			f = nil
		}
		k.lineage.apply(key[len(familyPrefix):], f)
	})
}

// Ready is closed when credentials can be told apart, and the local key lies in its file.
func (k *Keeper) Ready() <-chan struct{} { return k.ready }

// Run follows issuers, ends what expires, and forgets what is over, until ctx ends.
func (k *Keeper) Run(ctx context.Context) error {
	var all sync.WaitGroup
	defer all.Wait()
	all.Go(func() { k.watches.run(ctx) })
	for _, set := range k.verifier.sets {
		all.Go(func() { set.run(ctx, k.config.JWT.JWKSRefresh) })
	}
	select {
	case <-k.store.Ready():
	case <-ctx.Done():
		return nil
	}
	k.warn()
	k.keepHouse(ctx)
	return nil
}

// warn tells of keys that were made with another signing key.
func (k *Keeper) warn() {
	if k.dataDir == "" && k.config.SigningKeyFile == "" {
		k.log.Warn("there is neither a data directory nor auth.signing_key_file: credentials end with this process")
	}
	strange := 0
	for _, key := range k.keys.list("") {
		for _, s := range key.record.Secrets {
			if s.Pepper != k.signer.fingerprint {
				strange++
				break
			}
		}
	}
	if strange > 0 {
		k.log.Warn("API keys were made with another signing key and are not valid here; processes that share a cluster need the same auth.signing_key_file",
			"keys", strange)
	}
}

// Request implements Gate.
func (k *Keeper) Request(r *http.Request) (*Principal, error) {
	text, fromCookie := credentialOf(r)
	if text == "" {
		return k.certificate(r)
	}
	p, e := k.identify(r.Context(), text, remote.Network(k.proxies.Address(r)), fromCookie)
	if e != nil {
		return nil, e
	}
	return p, nil
}

// Token implements Gate. WithAddress tells where the token came from.
func (k *Keeper) Token(ctx context.Context, token string) (*Principal, error) {
	if token == "" {
		return nil, ErrNoCredentials
	}
	p, e := k.identify(ctx, token, address(ctx), false)
	if e != nil {
		return nil, e
	}
	return p, nil
}

// Watch implements Gate.
func (k *Keeper) Watch(p *Principal, ended func(*wire.Error)) (stop func()) {
	one := k.watches.add(p, k.verdict, ended)
	return func() { k.watches.stop(one) }
}

// identify is who a credential speaks for.
func (k *Keeper) identify(ctx context.Context, text string, from netip.Prefix, fromCookie bool) (*Principal, *wire.Error) {
	method := MethodToken
	id, secret, isKey := parseKey(text)
	switch {
	case fromCookie:
		method = MethodCookie
	case isKey:
		method = MethodKey
	}
	var p *Principal
	var e *wire.Error
	switch {
	case !k.isReady():
		e = wire.NewError(wire.CodeNotReady, "")
	case len(text) > maxCredential:
		e = wire.NewError(wire.CodeTokenInvalid, "")
	case isKey:
		p, e = k.keys.verify(k.signer, id, secret, k.now())
	default:
		_, p, e = k.verifier.verify(ctx, text, audienceAccess, k.attempts.exhausted(from))
	}
	if e == nil {
		e = k.standing(p)
	}
	e = k.attempts.told(from, e)
	k.meters.attempt(method, e)
	if e != nil {
		return nil, e
	}
	if fromCookie {
		with := *p
		with.Method, p = MethodCookie, &with
	}
	return p, nil
}

// standing is nil while nothing that p stands on has been revoked.
func (k *Keeper) standing(p *Principal) *wire.Error {
	if p.KeyID != "" {
		key, ok := k.keys.get(p.KeyID)
		if !ok {
			return wire.NewError(wire.CodeTokenRevoked, "")
		}
		if e := key.state(p.secret, k.now()); e != nil {
			return e
		}
	}
	return k.revoked.check(p)
}

// verdict is until when p may stay, or why it may not.
func (k *Keeper) verdict(p *Principal) (until time.Time, over *wire.Error) {
	if e := k.standing(p); e != nil {
		return time.Time{}, e
	}
	until = p.Expires
	if p.KeyID != "" {
		if key, ok := k.keys.get(p.KeyID); ok && p.Method == MethodKey {
			until = key.until(p.secret).at // as it is now: the key may have been rotated since
		} else if ok {
			until = earliest(until, key.until(p.secret).at)
		}
	}
	if !until.IsZero() && p.Method != MethodKey && !until.After(k.now()) {
		until = until.Add(leeway) // it was taken although it had ended by this clock
	}
	return until, nil
}

func (k *Keeper) certificate(r *http.Request) (*Principal, error) {
	p := certificatePrincipal(k.config.Certificates, r.TLS)
	if p == nil {
		return nil, ErrNoCredentials
	}
	e := k.revoked.check(p)
	switch {
	case !k.isReady():
		e = wire.NewError(wire.CodeNotReady, "")
	case !k.now().Before(p.Expires):
		e = wire.NewError(wire.CodeTokenExpired, "")
	}
	k.meters.attempt(MethodCertificate, e)
	if e != nil {
		return nil, e
	}
	return p, nil
}

func (k *Keeper) isReady() bool {
	select {
	case <-k.store.Ready():
		return true
	default:
		return false
	}
}

// keepHouse sees to the local key, and forgets what is over.
func (k *Keeper) keepHouse(ctx context.Context) {
	opened := false
	for ctx.Err() == nil {
		pause := sweepPeriod
		if !opened {
			if err := k.ensureLocalKey(ctx); err == nil {
				opened = true
				close(k.ready)
			} else if ctx.Err() == nil {
				k.log.Warn("the local key could not be made; trying again", "error", err)
				pause = time.Second
			}
		}
		if err := k.sweep(ctx); err != nil && ctx.Err() == nil {
			k.log.Warn("what is over was not forgotten; trying again", "error", err)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
}

const (
	sweepPeriod = time.Minute
	// keepDead is how long keys that ended are listed.
	keepDead = 30 * 24 * time.Hour
)

// sweep deletes what nobody asks for any more. All processes do it; deleting twice does no harm.
func (k *Keeper) sweep(ctx context.Context) error {
	now := k.now()
	k.makings.forget(now)
	open := func(id string) bool {
		key, ok := k.keys.get(id)
		return ok && key.record.Revoked.IsZero()
	}
	over := append(k.revoked.forgettable(now, open), k.deadFamilies(now)...)
	for _, key := range k.keys.list("") {
		r := key.record
		if one, ok := k.revoked.ofKey(r.ID); ok && r.Revoked.IsZero() {
			r.Revoked = one.Time
		}
		if end := earliest(r.Expires, r.Revoked); !end.IsZero() && now.Sub(end) > keepDead {
			over = append(over, keyPrefix+r.ID)
		}
	}
	var errs []error
	for _, key := range over {
		errs = append(errs, k.store.Delete(ctx, key))
	}
	return errors.Join(errs...)
}
