package push

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"

	"weir/auth"
	"weir/internal/remote"
	"weir/wire"
)

// accountKey is what is counted as one: a principal, or on an open server, which knows none, an address. The zero key is
// what is not counted: this machine on an open server.
type accountKey struct {
	tenant, subject string
	address         netip.Prefix
}

// accountOf is the account of a principal that asks from somewhere.
func accountOf(p *auth.Principal, from netip.Addr) accountKey {
	if p.Method == auth.MethodNone {
		return accountKey{address: remote.Holder(from)}
	}
	return accountKey{tenant: p.Tenant, subject: p.Subject}
}

// account is what one principal takes of what all share: connections of any kind, and views. It is there while there are
// connections or requests of the principal.
type account struct {
	key accountKey // fixed

	// Guarded by registry.mu.
	connections int // and handshakes once it is known who asks
	requests    int // that wait for news

	// Guarded by hub.mu.
	uses []use
}

// use is a view that subscriptions and requests of an account have.
type use struct {
	view  *view
	times int
}

func (a *account) held() int { return a.connections + a.requests }

// enterLocked finds an account for one connection or request more, and reports false when it has as many as it may. The
// zero key has none.
func (r *registry) enterLocked(key accountKey) (a *account, ok bool) {
	if key == (accountKey{}) {
		return nil, true
	}
	a = r.accounts[key]
	switch {
	case a == nil:
		a = &account{key: key}
		r.accounts[key] = a
	case !key.address.IsValid() && a.held() >= r.limits.principal: // addresses have a limit of their own
		return nil, false
	}
	return a, true
}

// quitLocked lets an account go that nobody has any more.
func (r *registry) quitLocked(a *account) {
	if a.held() == 0 {
		delete(r.accounts, a.key)
	}
}

// visit counts a request that waits among the connections, until the visit ends.
func (r *registry) visit(key accountKey, from netip.Prefix) (*account, *wire.Error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.fullLocked(from); err != nil {
		return nil, err
	}
	a, ok := r.enterLocked(key)
	if !ok {
		return nil, wire.NewError(wire.CodeLimitPrincipal, "")
	}
	r.visits++
	if from.IsValid() {
		r.addresses[from]++
	}
	if a != nil {
		a.requests++
	}
	return a, nil
}

// Visit counts a request elsewhere that waits for news as GET /v1/snapshot counts those that do: as a connection, until
// leave.
func (s *Server) Visit(r *http.Request) (leave func(), refusal *wire.Error) {
	from := s.proxies.Address(r)
	holder := remote.Holder(from)
	of, refusal := s.conns.visit(accountOf(auth.PrincipalOf(r.Context()), from), holder)
	if refusal != nil {
		s.hub.m.refused[refusal.Code].Inc()
		return nil, refusal
	}
	return func() { s.conns.endVisit(of, holder) }, nil
}

func (r *registry) endVisit(a *account, from netip.Prefix) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.visits--
	if from.IsValid() {
		leave(r.addresses, from)
	}
	if a != nil {
		a.requests--
		r.quitLocked(a)
	}
}

// refuseLocked is why an account may not have a view of so many series, if it may not. One that it has already costs
// nothing. An account that is nil is bounded by what all may have.
func (a *account) refuseLocked(v *view, series int, b *bounds) *wire.Error {
	if a == nil || a.useOf(v) != nil {
		return nil
	}
	switch {
	case len(a.uses) >= b.accountViews:
		return limitPrincipal("the subscriptions of this principal may come to %d different views; end some, or ask for the same at the same rate", b.accountViews)
	case a.rowsLocked()+series > b.accountRows:
		return limitPrincipal("the views of this principal may have %d series together, each counting its own; ask for fewer", b.accountRows)
	}
	return nil
}

func (a *account) useOf(v *view) *use {
	for i := range a.uses {
		if a.uses[i].view == v {
			return &a.uses[i]
		}
	}
	return nil
}

// rowsLocked is how many series the account's views have, each counting its own.
func (a *account) rowsLocked() (n int) {
	for i := range a.uses {
		n += a.uses[i].view.count()
	}
	return n
}

// useLocked notes that a subscription or request of the account has the view.
func (a *account) useLocked(v *view) {
	if a == nil {
		return
	}
	if u := a.useOf(v); u != nil {
		u.times++
		return
	}
	a.uses = append(a.uses, use{v, 1})
}

// quitLocked ends that.
func (a *account) quitLocked(v *view) {
	if a == nil {
		return
	}
	u := a.useOf(v)
	if u.times--; u.times > 0 {
		return
	}
	a.uses = slices.DeleteFunc(a.uses, func(u use) bool { return u.view == v })
}

func limitPrincipal(format string, most int) *wire.Error {
	return &wire.Error{Code: wire.CodeLimitPrincipal, Path: "payload.patterns", Message: fmt.Sprintf(format, most)}
}
