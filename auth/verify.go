package auth

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"weir/wire"
)

// Algorithms a token may be signed with. "none" is not one.
const (
	algHS256 = "HS256"
	algRS256 = "RS256"
	algES256 = "ES256"
	algEdDSA = "EdDSA"
)

var algorithms = []string{algHS256, algRS256, algES256, algEdDSA}

// minRSA is the shortest RSA modulus that is believed, in bits.
const minRSA = 2048

// verifyKey verifies tokens by one algorithm: else a public key could be used as the secret of HS256.
type verifyKey struct {
	alg string
	key any
}

// verifier tells whose tokens are good.
type verifier struct {
	signer  *Signer
	config  JWTConfig
	longest time.Duration
	static  map[string]verifyKey // by kid
	sets    []*jwks
	parser  *jwt.Parser
	now     func() time.Time
}

func newVerifier(signer *Signer, c *Config, sets []*jwks, now func() time.Time) (*verifier, error) {
	v := &verifier{
		signer: signer, config: c.JWT, longest: c.MaxTokenLifetime, static: make(map[string]verifyKey), sets: sets, now: now,
		parser: jwt.NewParser(jwt.WithValidMethods(algorithms), jwt.WithoutClaimsValidation()),
	}
	for i, k := range c.JWT.Keys {
		key, err := k.load()
		if err != nil {
			return nil, fmt.Errorf("auth.jwt.keys[%d]: %w", i, err)
		}
		v.static[k.KID] = verifyKey{k.Alg, key}
	}
	return v, nil
}

var (
	errKey      = errors.New("no key for this token")
	errNotReady = errors.New("the keys of the issuer could not be read yet")
	errFrugal   = errors.New("the issuer is not asked for the key")
)

// verify checks signature and claims. audience is that of Weir's own tokens; tokens of others are for access only.
// frugal is for addresses with too many failures: issuers are not asked for their sake, and a token whose key is not
// known is answered with limit_address.
func (v *verifier) verify(ctx context.Context, token, audience string, frugal bool) (*claims, *Principal, *wire.Error) {
	c, own := new(claims), false
	_, err := v.parser.ParseWithClaims(token, c, func(t *jwt.Token) (any, error) {
		if _, critical := t.Header["crit"]; critical {
			return nil, errKey // it asks for rules that are not known here
		}
		kid, _ := t.Header["kid"].(string)
		k, isOwn, err := v.keyFor(ctx, kid, frugal)
		if err != nil {
			return nil, err
		}
		own = isOwn
		if k.alg != t.Method.Alg() || audience != audienceAccess && !own {
			return nil, errKey
		}
		return k.key, nil
	})
	switch {
	case errors.Is(err, errNotReady):
		return nil, nil, wire.NewError(wire.CodeNotReady, "")
	case errors.Is(err, errFrugal):
		return nil, nil, errTooManyAttempts()
	case err != nil:
		var claim *json.UnmarshalTypeError
		if errors.As(err, &claim) {
			return nil, nil, wire.NewError(wire.CodeTokenInvalid, fieldOf(claim))
		}
		return nil, nil, wire.NewError(wire.CodeTokenInvalid, "")
	}
	now := v.now()
	var e *wire.Error
	if own {
		e = c.check(now, leeway, 0, ownIssuer, audience)
	} else {
		e = c.check(now, leeway, leeway, v.config.Issuer, v.config.Audience)
	}
	if e != nil {
		return nil, nil, e
	}
	if c.Expires.Time().After(now.Add(v.longest + leeway)) {
		return nil, nil, &wire.Error{Code: wire.CodeTokenInvalid, Path: "exp", Message: "the token is valid for longer than a token may be"}
	}
	p, e := c.principal(own)
	return c, p, e
}

func (v *verifier) keyFor(ctx context.Context, kid string, frugal bool) (k verifyKey, own bool, err error) {
	if kid == v.signer.kid {
		return verifyKey{v.signer.method.Alg(), v.signer.public}, true, nil
	}
	if k, ok := v.static[kid]; ok {
		return k, false, nil
	}
	if kid == "" {
		return verifyKey{}, false, errKey
	}
	missing := errKey
	for _, set := range v.sets {
		if k, ok := set.key(kid); ok {
			return k, false, nil
		}
	}
	if frugal && len(v.sets) > 0 {
		return verifyKey{}, false, errFrugal
	}
	// The issuer may have begun to use a new key.
	for _, set := range v.sets {
		set.lookAgain(ctx)
		k, ok := set.key(kid)
		if ok {
			return k, false, nil
		}
		if !set.loaded() {
			missing = errNotReady
		}
	}
	return verifyKey{}, false, missing
}

func (k JWTKey) load() (any, error) {
	if k.Alg == algHS256 {
		secret, err := k.Secret.read(k.SecretFile)
		if err != nil {
			return nil, fmt.Errorf("secret_file: %w", err)
		}
		if len(secret) < minSecret {
			return nil, fmt.Errorf("secret_file: must have at least %d bytes", minSecret)
		}
		return secret, nil
	}
	text, err := os.ReadFile(k.PublicKeyFile)
	if err != nil {
		return nil, fmt.Errorf("public_key_file: %w", err)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("public_key_file: %s is not PEM", k.PublicKeyFile)
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		certificate, err2 := x509.ParseCertificate(block.Bytes)
		if err2 != nil {
			return nil, fmt.Errorf("public_key_file: %s holds no public key: %w", k.PublicKeyFile, err)
		}
		key = certificate.PublicKey
	}
	if alg, ok := algorithmOf(key); !ok || alg != k.Alg {
		return nil, fmt.Errorf("public_key_file: the key in %s (%T) is not one of %s", k.PublicKeyFile, key, k.Alg)
	}
	return key, nil
}

// algorithmOf is the only algorithm that a public key is used with.
func algorithmOf(key any) (string, bool) {
	switch key := key.(type) {
	case *rsa.PublicKey:
		return algRS256, key.N.BitLen() >= minRSA
	case *ecdsa.PublicKey:
		return algES256, key.Curve == elliptic.P256()
	case ed25519.PublicKey:
		return algEdDSA, len(key) == ed25519.PublicKeySize
	}
	return "", false
}
