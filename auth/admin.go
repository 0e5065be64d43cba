package auth

import (
	"net/http"
	"time"

	"weir/wire"
)

const (
	defaultOverlap  = 24 * time.Hour
	longestOverlap  = 90 * 24 * time.Hour
	longestKey      = 20 * 365 * 24 * time.Hour
	defaultTokenTTL = time.Hour
)

// KeyView is a key as GET and POST /v1/keys tell it. Key is there once, when the secret was made.
type KeyView struct {
	ID        string       `json:"id"`
	Name      string       `json:"name"`
	Tenant    string       `json:"tenant,omitempty"`
	Roles     []string     `json:"roles"`
	Read      []string     `json:"read"`
	Write     []string     `json:"write"`
	Rooms     []RoomRights `json:"rooms,omitzero"`
	Publish   bool         `json:"publish,omitempty"`
	Created   time.Time    `json:"created_at"`
	CreatedBy string       `json:"created_by,omitempty"`
	Expires   time.Time    `json:"expires_at,omitzero"`
	Revoked   time.Time    `json:"revoked_at,omitzero"`
	Secrets   []SecretView `json:"secrets"`
	Key       string       `json:"key,omitempty"`
}

// SecretView is what may be told of a secret.
type SecretView struct {
	Created time.Time `json:"created_at"`
	Expires time.Time `json:"expires_at,omitzero"`
}

func viewOf(r *keyRecord, key string) KeyView {
	secrets := make([]SecretView, len(r.Secrets))
	for i, s := range r.Secrets {
		secrets[i] = SecretView{s.Created, s.Until}
	}
	return KeyView{
		ID: r.ID, Name: r.Name, Tenant: r.Tenant, Roles: listed(r.Roles), Read: listed(r.Read), Write: listed(r.Write),
		Rooms: r.Rooms, Publish: r.Publish, Created: r.Created, CreatedBy: r.CreatedBy, Expires: r.Expires, Revoked: r.Revoked, Secrets: secrets, Key: key,
	}
}

// listed makes an empty JSON array of nil.
func listed(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

func (k *Keeper) getKeys(w http.ResponseWriter, r *http.Request) {
	keys := []KeyView{}
	by := PrincipalOf(r.Context())
	for _, key := range k.keys.list(by.Tenant) {
		if record, e := k.keyFor(by, key.record.ID); e == nil {
			keys = append(keys, viewOf(&record, ""))
		}
	}
	wire.WriteJSON(w, http.StatusOK, map[string]any{"keys": keys})
}

func (k *Keeper) postKey(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Name string `json:"name"`
		rights
		TTL string `json:"ttl"`
	}
	if e := readBody(w, r, &body); e != nil {
		Refuse(w, e)
		return
	}
	by := PrincipalOf(r.Context())
	ttl, e := span("ttl", body.TTL, 0, longestKey)
	if e == nil && !validLabel(body.Name, maxDescription) {
		e = wire.NewError(wire.CodeFieldRange, "name")
	}
	if e == nil {
		e = body.grant(by)
	}
	if e != nil {
		Refuse(w, e)
		return
	}
	record := keyRecord{Name: body.Name, rights: body.rights, CreatedBy: by.Subject}
	if ttl > 0 {
		record.Expires = k.now().UTC().Add(ttl)
	}
	record, key, err := k.createKey(r.Context(), record)
	if err != nil {
		k.fail(w, err)
		return
	}
	k.log.Info("an API key was made", "key", record.ID, "tenant", record.Tenant, "by", by.Subject)
	wire.WriteJSON(w, http.StatusCreated, viewOf(&record, key))
}

func (k *Keeper) postRotate(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Overlap string `json:"overlap"`
	}
	if e := readBody(w, r, &body); e != nil {
		Refuse(w, e)
		return
	}
	overlap, e := span("overlap", body.Overlap, defaultOverlap, longestOverlap)
	if e != nil {
		Refuse(w, e)
		return
	}
	by := PrincipalOf(r.Context())
	record, key, err := k.rotateKey(r.Context(), by, r.PathValue("id"), overlap)
	if err != nil {
		k.fail(w, err)
		return
	}
	k.log.Info("an API key was rotated", "key", record.ID, "by", by.Subject)
	wire.WriteJSON(w, http.StatusOK, viewOf(&record, key))
}

func (k *Keeper) deleteKey(w http.ResponseWriter, r *http.Request) {
	by, id := PrincipalOf(r.Context()), r.PathValue("id")
	if err := k.revokeKey(r.Context(), by, id); err != nil {
		k.fail(w, err)
		return
	}
	k.log.Info("an API key was revoked", "key", id, "by", by.Subject)
	w.WriteHeader(http.StatusNoContent)
}

func (k *Keeper) postToken(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Subject string `json:"sub"`
		rights
		TTL string `json:"ttl"`
	}
	if e := readBody(w, r, &body); e != nil {
		Refuse(w, e)
		return
	}
	by := PrincipalOf(r.Context())
	ttl, e := span("ttl", body.TTL, defaultTokenTTL, k.config.MaxTokenLifetime)
	switch {
	case e != nil:
	case body.Subject == "":
		e = wire.NewError(wire.CodeFieldMissing, "sub")
	case !validLabel(body.Subject, maxSubject):
		e = wire.NewError(wire.CodeFieldRange, "sub")
	case ttl < time.Second:
		e = wire.NewError(wire.CodeFieldRange, "ttl")
	default:
		e = body.grant(by)
	}
	if e != nil {
		Refuse(w, e)
		return
	}
	now := k.now()
	issued := k.revoked.issueTime(body.Tenant, body.Subject, now)
	if e := k.standing(by); e != nil { // or who is being revoked could outrun it
		Refuse(w, e)
		return
	}
	t := Token{
		Subject: body.Subject, Tenant: body.Tenant, Roles: body.Roles, Read: body.Read, Write: body.Write, Rooms: body.Rooms, Publish: body.Publish,
		Expires: now.Add(ttl)}
	token, id, err := k.signer.Mint(t, issued)
	if err != nil {
		k.fail(w, err)
		return
	}
	k.log.Info("a token was made", "jti", id, "subject", body.Subject, "tenant", body.Tenant, "by", by.Subject)
	wire.WriteJSON(w, http.StatusCreated, map[string]any{"token": token, "jti": id, "sub": body.Subject, "expires_at": t.Expires.UTC()})
}

// revocationBody names what is to end: one of the first four.
type revocationBody struct {
	Key     string `json:"key"`
	Token   string `json:"token"` // jti
	Subject string `json:"subject"`
	Family  string `json:"family"`
	Tenant  string `json:"tenant"`
}

func (b *revocationBody) kind() (kind, value string, e *wire.Error) {
	given := 0
	for _, one := range []struct{ kind, value string }{
		{revokeKey, b.Key}, {revokeToken, b.Token}, {revokeSubject, b.Subject}, {revokeFamily, b.Family},
	} {
		if one.value != "" {
			kind, value, given = one.kind, one.value, given+1
		}
	}
	switch {
	case given == 0:
		return "", "", &wire.Error{Code: wire.CodeFieldMissing, Path: "key", Message: "name a key, token, subject or family"}
	case given > 1:
		return "", "", &wire.Error{Code: wire.CodeFieldRange, Path: kind, Message: "name one of key, token, subject and family"}
	case !validLabel(value, maxSubject):
		return "", "", wire.NewError(wire.CodeFieldRange, kind)
	case b.Tenant != "" && !validTenant(b.Tenant):
		return "", "", wire.NewError(wire.CodeFieldRange, "tenant")
	}
	return kind, value, nil
}

func (k *Keeper) postRevocation(w http.ResponseWriter, r *http.Request) {
	var body revocationBody
	if e := readBody(w, r, &body); e != nil {
		Refuse(w, e)
		return
	}
	by := PrincipalOf(r.Context())
	kind, value, e := body.kind()
	if e == nil && by.Tenant != "" {
		if body.Tenant != "" && body.Tenant != by.Tenant {
			e = wire.NewError(wire.CodeForbidden, "tenant")
		}
		body.Tenant = by.Tenant
	}
	if e != nil {
		Refuse(w, e)
		return
	}
	at, err := k.revokeNamed(r, by, kind, value, body.Tenant)
	if err != nil {
		k.fail(w, err)
		return
	}
	k.log.Info("credentials were revoked", "kind", kind, "value", value, "tenant", body.Tenant, "by", by.Subject)
	wire.WriteJSON(w, http.StatusOK, map[string]any{"kind": kind, "value": value, "tenant": body.Tenant, "revoked_at": at})
}

func (k *Keeper) revokeNamed(r *http.Request, by *Principal, kind, value, tenant string) (time.Time, error) {
	now := k.now().UTC()
	switch kind {
	case revokeKey:
		return now, k.revokeKey(r.Context(), by, value)
	case revokeFamily:
		// Another tenant's family stays what it is, and is told from none by nothing.
		var f family
		if found, err := getJSON(k.store, familyPrefix+value, &f); err == nil && found && (tenant == "" || f.Tenant == tenant) {
			return now, k.revokeFamily(r.Context(), value, tenant, by.Subject, f.Until)
		}
	case revokeSubject:
		// A key's subject is its id; a key has no end by which that could be forgotten.
		if key, ok := k.keys.get(value); ok && (tenant == "" || key.record.Tenant == tenant) {
			if err := k.revokeKey(r.Context(), by, value); err != nil {
				return now, err
			}
		}
	}
	one, err := k.revoke(r.Context(), kind, value, tenant, by.Subject, time.Time{})
	return one.Time, err
}
