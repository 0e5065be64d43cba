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
	revokeToken   = "token"
	revokeSubject = "subject"
	revokeFamily  = "family"
)

// revocation is what weir.auth holds of one.
type revocation struct {
	V     int    `json:"v"`
	Kind  string `json:"kind"`
	Value string `json:"value"`
	// Tenant confines it; "": it holds for all.
	Tenant string `json:"tenant,omitempty"`
	// Time ends what was issued to a subject before it. Of the other kinds it is for people.
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

func (r *revocations) apply(key string, value []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if value == nil {
		delete(r.all, key)
		return
	}
	var one revocation
	if err := json.Unmarshal(value, &one); err != nil {
		r.log.Error("a revocation cannot be understood", "key", key, "error", err)
		return
	}
	r.all[key] = one
}

func (r *revocations) len() int {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return len(r.all)
}

// forgettable are the keys of those whose time is over.
func (r *revocations) forgettable(now time.Time) []string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	var keys []string
	for k, one := range r.all {
		if now.After(one.Until) {
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
	if r.hasLocked(revokeToken, p.Tenant, p.TokenID, p.Issued) || r.hasLocked(revokeToken, p.Tenant, p.parent, p.Issued) ||
		r.hasLocked(revokeFamily, p.Tenant, p.Family, p.Issued) || r.hasLocked(revokeSubject, p.Tenant, p.Subject, p.Issued) {
		return wire.NewError(wire.CodeTokenRevoked, "")
	}
	return nil
}

func (r *revocations) hasLocked(kind, tenant, value string, issued time.Time) bool {
	if value == "" {
		return false
	}
	one, ok := r.all[revokedKey(kind, "", value)]
	if ok && (kind != revokeSubject || !issued.After(one.Time)) {
		return true
	}
	if tenant == "" {
		return false
	}
	one, ok = r.all[revokedKey(kind, tenant, value)]
	return ok && (kind != revokeSubject || !issued.After(one.Time))
}
