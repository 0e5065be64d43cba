package auth

import (
	"errors"
	"fmt"
	"net/url"
	"path"

	"weir/internal/joined"
)

// OIDCConfig is a sign-in service that browsers are sent to. Off while Issuer is empty.
type OIDCConfig struct {
	Issuer           string `koanf:"issuer"`
	ClientID         string `koanf:"client_id"`
	ClientSecret     Secret `koanf:"client_secret"`
	ClientSecretFile string `koanf:"client_secret_file"`
	// RedirectURL is this server's /v1/session/oidc/callback as browsers reach it.
	RedirectURL string   `koanf:"redirect_url"`
	Scopes      []string `koanf:"scopes"`
	// The names of claims that are taken as they are; empty: none.
	RolesClaim  string `koanf:"roles_claim"`
	TenantClaim string `koanf:"tenant_claim"`
	ReadClaim   string `koanf:"read_claim"`
	WriteClaim  string `koanf:"write_claim"`
	// Rules add to those. Who gets no role by either is turned away.
	Rules []OIDCRule `koanf:"rules"`
}

// OIDCRule gives rights to whoever has a claim with a value.
type OIDCRule struct {
	// Claim is a text or a list of texts, such as groups. Empty: everybody who can sign in.
	Claim string `koanf:"claim"`
	// Value is compared with it: * stands for any text without a slash.
	Value  string   `koanf:"value"`
	Tenant string   `koanf:"tenant"`
	Roles  []string `koanf:"roles"`
	Read   []string `koanf:"read"`
	Write  []string `koanf:"write"`
	// Rooms are what it gives in rooms; none: what the roles do, unless another rule that fits gives some.
	Rooms   []RoomRights `koanf:"rooms"`
	Publish bool         `koanf:"publish"`
}

func defaultOIDC() OIDCConfig {
	return OIDCConfig{Scopes: []string{"openid", "profile", "email"}, Rules: []OIDCRule{}}
}

func (c OIDCConfig) validate() error {
	if c.Issuer == "" {
		return nil
	}
	errs := []error{
		endpoint("issuer", c.Issuer),
		endpoint("redirect_url", c.RedirectURL),
		c.ClientSecret.check("client_secret", c.ClientSecretFile),
	}
	if u, err := url.Parse(c.RedirectURL); err == nil && u.Path != callbackPath {
		errs = append(errs, fmt.Errorf("redirect_url: must end in %s", callbackPath))
	}
	if c.ClientID == "" {
		errs = append(errs, errors.New("client_id: must be given"))
	}
	if c.RolesClaim == "" && len(c.Rules) == 0 {
		errs = append(errs, errors.New("rules: without rules and roles_claim nobody gets a role"))
	}
	for i, r := range c.Rules {
		name := fmt.Sprintf("rules[%d].", i)
		if _, err := path.Match(r.Value, ""); err != nil || r.Claim != "" && r.Value == "" {
			errs = append(errs, fmt.Errorf("%svalue: %q is not a pattern of texts", name, r.Value))
		}
		errs = append(errs, joined.Prefixed(name, validRights(&rights{Tenant: r.Tenant, Roles: r.Roles, Read: r.Read, Write: r.Write, Rooms: r.Rooms})))
	}
	return errors.Join(errs...)
}
