package auth

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"weir/wire"
)

const (
	// KeyPrefix is how API keys begin: weir_<id>_<secret>.
	KeyPrefix = "weir_"

	keyIDBytes     = 10 // 80 bits: enough that none comes twice
	keySecretBytes = 20 // 160 bits
	secretIDLength = 16 // of base64: 96 bits
	// maxSecrets of one key: that in use, and those that were rotated out and are valid for a while yet.
	maxSecrets = 4
)

var keyText = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// keyRecord is an API key as weir.auth holds it.
type keyRecord struct {
	V    int    `json:"v"`
	ID   string `json:"id"`
	Name string `json:"name,omitempty"`
	rights
	Created   time.Time   `json:"created"`
	CreatedBy string      `json:"created_by,omitempty"`
	Expires   time.Time   `json:"expires,omitzero"`
	Revoked   time.Time   `json:"revoked,omitzero"`
	Secrets   []keySecret `json:"secrets,omitempty"`
}

// keySecret is a secret of a key. Hash is HMAC-SHA-256 with the pepper. Hashes that are slow on purpose make guessing
// dear where people choose the secret; among 2^160 random ones there is nothing to guess, and a slow hash would only
// make each handshake dear. The pepper keeps a copy of weir.auth from being of use without the signing key.
type keySecret struct {
	Hash    string    `json:"hash"`
	Pepper  string    `json:"pepper"` // which one
	Created time.Time `json:"created"`
	Until   time.Time `json:"until,omitzero"`
}

// newKeyText makes the id and the secret of a key.
func newKeyText(bytes int) string {
	b := make([]byte, bytes)
	_, _ = rand.Read(b) // never fails
	return keyText.EncodeToString(b)
}

// parseKey divides an API key. ok is false when it does not have the form of one.
func parseKey(credential string) (id, secret string, ok bool) {
	rest, ok := strings.CutPrefix(credential, KeyPrefix)
	if !ok {
		return "", "", false
	}
	id, secret, ok = strings.Cut(rest, "_")
	return id, secret, ok && id != "" && secret != ""
}

func (s *Signer) hash(secret string) string {
	mac := hmac.New(sha256.New, s.pepper)
	mac.Write([]byte(secret))
	return base64.RawStdEncoding.EncodeToString(mac.Sum(nil))
}

// id names a secret in what is made of it. It is a part of the hash, long enough that none comes twice.
func (s *keySecret) id() string { return s.Hash[:min(len(s.Hash), secretIDLength)] }

// addSecret makes a secret, which is returned and kept nowhere. Those before it end at until.
func (r *keyRecord) addSecret(s *Signer, now, until time.Time) string {
	secret := newKeyText(keySecretBytes)
	kept := []keySecret{{Hash: s.hash(secret), Pepper: s.fingerprint, Created: now}}
	for _, old := range r.Secrets {
		if old.Until.IsZero() || old.Until.After(until) {
			old.Until = until
		}
		if old.Until.After(now) && len(kept) < maxSecrets {
			kept = append(kept, old)
		}
	}
	r.Secrets = kept
	return KeyPrefix + r.ID + "_" + secret
}

// apiKey is a record with a principal for each of its secrets, made when the record changed so that a handshake has
// only to compare hashes.
type apiKey struct {
	record     keyRecord
	principals []*Principal
}

func newAPIKey(r keyRecord) (*apiKey, *wire.Error) {
	k := &apiKey{record: r}
	for i := range r.Secrets {
		s := &r.Secrets[i]
		p := &Principal{
			Subject: r.ID, Method: MethodKey, KeyID: r.ID, Issued: s.Created, Expires: earliest(r.Expires, s.Until), secret: s.id()}
		if e := r.apply(p); e != nil {
			return nil, e
		}
		k.principals = append(k.principals, p)
	}
	return k, nil
}

// earliest of two times, of which zero is never.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// keyring holds the API keys of weir.auth, ready for use.
type keyring struct {
	log *slog.Logger

	mu   sync.RWMutex
	keys map[string]*apiKey
}

// apply follows weir.auth. Secrets are replaced as wholes: a *apiKey does not change.
func (r *keyring) apply(id string, value []byte) {
	if value == nil {
		r.mu.Lock()
		delete(r.keys, id)
		r.mu.Unlock()
		return
	}
	var record keyRecord
	err := json.Unmarshal(value, &record)
	var k *apiKey
	if err == nil && record.ID == id {
		var e *wire.Error
		if k, e = newAPIKey(record); e != nil {
			err = e
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if k == nil {
		r.log.Error("an API key cannot be understood, and is not valid", "key", id, "error", err)
		delete(r.keys, id)
		return
	}
	r.keys[id] = k
}

func (r *keyring) get(id string) (*apiKey, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	k, ok := r.keys[id]
	return k, ok
}

func (r *keyring) len() int {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return len(r.keys)
}

// list is of a tenant's keys, or of all for "", by id.
func (r *keyring) list(tenant string) []*apiKey {
	r.mu.RLock()
	defer r.mu.RUnlock()
	out := make([]*apiKey, 0, len(r.keys))
	for _, k := range r.keys {
		if tenant == "" || k.record.Tenant == tenant {
			out = append(out, k)
		}
	}
	slices.SortFunc(out, func(a, b *apiKey) int { return strings.Compare(a.record.ID, b.record.ID) })
	return out
}

// verify is who a key's secret speaks for.
func (r *keyring) verify(s *Signer, id, secret string, now time.Time) (*Principal, *wire.Error) {
	k, ok := r.get(id)
	if !ok {
		return nil, wire.NewError(wire.CodeTokenInvalid, "")
	}
	hash := []byte(s.hash(secret))
	for i := range k.record.Secrets {
		if !hmac.Equal(hash, []byte(k.record.Secrets[i].Hash)) {
			continue
		}
		p := k.principals[i]
		return p, k.state(p.secret, now)
	}
	if !k.record.Revoked.IsZero() { // its secrets are forgotten
		return nil, wire.NewError(wire.CodeTokenRevoked, "")
	}
	return nil, wire.NewError(wire.CodeTokenInvalid, "")
}

// state is why a key, or a secret of it if one is named, is not valid; nil if it is.
func (k *apiKey) state(secret string, now time.Time) *wire.Error {
	if !k.record.Revoked.IsZero() {
		return wire.NewError(wire.CodeTokenRevoked, "")
	}
	until := k.until(secret)
	if until.known && (until.at.IsZero() || now.Before(until.at)) {
		return nil
	}
	return wire.NewError(wire.CodeTokenExpired, "")
}

type keyEnd struct {
	known bool // the secret is one of the key's
	at    time.Time
}

func (k *apiKey) until(secret string) keyEnd {
	if secret == "" {
		return keyEnd{true, k.record.Expires}
	}
	for i := range k.record.Secrets {
		if k.record.Secrets[i].id() == secret {
			return keyEnd{true, earliest(k.record.Expires, k.record.Secrets[i].Until)}
		}
	}
	return keyEnd{}
}
