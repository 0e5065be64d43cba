package auth

import (
	"context"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

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

func (a *attempts) forgetLocked(now time.Time) {
	for from := range a.from {
		if a.levelLocked(from, now) == 0 {
			delete(a.from, from)
		}
	}
	for from := range a.from {
		if len(a.from) < maxAddresses {
			return
		}
		delete(a.from, from)
	}
}

func errTooManyAttempts() *wire.Error {
	return &wire.Error{Code: wire.CodeLimitAddress, Message: "too many wrong credentials came from this address; try again in a minute"}
}

type addressKey struct{}

// WithAddress says in a context from which address credentials come that are given to Gate.Token: as
// http.Request.RemoteAddr has it.
func WithAddress(ctx context.Context, remote string) context.Context {
	return context.WithValue(ctx, addressKey{}, remote)
}

// address is that of WithAddress, of which one machine has no other: of IPv6 the network.
func address(ctx context.Context) netip.Prefix {
	remote, _ := ctx.Value(addressKey{}).(string)
	return network(parseAddress(remote))
}

func network(ip netip.Addr) netip.Prefix {
	bits := 32
	if ip.Is6() {
		bits = 64
	}
	p, err := ip.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}

func parseAddress(text string) netip.Addr {
	if both, err := netip.ParseAddrPort(text); err == nil {
		return both.Addr().Unmap()
	}
	ip, _ := netip.ParseAddr(text)
	return ip.Unmap()
}

// proxies are believed when they say whom they speak for.
type proxies []netip.Prefix

func (p proxies) trusts(ip netip.Addr) bool {
	for _, one := range p {
		if one.Contains(ip) {
			return true
		}
	}
	return false
}

// remote is the address of the client: the last one that no trusted proxy has.
func (p proxies) remote(r *http.Request) netip.Addr {
	ip := parseAddress(r.RemoteAddr)
	if !p.trusts(ip) {
		return ip
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0; i-- {
		hop := parseAddress(strings.TrimSpace(hops[i]))
		if !hop.IsValid() {
			break
		}
		ip = hop
		if !p.trusts(ip) {
			break
		}
	}
	return ip
}

// secure reports whether the client's side of a request is encrypted.
func (p proxies) secure(r *http.Request) bool {
	if r.TLS != nil {
		return true
	}
	return strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "https") && p.trusts(parseAddress(r.RemoteAddr))
}
