package auth

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"html"
	"net/http"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/oauth2"

	"weir/internal/remote"
	"weir/wire"
)

const (
	signInPath   = "/v1/session/oidc"
	callbackPath = signInPath + "/callback"
	cookieSignIn = "weir_sign_in"
	// signInLifetime is how long somebody may take at the sign-in service.
	signInLifetime = 10 * time.Minute
	signInTimeout  = 10 * time.Second
	signInPause    = 5 * time.Second
)

var errSilent = errors.New("it did not answer a moment ago")

// signIn sends browsers to a sign-in service (OpenID Connect, code flow with PKCE).
type signIn struct {
	config OIDCConfig
	secret string
	client *http.Client
	now    func() time.Time

	mu       sync.Mutex
	provider *oidc.Provider // nil until it was asked for its endpoints
	failed   time.Time      // when it last did not answer
}

// signInClaims are what a browser keeps, signed, while it is at the service: what comes back must fit them.
type signInClaims struct {
	State    string `json:"state"`
	Nonce    string `json:"nonce"`
	Verifier string `json:"verifier"`
}

func newSignIn(c OIDCConfig, client *http.Client, now func() time.Time) (*signIn, error) {
	if c.Issuer == "" {
		return nil, nil
	}
	secret, err := c.ClientSecret.read(c.ClientSecretFile)
	if err != nil {
		return nil, fmt.Errorf("auth.oidc.client_secret_file: %w", err)
	}
	return &signIn{config: c, secret: string(secret), client: client, now: now}, nil
}

// connect asks the service for its endpoints, once it answers. They hold for the life of the process; its keys are
// read anew as it rotates them.
func (s *signIn) connect(ctx context.Context) (*oidc.Provider, *oauth2.Config, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.provider == nil {
		if s.now().Sub(s.failed) < signInPause {
			return nil, nil, errSilent // whoever waited for the lock need not try in turn
		}
		// The provider keeps the context for its later requests; each is bounded by its caller's.
		provider, err := oidc.NewProvider(oidc.ClientContext(ctx, s.client), s.config.Issuer)
		if err != nil {
			s.failed = s.now()
			return nil, nil, err
		}
		s.provider = provider
	}
	return s.provider, &oauth2.Config{
		ClientID: s.config.ClientID, ClientSecret: s.secret, Endpoint: s.provider.Endpoint(), RedirectURL: s.config.RedirectURL,
		Scopes: s.config.Scopes,
	}, nil
}

// exchange turns the code that a browser brings back into what the service says of who brought it.
func (s *signIn) exchange(ctx context.Context, code string, expected *signInClaims) (*oidc.IDToken, error) {
	provider, flow, err := s.connect(ctx)
	if err != nil {
		return nil, err
	}
	token, err := flow.Exchange(oidc.ClientContext(ctx, s.client), code, oauth2.VerifierOption(expected.Verifier))
	if err != nil {
		return nil, err
	}
	raw, ok := token.Extra("id_token").(string)
	if !ok {
		return nil, errors.New("the answer holds no ID token")
	}
	id, err := provider.Verifier(&oidc.Config{ClientID: s.config.ClientID, Now: s.now}).Verify(oidc.ClientContext(ctx, s.client), raw)
	if err != nil {
		return nil, err
	}
	if subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(expected.Nonce)) != 1 {
		return nil, errors.New("the nonce is another one")
	}
	return id, nil
}

// getSignIn sends a browser to the service.
func (k *Keeper) getSignIn(w http.ResponseWriter, r *http.Request) {
	if k.signIn == nil {
		Refuse(w, &wire.Error{Code: wire.CodeNotFound, Message: "no sign-in service is configured"})
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), signInTimeout)
	defer cancel()
	_, flow, err := k.signIn.connect(ctx)
	if err != nil {
		k.log.Warn("the sign-in service cannot be reached", "error", err)
		Refuse(w, &wire.Error{Code: wire.CodeNotReady, Message: "the sign-in service cannot be reached; try again later"})
		return
	}
	now := k.now()
	kept := &signInClaims{State: newSecret(24), Nonce: newSecret(24), Verifier: oauth2.GenerateVerifier()}
	text, err := k.signer.sign(&claims{
		Subject: "sign-in", Audience: jwt.ClaimStrings{audienceSignIn}, ID: newID(), Issued: at(now), Expires: at(now.Add(signInLifetime)), SignIn: kept})
	if err != nil {
		k.fail(w, err)
		return
	}
	// Lax, as the way back begins at another site.
	http.SetCookie(w, k.cookie(r, cookieSignIn, text, signInPath, now.Add(signInLifetime), http.SameSiteLaxMode))
	w.Header().Set("Cache-Control", "no-store")
	http.Redirect(w, r, flow.AuthCodeURL(kept.State, oidc.Nonce(kept.Nonce), oauth2.S256ChallengeOption(kept.Verifier)), http.StatusFound)
}

// getCallback signs in a browser that comes back.
func (k *Keeper) getCallback(w http.ResponseWriter, r *http.Request) {
	if k.signIn == nil {
		Refuse(w, &wire.Error{Code: wire.CodeNotFound, Message: "no sign-in service is configured"})
		return
	}
	p, e := k.returned(r)
	k.meters.attempt(methodOIDC, e)
	http.SetCookie(w, k.cookie(r, cookieSignIn, "", signInPath, time.Time{}, http.SameSiteLaxMode))
	if e != nil {
		Refuse(w, e)
		return
	}
	if !k.mayMake(w, p, false) {
		return
	}
	if _, err := k.setSession(w, r, p); err != nil {
		k.fail(w, err)
		return
	}
	// Not a redirect: the browser would still count it as begun elsewhere, and not send the strict cookie.
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	fmt.Fprintf(w, "<!doctype html><meta http-equiv=\"refresh\" content=\"0;url=/\"><title>Weir</title><p>Signed in as %s. <a href=\"/\">Go on</a>.\n",
		html.EscapeString(p.Subject))
}

// returned is who comes back from the service.
func (k *Keeper) returned(r *http.Request) (*Principal, *wire.Error) {
	invalid := wire.NewError(wire.CodeTokenInvalid, "")
	from := remote.Network(k.proxies.Address(r))
	c, err := r.Cookie(cookieSignIn)
	if err != nil || len(c.Value) > maxCredential {
		return nil, &wire.Error{Code: wire.CodeUnauthenticated, Message: "the sign-in was not begun here, or took too long; begin again"}
	}
	kept, _, e := k.verifier.verify(r.Context(), c.Value, audienceSignIn, true)
	if e != nil || kept.SignIn == nil {
		return nil, invalid
	}
	query := r.URL.Query()
	if subtle.ConstantTimeCompare([]byte(query.Get("state")), []byte(kept.SignIn.State)) != 1 {
		return nil, k.attempts.told(from, invalid)
	}
	if query.Get("code") == "" {
		return nil, &wire.Error{Code: wire.CodeForbidden, Message: "the sign-in service turned the sign-in down"}
	}
	if k.signIns.exhausted(from) {
		return nil, errTooManyAttempts()
	}
	began := k.now() // by this clock, not the service's: it is compared with revocations
	ctx, cancel := context.WithTimeout(r.Context(), signInTimeout)
	defer cancel()
	id, err := k.signIn.exchange(ctx, query.Get("code"), kept.SignIn)
	if err != nil {
		k.signIns.failed(from)
		k.log.Warn("a sign-in failed", "error", RedactText(err.Error()))
		return nil, invalid
	}
	p, e := k.signIn.principal(id)
	if e != nil {
		k.log.Warn("a sign-in gave no rights", "subject", id.Subject, "code", e.Code)
		return nil, e
	}
	p.Issued = k.revoked.issueTime(p.Tenant, p.Subject, began)
	return p, nil
}
