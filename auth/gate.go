package auth

import (
	"context"
	"errors"
	"net/http"

	"weir/wire"
)

// ErrNoCredentials says that a request brings none. A WebSocket may still send them as its first message.
var ErrNoCredentials = errors.New("no credentials")

// Gate tells who speaks. Its errors are a *wire.Error to be shown to the client (unauthenticated, token_invalid,
// token_expired, token_revoked), or ErrNoCredentials.
type Gate interface {
	// Request looks for credentials in a request: header, query, cookie, subprotocol, client certificate.
	Request(r *http.Request) (*Principal, error)
	// Token is for credentials that come by themselves, an API key or a JWT: a first message, an MQTT password.
	Token(ctx context.Context, token string) (*Principal, error)
	// Watch has ended called, once and without blocking, when p's credentials expire or are revoked: with
	// token_expired or token_revoked. stop ends the watch; it may be called more than once, and does not wait.
	Watch(p *Principal, ended func(*wire.Error)) (stop func())
}

// Renewer is a Gate that renews refresh tokens.
type Renewer interface {
	Refresh(ctx context.Context, token string) (Grant, error)
}

// Present is who speaks with what an auth message brings, and how that is answered.
func Present(ctx context.Context, g Gate, m *wire.Auth) (*Principal, *wire.Authenticated, error) {
	if m.RefreshToken == "" {
		p, err := g.Token(ctx, m.Token)
		if err != nil {
			return nil, nil, err
		}
		return p, answerFor(p), nil
	}
	r, ok := g.(Renewer)
	if !ok {
		return nil, nil, wire.NewError(wire.CodeTokenInvalid, "")
	}
	grant, err := r.Refresh(ctx, m.RefreshToken)
	if err != nil {
		return nil, nil, err
	}
	answer := answerFor(grant.Principal)
	answer.AccessToken, answer.RefreshToken, answer.RefreshExpiresAt = grant.Access, grant.Refresh, grant.RefreshExpires
	return grant.Principal, answer, nil
}

func answerFor(p *Principal) *wire.Authenticated {
	return &wire.Authenticated{Subject: p.Subject, Roles: p.Roles, ExpiresAt: p.Expires}
}

// Open is the gate of a server that asks for no credentials.
type Open struct{}

// Request implements Gate.
func (Open) Request(*http.Request) (*Principal, error) { return Everybody(), nil }

// Token implements Gate.
func (Open) Token(context.Context, string) (*Principal, error) { return Everybody(), nil }

// Watch implements Gate.
func (Open) Watch(*Principal, func(*wire.Error)) (stop func()) { return func() {} }

// Refusal is err as a client may see it: the *wire.Error in it, or unauthenticated.
func Refusal(err error) *wire.Error {
	if errors.Is(err, ErrNoCredentials) {
		return wire.NewError(wire.CodeUnauthenticated, "")
	}
	return wire.AsError(err)
}

// CloseOf is how a WebSocket ends for a refusal.
func CloseOf(e *wire.Error) (code uint16, reason string) {
	switch e.Code {
	case wire.CodeTokenExpired:
		return wire.CloseTokenExpired, wire.ReasonTokenExpired
	case wire.CodeTokenRevoked:
		return wire.CloseTokenRevoked, wire.ReasonTokenRevoked
	case wire.CodeNotReady: // it will not help to get another token
		return wire.CloseServerRestart, wire.ReasonServerRestart
	case wire.CodeInternal:
		return wire.CloseInternal, wire.ReasonInternal
	}
	return wire.CloseRefused, e.Code
}
