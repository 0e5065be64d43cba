package auth

import (
	"net/http"
	"time"

	"weir/internal/remote"
	"weir/wire"
)

// Methods of attempts, beside those of principals.
const (
	methodCode    = "code"
	methodRefresh = "refresh"
	methodOIDC    = "oidc"
)

// maxCookie is what browsers keep of one cookie, in bytes, less its name and attributes.
const maxCookie = 3800

// Routes adds the endpoints of sessions, keys, tokens and revocations.
func (k *Keeper) Routes(m *Router) {
	m.HandleFunc("POST /v1/session", Public, k.postSession)
	m.HandleFunc("GET /v1/session", SignedIn, k.getSession)
	m.HandleFunc("DELETE /v1/session", SignedIn, k.deleteSession)
	m.HandleFunc("POST /v1/session/refresh", Public, k.postRefresh)
	m.HandleFunc("GET /v1/session/oidc", Public, k.getSignIn)
	m.HandleFunc("GET "+callbackPath, Public, k.getCallback)
	m.HandleFunc("GET /v1/keys", Admins, k.getKeys)
	m.HandleFunc("POST /v1/keys", Admins, k.postKey)
	m.HandleFunc("POST /v1/keys/{id}/rotate", Admins, k.postRotate)
	m.HandleFunc("DELETE /v1/keys/{id}", Admins, k.deleteKey)
	m.HandleFunc("POST /v1/tokens", Admins, k.postToken)
	m.HandleFunc("POST /v1/revocations", Admins, k.postRevocation)
}

// sessionBody is what sessions are told as.
type sessionBody struct {
	Subject string   `json:"subject"`
	Method  string   `json:"method"`
	Tenant  string   `json:"tenant,omitempty"`
	Roles   []string `json:"roles"`
	Read    []string `json:"read"`
	Write   []string `json:"write"`

	Rooms     []RoomRights `json:"rooms,omitzero"`
	Publish   bool         `json:"publish,omitempty"`
	ExpiresAt time.Time    `json:"expires_at,omitzero"`
}

func describe(p *Principal) sessionBody {
	roles := p.Roles
	if roles == nil {
		roles = []string{}
	}
	return sessionBody{
		Subject: p.Subject, Method: p.Method, Tenant: p.Tenant, Roles: roles, Read: texts(p.Read), Write: texts(p.Write),
		Rooms: roomTexts(p.Rooms), Publish: p.Publish, ExpiresAt: p.Expires.UTC(),
	}
}

// grantBody is a session without a cookie.
type grantBody struct {
	sessionBody
	AccessToken      string    `json:"access_token"`
	RefreshToken     string    `json:"refresh_token"`
	RefreshExpiresAt time.Time `json:"refresh_expires_at"`
}

func grantOf(g Grant) grantBody {
	return grantBody{
		sessionBody: describe(g.Principal), AccessToken: g.Access, RefreshToken: g.Refresh, RefreshExpiresAt: g.RefreshExpires.UTC()}
}

func (k *Keeper) postSession(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Token   string `json:"token"`
		Code    string `json:"code"`
		Refresh bool   `json:"refresh"`
	}
	if e := readBody(w, r, &body); e != nil {
		Refuse(w, e)
		return
	}
	p, e := k.present(r, body.Token, body.Code)
	if e != nil {
		Refuse(w, e)
		return
	}
	if !k.mayMake(w, p, body.Refresh) {
		return
	}
	if body.Refresh {
		grant, err := k.begin(r.Context(), p)
		if err != nil {
			k.fail(w, err)
			return
		}
		wire.WriteJSON(w, http.StatusOK, grantOf(grant))
		return
	}
	made, err := k.setSession(w, r, p)
	if err != nil {
		k.fail(w, err)
		return
	}
	wire.WriteJSON(w, http.StatusOK, describe(made))
}

// mayMake refuses a session, or family, that is one too many. Operator links are few, and each is good for one.
func (k *Keeper) mayMake(w http.ResponseWriter, p *Principal, family bool) bool {
	if p.Method == methodCode {
		return true
	}
	var until time.Time
	if !family {
		until = earliest(k.now().Add(k.config.SessionLifetime), p.Expires)
	}
	retryAfter, e := k.makings.take(maker(p.Tenant, p.KeyID, p.Subject), until)
	if e != nil {
		w.Header().Set("Retry-After", retryAfter)
		Refuse(w, e)
	}
	return e == nil
}

// present is who signs in with a credential or a one-time code.
func (k *Keeper) present(r *http.Request, token, code string) (*Principal, *wire.Error) {
	from := remote.Network(k.proxies.Address(r))
	switch {
	case token == "" && code == "":
		return nil, wire.NewError(wire.CodeFieldMissing, "token")
	case token != "":
		p, e := k.identify(r.Context(), token, from, false)
		if e == nil && p.derived {
			// It would go on when that is signed out, or its refresh token was stolen.
			e = &wire.Error{Code: wire.CodeForbidden, Path: "token", Message: "a session is made of an API key or a token, not of another session"}
		}
		return p, e
	}
	var e *wire.Error
	made, ok := k.codes.take(code)
	if !ok {
		e = k.attempts.told(from, wire.NewError(wire.CodeTokenInvalid, "code"))
	}
	k.meters.attempt(methodCode, e)
	if e != nil {
		return nil, e
	}
	p := operator(made)
	if e = k.revoked.check(p); e != nil {
		return nil, e
	}
	return p, nil
}

// setSession signs a browser in.
func (k *Keeper) setSession(w http.ResponseWriter, r *http.Request, p *Principal) (*Principal, error) {
	token, made, err := k.session(p, k.config.SessionLifetime)
	if err != nil {
		return nil, err
	}
	if len(token) > maxCookie {
		return nil, &wire.Error{Code: wire.CodePatternsTooMany, Message: "the credentials have more patterns than fit into a cookie"}
	}
	made.Method = MethodCookie
	http.SetCookie(w, k.cookie(r, cookieSession, token, "/", made.Expires, http.SameSiteStrictMode))
	return made, nil
}

// cookie is one that no script reads. A zero time removes it.
func (k *Keeper) cookie(r *http.Request, name, value, path string, until time.Time, site http.SameSite) *http.Cookie {
	c := &http.Cookie{
		Name: name, Value: value, Path: path, HttpOnly: true, SameSite: site, Secure: k.secure(r), MaxAge: -1}
	if !until.IsZero() {
		c.MaxAge = max(1, int(until.Sub(k.now())/time.Second))
	}
	return c
}

func (k *Keeper) getSession(w http.ResponseWriter, r *http.Request) {
	wire.WriteJSON(w, http.StatusOK, describe(PrincipalOf(r.Context())))
}

// deleteSession signs out. An API key or certificate stays what it is.
func (k *Keeper) deleteSession(w http.ResponseWriter, r *http.Request) {
	p := PrincipalOf(r.Context())
	var err error
	switch {
	case p.Family != "":
		// An instance that renews it at this moment may write its record again: the revocation stays as long as that could.
		until := k.now().Add(k.config.RefreshLifetime)
		var f family
		if found, err := getJSON(k.store, familyPrefix+p.Family, &f); err == nil && found {
			until = f.Until
		}
		err = k.revokeFamily(r.Context(), p.Family, p.Tenant, p.Subject, until)
	case p.TokenID != "":
		_, err = k.revoke(r.Context(), revokeToken, p.TokenID, p.Tenant, p.Subject, p.Expires)
	}
	if err != nil {
		k.fail(w, err)
		return
	}
	http.SetCookie(w, k.cookie(r, cookieSession, "", "/", time.Time{}, http.SameSiteStrictMode))
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusNoContent)
}

func (k *Keeper) postRefresh(w http.ResponseWriter, r *http.Request) {
	var body struct {
		RefreshToken string `json:"refresh_token"`
	}
	if e := readBody(w, r, &body); e != nil {
		Refuse(w, e)
		return
	}
	if body.RefreshToken == "" {
		Refuse(w, wire.NewError(wire.CodeFieldMissing, "refresh_token"))
		return
	}
	grant, err := k.Refresh(WithAddress(r.Context(), k.proxies.Address(r)), body.RefreshToken)
	if err != nil {
		k.fail(w, err)
		return
	}
	wire.WriteJSON(w, http.StatusOK, grantOf(grant))
}
