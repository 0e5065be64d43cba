package auth

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"weir/internal/joined"
	"weir/telemetry"
)

// Config says whose credentials are believed, and for how long.
type Config struct {
	// SigningKeyFile holds the key of Weir's own tokens, from which the one that API keys are hashed with is
	// derived: a secret text of at least 32 bytes (HS256), or an Ed25519 private key (PEM, PKCS #8). Empty: one is
	// made in the data directory. Processes that share a cluster share this key.
	SigningKeyFile string `koanf:"signing_key_file"`
	// SessionLifetime is how long a browser stays signed in. A session never outlives the token it was made of.
	SessionLifetime time.Duration `koanf:"session_lifetime"`
	// AccessLifetime is that of access tokens which come with a refresh token.
	AccessLifetime time.Duration `koanf:"access_lifetime"`
	// RefreshLifetime is how long such a pair may be renewed.
	RefreshLifetime time.Duration `koanf:"refresh_lifetime"`
	// MaxTokenLifetime is how far ahead a token may expire; one that expires later, or never, is refused.
	// Revocations are kept for as long.
	MaxTokenLifetime time.Duration `koanf:"max_token_lifetime"`
	// FailedAttempts is how many wrong credentials an address may send a minute.
	FailedAttempts int `koanf:"failed_attempts"`
	// SecureCookies marks cookies Secure although a request did not come by TLS, as far as Weir can tell.
	SecureCookies bool `koanf:"secure_cookies"`

	JWT          JWTConfig         `koanf:"jwt"`
	OIDC         OIDCConfig        `koanf:"oidc"`
	Certificates []CertificateRule `koanf:"certificates"`
}

// JWTConfig says which tokens of others are believed.
type JWTConfig struct {
	// Issuer and Audience must be in a token's iss and aud. Empty: not asked for.
	Issuer   string   `koanf:"issuer"`
	Audience string   `koanf:"audience"`
	Keys     []JWTKey `koanf:"keys"`
	// JWKSURLs are where issuers publish their keys: https, or http on loopback.
	JWKSURLs []string `koanf:"jwks_urls"`
	// JWKSRefresh is how often they are read.
	JWKSRefresh time.Duration `koanf:"jwks_refresh"`
}

// JWTKey is a key that tokens are verified with, by its algorithm and no other.
type JWTKey struct {
	// KID selects the key; empty: for tokens that name none.
	KID string `koanf:"kid"`
	// Alg is HS256, RS256, ES256 or EdDSA.
	Alg string `koanf:"alg"`
	// Secret or SecretFile: of HS256, at least 32 bytes. PublicKeyFile: PEM, of the others.
	Secret        Secret `koanf:"secret"`
	SecretFile    string `koanf:"secret_file"`
	PublicKeyFile string `koanf:"public_key_file"`
}

// CertificateRule makes a principal of client certificates with a subject.
type CertificateRule struct {
	// Subject is compared with the common name and the alternative names: * stands for any text without a slash.
	Subject string   `koanf:"subject"`
	Tenant  string   `koanf:"tenant"`
	Roles   []string `koanf:"roles"`
	// Read and Write are patterns, in which {name} stands for the name that matched.
	Read  []string `koanf:"read"`
	Write []string `koanf:"write"`
	// Rooms are what it gives in rooms, with {name}, too; none: what the roles do.
	Rooms   []RoomRights `koanf:"rooms"`
	Publish bool         `koanf:"publish"`
}

// DefaultConfig believes Weir's own credentials only.
func DefaultConfig() Config {
	return Config{
		SessionLifetime:  12 * time.Hour,
		AccessLifetime:   15 * time.Minute,
		RefreshLifetime:  30 * 24 * time.Hour,
		MaxTokenLifetime: 365 * 24 * time.Hour,
		FailedAttempts:   20,
		JWT:              JWTConfig{Keys: []JWTKey{}, JWKSURLs: []string{}, JWKSRefresh: 15 * time.Minute},
		OIDC:             defaultOIDC(),
		Certificates:     []CertificateRule{},
	}
}

// Validate names every field that cannot work.
func (c Config) Validate() error {
	errs := []error{
		between("session_lifetime", c.SessionLifetime, time.Minute, c.MaxTokenLifetime),
		between("access_lifetime", c.AccessLifetime, 10*time.Second, c.SessionLifetime),
		between("refresh_lifetime", c.RefreshLifetime, c.AccessLifetime, c.MaxTokenLifetime),
		between("max_token_lifetime", c.MaxTokenLifetime, time.Minute, 10*365*24*time.Hour),
	}
	if c.FailedAttempts < 1 || c.FailedAttempts > 100_000 {
		errs = append(errs, fmt.Errorf("failed_attempts: must be between 1 and 100000, is %d", c.FailedAttempts))
	}
	errs = append(errs, joined.Prefixed("jwt.", c.JWT.validate()), joined.Prefixed("oidc.", c.OIDC.validate()))
	for i, rule := range c.Certificates {
		errs = append(errs, joined.Prefixed(fmt.Sprintf("certificates[%d].", i), rule.validate()))
	}
	return errors.Join(errs...)
}

func (c JWTConfig) validate() error {
	errs := []error{between("jwks_refresh", c.JWKSRefresh, 10*time.Second, 24*time.Hour)}
	seen := make(map[string]bool)
	for i, k := range c.Keys {
		name := fmt.Sprintf("keys[%d].", i)
		if seen[k.KID] {
			errs = append(errs, fmt.Errorf("%skid: %q is there already", name, k.KID))
		}
		seen[k.KID] = true
		errs = append(errs, joined.Prefixed(name, k.validate()))
	}
	for i, u := range c.JWKSURLs {
		errs = append(errs, endpoint(fmt.Sprintf("jwks_urls[%d]", i), u))
	}
	return errors.Join(errs...)
}

func (k JWTKey) validate() error {
	if !slices.Contains(algorithms, k.Alg) {
		return fmt.Errorf("alg: %q is none of %s", k.Alg, strings.Join(algorithms, ", "))
	}
	if err := k.Secret.check("secret", k.SecretFile); err != nil {
		return err
	}
	secret := k.Secret != "" || k.SecretFile != ""
	switch {
	case k.Alg == algHS256 && (!secret || k.PublicKeyFile != ""):
		return errors.New("secret: HS256 needs a secret or secret_file, and nothing else")
	case k.Alg != algHS256 && (secret || k.PublicKeyFile == ""):
		return fmt.Errorf("public_key_file: %s needs it, and no secret", k.Alg)
	case k.Secret != "" && len(k.Secret) < minSecret:
		return fmt.Errorf("secret: must have at least %d bytes", minSecret)
	}
	return nil
}

func (r CertificateRule) validate() error {
	var errs []error
	if _, err := path.Match(r.Subject, ""); err != nil || r.Subject == "" {
		errs = append(errs, fmt.Errorf("subject: %q is not a pattern of names", r.Subject))
	}
	// Any name will do to see whether the patterns hold.
	named := strings.NewReplacer(namePlace, "n")
	return errors.Join(append(errs, validRights(r.rights(named)))...)
}

// validRights checks what rules give.
func validRights(given *rights) error {
	var errs []error
	if given.Tenant != "" && !validTenant(given.Tenant) {
		errs = append(errs, fmt.Errorf("tenant: %q is not a path segment", given.Tenant))
	}
	for i, r := range given.Roles {
		if !slices.Contains(Roles(), r) {
			errs = append(errs, fmt.Errorf("roles[%d]: %q is none of %s", i, r, strings.Join(Roles(), ", ")))
		}
	}
	errs = append(errs, validPatterns("read", given.Read), validPatterns("write", given.Write))
	if _, e := parseRooms("rooms", given.Rooms); e != nil {
		errs = append(errs, fmt.Errorf("%s: %s", e.Path, e.Message))
	}
	return errors.Join(errs...)
}

func validPatterns(name string, list []string) error {
	var errs []error
	for i, text := range list {
		if _, err := telemetry.ParsePattern(text); err != nil {
			errs = append(errs, fmt.Errorf("%s[%d]: %q: %w", name, i, text, err))
		}
	}
	return errors.Join(errs...)
}

// endpoint refuses what could be read, or changed, on its way.
func endpoint(name, text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return fmt.Errorf("%s: not a URL", name)
	}
	if u.User != nil {
		return fmt.Errorf("%s: must hold no user and password", name)
	}
	if ip, err := netip.ParseAddr(u.Hostname()); u.Scheme == "https" || u.Scheme == "http" && (u.Hostname() == "localhost" || err == nil && ip.IsLoopback()) {
		return nil
	}
	return fmt.Errorf("%s: must be https (http only on loopback)", name)
}

func between(name string, d, low, high time.Duration) error {
	if d >= low && d <= high {
		return nil
	}
	return fmt.Errorf("%s: must be between %s and %s, is %s", name, low, high, d)
}
