package auth

import (
	"path"
	"slices"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"weir/wire"
)

// principal maps the claims of an ID token to rights. Whoever gets no role, two tenants, or none although a claim has to
// name one, is turned away.
func (s *signIn) principal(id *oidc.IDToken) (*Principal, *wire.Error) {
	var all map[string]any
	if err := id.Claims(&all); err != nil || !validLabel(id.Subject, maxSubject) || id.Subject == "" {
		return nil, wire.NewError(wire.CodeTokenInvalid, "")
	}
	given := rights{
		Roles: textList(claimTexts(all, s.config.RolesClaim)).words(),
		Read:  claimTexts(all, s.config.ReadClaim), Write: claimTexts(all, s.config.WriteClaim),
	}
	tenants := claimTexts(all, s.config.TenantClaim)
	if list, ok := all[s.config.TenantClaim].([]any); s.config.TenantClaim != "" && (len(tenants) == 0 || ok && len(list) != len(tenants)) {
		// The claim is there to confine, also when it holds something else than text. A rule that names a tenant does not
		// make up for it: the service may know another.
		return nil, &wire.Error{Code: wire.CodeForbidden, Path: "tenant", Message: "the sign-in service names no tenant for this account"}
	}
	for _, rule := range s.config.Rules {
		if !rule.fits(all) {
			continue
		}
		given.Roles = append(given.Roles, rule.Roles...)
		given.Read = append(given.Read, rule.Read...)
		given.Write = append(given.Write, rule.Write...)
		if rule.Rooms != nil { // an empty list, too, takes what roles would give
			given.Rooms = append(append([]RoomRights{}, given.Rooms...), rule.Rooms...)
		}
		given.Publish = given.Publish || rule.Publish
		if rule.Tenant != "" {
			tenants = append(tenants, rule.Tenant)
		}
	}
	if tenants = slices.Compact(slices.Sorted(slices.Values(tenants))); len(tenants) > 1 {
		return nil, &wire.Error{Code: wire.CodeForbidden, Message: "the sign-in service names more than one tenant"}
	}
	if len(tenants) == 1 {
		if tenants[0] == "" { // an empty name must not lift the confinement
			return nil, wire.NewError(wire.CodeForbidden, "tenant")
		}
		given.Tenant = tenants[0]
	}
	p := &Principal{Subject: id.Subject, Method: MethodToken, Issued: time.Unix(id.IssuedAt.Unix(), 0)}
	if e := given.apply(p); e != nil {
		return nil, wire.NewError(wire.CodeForbidden, e.Path)
	}
	if len(p.Roles) == 0 && p.Rooms == nil && !p.Publish {
		return nil, &wire.Error{Code: wire.CodeForbidden, Message: "this account has no role in Weir"}
	}
	return p, nil
}

func (r *OIDCRule) fits(all map[string]any) bool {
	if r.Claim == "" {
		return true
	}
	return slices.ContainsFunc(claimTexts(all, r.Claim), func(text string) bool {
		ok, err := path.Match(r.Value, text)
		return err == nil && ok
	})
}

// claimTexts is a claim that is a text or a list of texts.
func claimTexts(all map[string]any, name string) []string {
	if name == "" {
		return nil
	}
	switch value := all[name].(type) {
	case string:
		return []string{value}
	case []any:
		var out []string
		for _, v := range value {
			if text, ok := v.(string); ok {
				out = append(out, text)
			}
		}
		return out
	}
	return nil
}
