package auth

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"weir/wire"
)

// family is what weir.auth holds of a line of refresh tokens, of which each is used once.
type family struct {
	V  int    `json:"v"`
	ID string `json:"id"`
	// Current is the id of the newest refresh token, the only one that is good. Two processes that renew the same
	// token at once write different ones; whoever lost is found out at the next renewal.
	Current    string `json:"current"`
	Generation int    `json:"generation"`
	Subject    string `json:"subject"`
	rights
	KeyID   string    `json:"key,omitempty"`
	Secret  string    `json:"secret_id,omitempty"` // of the key
	Parent  string    `json:"parent,omitempty"`
	Root    time.Time `json:"root,omitzero"` // when what it was made of was issued
	Created time.Time `json:"created"`
	Until   time.Time `json:"until"`
}

// Grant is an access token with the refresh token that renews it.
type Grant struct {
	Access, Refresh string
	RefreshExpires  time.Time
	Principal       *Principal
}

// session makes a token for what p may do, that ends no later than p's credentials.
func (k *Keeper) session(p *Principal, lifetime time.Duration) (string, *Principal, error) {
	now := k.now()
	c := &claims{
		Subject: p.Subject, Audience: jwt.ClaimStrings{audienceAccess}, ID: newID(), Issued: at(now),
		Expires: at(earliest(now.Add(lifetime), p.Expires)), KeyID: p.KeyID, Secret: p.secret, Family: p.Family, Parent: p.root(), Root: atOr1970(p.rootIssued()),
		claimedRights: claimed(p),
	}
	token, err := k.signer.sign(c)
	if err != nil {
		return "", nil, err
	}
	made, e := c.principal(true)
	if e != nil {
		return "", nil, e
	}
	return token, made, nil
}

// begin starts a family of refresh tokens for p. It ends when p's credentials do, or when maxFamilies others were begun
// after it.
func (k *Keeper) begin(ctx context.Context, p *Principal) (Grant, error) {
	now := k.now().UTC()
	f := family{
		V: layout, ID: newID(), Subject: p.Subject, rights: rightsOf(p), KeyID: p.KeyID, Secret: p.secret, Parent: p.root(), Root: p.rootIssued().UTC(), Created: now,
		Until: earliest(now.Add(k.config.RefreshLifetime), p.Expires),
	}
	for _, id := range k.lineage.surplus(maker(p.Tenant, p.KeyID, p.Subject)) {
		if err := k.store.Delete(ctx, familyPrefix+id); err != nil {
			return Grant{}, fmt.Errorf("begin a family: %w", err)
		}
	}
	return k.next(ctx, &f)
}

// Refresh renews what a refresh token stands for: it gives an access token, and the refresh token to come with the next
// time. A token that comes twice was stolen, or is used by a thief: the whole family is revoked, which closes its live
// connections.
func (k *Keeper) Refresh(ctx context.Context, token string) (Grant, error) {
	grant, err := k.refresh(ctx, token)
	var e *wire.Error
	if err != nil {
		e = Refusal(err)
	}
	told := k.attempts.told(address(ctx), e)
	if told != e {
		err = told
	}
	k.meters.attempt(methodRefresh, told)
	return grant, err
}

func (k *Keeper) refresh(ctx context.Context, token string) (Grant, error) {
	if !k.isReady() {
		return Grant{}, wire.NewError(wire.CodeNotReady, "")
	}
	if len(token) > maxCredential {
		return Grant{}, wire.NewError(wire.CodeTokenInvalid, "")
	}
	c, p, e := k.verifier.verify(ctx, token, audienceRefresh, true)
	if e != nil {
		return Grant{}, e
	}
	k.families.Lock()
	defer k.families.Unlock()
	if e := k.standing(p); e != nil {
		return Grant{}, e
	}
	var f family
	found, err := getJSON(k.store, familyPrefix+c.Family, &f)
	if err != nil {
		return Grant{}, fmt.Errorf("refresh: %w", err)
	}
	if !found {
		return Grant{}, wire.NewError(wire.CodeTokenInvalid, "")
	}
	if _, e := k.makings.take("family\x00"+f.ID, time.Time{}); e != nil {
		return Grant{}, e
	}
	if f.Current != c.ID {
		k.log.Warn("a refresh token was used twice; its family is revoked", "family", f.ID, "subject", f.Subject, "generation", f.Generation)
		if err := k.revokeFamily(ctx, f.ID, f.Tenant, "reuse", f.Until); err != nil {
			return Grant{}, err
		}
		return Grant{}, wire.NewError(wire.CodeTokenRevoked, "")
	}
	return k.next(ctx, &f)
}

// next writes the family's next generation.
func (k *Keeper) next(ctx context.Context, f *family) (Grant, error) {
	now := k.now()
	f.Current, f.Generation = newID(), f.Generation+1
	refresh, err := k.signer.sign(&claims{
		Subject: f.Subject, Audience: jwt.ClaimStrings{audienceRefresh}, ID: f.Current, Issued: at(now), Expires: at(f.Until),
		KeyID: f.KeyID, Secret: f.Secret, Family: f.ID, Parent: f.Parent, Root: atOr1970(f.Root), claimedRights: claimedRights{Tenant: f.Tenant},
	})
	if err != nil {
		return Grant{}, err
	}
	p := &Principal{Subject: f.Subject, KeyID: f.KeyID, secret: f.Secret, Family: f.ID, parent: f.Parent, derived: true, rooted: f.Root, Expires: f.Until}
	if e := f.apply(p); e != nil {
		return Grant{}, e
	}
	access, p, err := k.session(p, k.config.AccessLifetime)
	if err != nil {
		return Grant{}, err
	}
	if err := putJSON(ctx, k.store, familyPrefix+f.ID, f); err != nil {
		return Grant{}, fmt.Errorf("refresh: %w", err)
	}
	return Grant{Access: access, Refresh: refresh, RefreshExpires: f.Until, Principal: p}, nil
}

// revokeFamily ends a family. The revocation comes first: it is what ends connections.
func (k *Keeper) revokeFamily(ctx context.Context, id, tenant, by string, until time.Time) error {
	if _, err := k.revoke(ctx, revokeFamily, id, tenant, by, until); err != nil {
		return err
	}
	return k.store.Delete(ctx, familyPrefix+id)
}

// deadFamilies are the keys of those that cannot be renewed any more.
func (k *Keeper) deadFamilies(now time.Time) []string {
	var keys []string
	k.store.Range(familyPrefix, func(key string, value []byte) bool {
		var f family
		if json.Unmarshal(value, &f) == nil && now.After(f.Until) {
			keys = append(keys, key)
		}
		return true
	})
	return keys
}
