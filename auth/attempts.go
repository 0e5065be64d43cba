package auth

import (
	"context"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"weir/internal/remote"
	"weir/wire"
)

// maxAddresses with failed attempts are remembered. Beyond it some are forgotten, which gives them new attempts.
const maxAddresses = 1 << 14

// attempts counts wrong credentials by address: so many a minute, and as many at once.
type attempts struct {
	perMinute int
	now       func() time.Time

	mu   sync.Mutex
	from map[netip.Prefix]failures
}

// failures drain away with time.
type failures struct {
	level float64
	at    time.Time
}

func (a *attempts) levelLocked(from netip.Prefix, now time.Time) float64 {
	f, ok := a.from[from]
	if !ok {
		return 0
	}
	return max(0, f.level-now.Sub(f.at).Minutes()*float64(a.perMinute))
}

func newAttempts(perMinute int, now func() time.Time) *attempts {
	return &attempts{perMinute: perMinute, now: now, from: make(map[netip.Prefix]failures)}
}

// told counts e if it is for wrong credentials, and is e as the address is told it: once its attempts are used up it
// learns no more than that. What is right is taken all the same. It costs less to look at than to answer, nobody
// guesses keys and signatures, and those who have the right ones share the address with those who do not.
func (a *attempts) told(from netip.Prefix, e *wire.Error) *wire.Error {
	if e == nil || e.Code != wire.CodeTokenInvalid {
		return e
	}
	if a.exhausted(from) {
		e = errTooManyAttempts()
	}
	a.failed(from)
	return e
}

// exhausted reports whether an address has used up its attempts. One that is not known has no bound.
func (a *attempts) exhausted(from netip.Prefix) bool {
	if !from.IsValid() {
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.levelLocked(from, a.now()) > float64(a.perMinute)-1
}

// failed counts a failure.
func (a *attempts) failed(from netip.Prefix) {
	if !from.IsValid() {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.now()
	if len(a.from) >= maxAddresses {
		a.forgetLocked(now)
	}
	a.from[from] = failures{min(a.levelLocked(from, now)+1, float64(a.perMinute)), now}
}

// forgetLocked forgets addresses whose attempts are all there again, and any others until a quarter is free: going
// through all takes a millisecond, which so falls to one in thousands of failures.
func (a *attempts) forgetLocked(now time.Time) {
	for from := range a.from {
		if a.levelLocked(from, now) == 0 {
			delete(a.from, from)
		}
	}
	for from := range a.from {
		if len(a.from) <= maxAddresses*3/4 {
			return
		}
		delete(a.from, from)
	}
}

func errTooManyAttempts() *wire.Error {
	return &wire.Error{Code: wire.CodeLimitAddress, Message: "too many wrong credentials came from this address; try again in a minute"}
}

type addressKey struct{}

// WithAddress says in a context from which address credentials come that are given to Gate.Token.
func WithAddress(ctx context.Context, from netip.Addr) context.Context {
	return context.WithValue(ctx, addressKey{}, from)
}

// address is that of WithAddress, of which one machine has no other: of IPv6 the network.
func address(ctx context.Context) netip.Prefix {
	from, _ := ctx.Value(addressKey{}).(netip.Addr)
	return remote.Network(from)
}

// secure reports whether the client's side of a request is encrypted.
func (k *Keeper) secure(r *http.Request) bool {
	return k.config.SecureCookies || r.TLS != nil || strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "https") && k.proxies.Trusts(r)
}
