package auth

import (
	"encoding/json"
	"log/slog"
	"net/url"
	"sync"
	"time"

	"weir/wire"
)

// Kinds of revocations.
const (
	// revokeKey is kept beside the key's own record, which an instance that rotates the key at that moment writes over.
	revokeKey     = "key"
	revokeToken   = "token"
	revokeSubject = "subject"
	revokeFamily  = "family"
)

// spread is how much later than a subject's revocation something may have been issued and still count as older: so long
// another process may not have heard of it, and so far its clock may be off. Who has heard says so, see issueTime. Less
// than leeway, as what is issued then seems to come from the future.
const spread = 5 * time.Second

// revocation is what weir.auth holds of one.
type revocation struct {
	V     int    `json:"v"`
	Kind  string `json:"kind"`
	Value string `json:"value"`
	// Tenant confines it; "": it holds for all.
	Tenant string `json:"tenant,omitempty"`
	// Time ends what was issued to a subject before it, and within spread after it. Of the other kinds it is for people.
	Time time.Time `json:"time"`
	By   string    `json:"by,omitempty"`
	// Until is when it may be forgotten, as nothing that it ends is valid any more.
	Until time.Time `json:"until"`
}

func (r *revocation) key() string { return revokedPrefix + revokedKey(r.Kind, r.Tenant, r.Value) }

// revokedKey: "*" is no tenant's name once it is escaped.
func revokedKey(kind, tenant, value string) string {
	if tenant == "" {
		return kind + "/*/" + url.PathEscape(value)
	}
	return kind + "/" + url.PathEscape(tenant) + "/" + url.PathEscape(value)
}

// revocations are those of weir.auth.
type revocations struct {
	log *slog.Logger

	mu  sync.RWMutex
	all map[string]revocation // by the key without prefix
}

// apply follows weir.auth. ok is true when something is revoked.
func (r *revocations) apply(key string, value []byte) (one revocation, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if value == nil {
		delete(r.all, key)
		return one, false
	}
	if err := json.Unmarshal(value, &one); err != nil {
		r.log.Error("a revocation cannot be understood", "key", key, "error", err)
		return one, false
	}
	r.all[key] = one
	return one, true
}

func (r *revocations) len() int {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return len(r.all)
}

// forgettable are the keys of those whose time is over. open says of an API key that it is valid by its own record.
func (r *revocations) forgettable(now time.Time, open func(id string) bool) []string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	var keys []string
	for k, one := range r.all {
		if now.After(one.Until) && (one.Kind != revokeKey || !open(one.Value)) {
			keys = append(keys, revokedPrefix+k)
		}
	}
	return keys
}

// check is token_revoked if p's credentials are.
func (r *revocations) check(p *Principal) *wire.Error {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if len(r.all) == 0 {
		return nil
	}
	if r.hasLocked(revokeToken, p.Tenant, p.TokenID) || r.hasLocked(revokeToken, p.Tenant, p.parent) ||
		r.hasLocked(revokeFamily, p.Tenant, p.Family) || r.hasLocked(revokeKey, "", p.KeyID) || !p.rootIssued().After(r.goodAfterLocked(p.Tenant, p.Subject)) {
		return wire.NewError(wire.CodeTokenRevoked, "")
	}
	return nil
}

func (r *revocations) hasLocked(kind, tenant, value string) bool {
	if value == "" {
		return false
	}
	_, ok := r.all[revokedKey(kind, "", value)]
	if !ok && tenant != "" {
		_, ok = r.all[revokedKey(kind, tenant, value)]
	}
	return ok
}

// ofKey is an API key's revocation.
func (r *revocations) ofKey(id string) (revocation, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	one, ok := r.all[revokedKey(revokeKey, "", id)]
	return one, ok
}

// goodAfterLocked is the time after which what is issued to a subject is good; before year 1: at any.
func (r *revocations) goodAfterLocked(tenant, subject string) time.Time {
	after := time.Time{}.Add(-1)
	for _, of := range []string{"", tenant} {
		if one, ok := r.all[revokedKey(revokeSubject, of, subject)]; ok && one.Time.Add(spread).After(after) {
			after = one.Time.Add(spread)
		}
	}
	return after
}

// issueTime is when something that was begun for a subject at a time is said to be issued: beyond spread if it was begun
// after a revocation of which this process knows.
func (r *revocations) issueTime(tenant, subject string, begun time.Time) time.Time {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if after := r.goodAfterLocked(tenant, subject); begun.After(after.Add(-spread)) && !begun.After(after) {
		return after.Add(time.Microsecond)
	}
	return begun
}
