package auth

import (
	"context"
	"fmt"
	"time"

	"weir/wire"
)

// createKey stores a new API key. The rights have been granted.
func (k *Keeper) createKey(ctx context.Context, r keyRecord) (keyRecord, string, error) {
	now := k.now().UTC()
	r.V, r.ID, r.Created = layout, newKeyText(keyIDBytes), now
	key := r.addSecret(k.signer, now, now)
	if err := putJSON(ctx, k.store, keyPrefix+r.ID, &r); err != nil {
		return r, "", fmt.Errorf("create key: %w", err)
	}
	return r, key, nil
}

// keyFor is a key that by may know of: of its tenant.
func (k *Keeper) keyFor(by *Principal, id string) (keyRecord, *wire.Error) {
	key, ok := k.keys.get(id)
	if !ok || by.Tenant != "" && key.record.Tenant != by.Tenant {
		return keyRecord{}, wire.NewError(wire.CodeKeyUnknown, "")
	}
	r := key.record
	if one, ok := k.revoked.ofKey(id); ok && r.Revoked.IsZero() {
		r.Revoked = one.Time
	}
	return r, nil
}

// rotateKey gives a key a new secret. Those it has stay valid for overlap.
func (k *Keeper) rotateKey(ctx context.Context, by *Principal, id string, overlap time.Duration) (keyRecord, string, error) {
	k.changing.Lock()
	defer k.changing.Unlock()
	r, e := k.keyFor(by, id)
	if e != nil {
		return r, "", e
	}
	// Its new secret is shown to by, who must not gain by it.
	if e := r.grant(by); e != nil {
		return r, "", wire.NewError(wire.CodeForbidden, "")
	}
	now := k.now().UTC()
	if !r.Revoked.IsZero() || !r.Expires.IsZero() && !now.Before(r.Expires) {
		return r, "", &wire.Error{Code: wire.CodeKeyUnknown, Message: "the key has ended; make a new one"}
	}
	key := r.addSecret(k.signer, now, now.Add(overlap))
	if err := putJSON(ctx, k.store, keyPrefix+id, &r); err != nil {
		return r, "", fmt.Errorf("rotate key: %w", err)
	}
	return r, key, nil
}

// revokeKey ends a key, and with it what was made of it. The revocation comes first: the key's record may be written over
// by an instance that rotates it.
func (k *Keeper) revokeKey(ctx context.Context, by *Principal, id string) error {
	k.changing.Lock()
	defer k.changing.Unlock()
	r, e := k.keyFor(by, id)
	if e != nil {
		return e
	}
	if _, ok := k.revoked.ofKey(id); !ok {
		one, err := k.revoke(ctx, revokeKey, id, "", by.Subject, time.Time{})
		if err != nil {
			return err
		}
		if r.Revoked.IsZero() {
			r.Revoked = one.Time
		}
	}
	if len(r.Secrets) == 0 {
		return nil
	}
	r.Secrets = nil
	if err := putJSON(ctx, k.store, keyPrefix+id, &r); err != nil {
		return fmt.Errorf("revoke key: %w", err)
	}
	return nil
}

// revoke stores a revocation. tenant confines it. end is when what it ends would have ended; zero: that is not known.
func (k *Keeper) revoke(ctx context.Context, kind, value, tenant, by string, end time.Time) (revocation, error) {
	now := k.now().UTC()
	if end.IsZero() {
		end = now.Add(k.config.MaxTokenLifetime)
	}
	one := revocation{
		V: layout, Kind: kind, Value: value, Tenant: tenant, Time: now, By: by, Until: end.UTC().Add(2 * leeway),
	}
	if err := putJSON(ctx, k.store, one.key(), &one); err != nil {
		return one, fmt.Errorf("revoke %s: %w", kind, err)
	}
	return one, nil
}
