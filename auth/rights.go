package auth

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"weir/telemetry"
	"weir/wire"
)

// Roles lists all roles.
func Roles() []string { return []string{RoleDevice, RoleViewer, RoleOperator, RoleAdmin} }

// rights are what credentials give, as they are stored and sent.
type rights struct {
	Tenant string   `json:"tenant,omitempty"`
	Roles  []string `json:"roles,omitempty"`
	Read   []string `json:"read,omitempty"`
	Write  []string `json:"write,omitempty"`

	Rooms   []RoomRights `json:"rooms,omitzero"` // not omitempty: an empty list takes what roles would give
	Publish bool         `json:"publish,omitempty"`
}

const (
	maxPatterns    = 64
	maxSubject     = 255
	maxDescription = 100
)

// apply gives the rights to a principal. Roles that are not known count for nothing; patterns that do not parse are
// an error, as it may have been meant to confine.
func (r *rights) apply(p *Principal) *wire.Error {
	if r.Tenant != "" && !validTenant(r.Tenant) {
		return wire.NewError(wire.CodeTokenInvalid, "tenant")
	}
	p.Tenant = r.Tenant
	for _, role := range r.Roles {
		if slices.Contains(Roles(), role) && !slices.Contains(p.Roles, role) {
			p.Roles = append(p.Roles, role)
		}
	}
	var e *wire.Error
	if p.Read, e = parsePatterns("read", r.Read); e != nil {
		return e
	}
	if p.Write, e = parsePatterns("write", r.Write); e != nil {
		return e
	}
	p.Publish = r.Publish
	p.Rooms, e = parseRooms("rooms", r.Rooms)
	return e
}

// rightsOf is the inverse of apply.
func rightsOf(p *Principal) rights {
	return rights{Tenant: p.Tenant, Roles: p.Roles, Read: texts(p.Read), Write: texts(p.Write), Rooms: roomTexts(p.Rooms), Publish: p.Publish}
}

func texts(patterns []telemetry.Pattern) []string {
	out := make([]string, len(patterns))
	for i, p := range patterns {
		out[i] = p.String()
	}
	return out
}

func parsePatterns(field string, list []string) ([]telemetry.Pattern, *wire.Error) {
	if len(list) > maxPatterns {
		return nil, wire.NewError(wire.CodePatternsTooMany, field)
	}
	out := make([]telemetry.Pattern, 0, len(list))
	for i, text := range list {
		p, err := telemetry.ParsePattern(text)
		if err != nil {
			code := wire.CodeFieldRange
			var bad *telemetry.PathError
			if errors.As(err, &bad) {
				code = bad.Code
			}
			return nil, wire.NewError(code, fmt.Sprintf("%s[%d]", field, i))
		}
		out = append(out, p)
	}
	return out, nil
}

// grant says whether giver may make credentials with the rights: they must be sound, and no more than it has itself.
// Within a tenant, credentials are that tenant's.
func (r *rights) grant(giver *Principal) *wire.Error {
	if giver.Tenant != "" && r.Tenant == "" {
		r.Tenant = giver.Tenant
	}
	if giver.Tenant != "" && r.Tenant != giver.Tenant {
		return wire.NewError(wire.CodeForbidden, "tenant")
	}
	if r.Tenant != "" && !validTenant(r.Tenant) {
		return wire.NewError(wire.CodeFieldRange, "tenant")
	}
	if len(r.Roles) == 0 && r.Rooms == nil && !r.Publish {
		return wire.NewError(wire.CodeFieldMissing, "roles")
	}
	for i, role := range r.Roles {
		if !slices.Contains(Roles(), role) {
			return &wire.Error{Code: wire.CodeFieldRange, Path: fmt.Sprintf("roles[%d]", i), Message: "a role is one of " + strings.Join(Roles(), ", ")}
		}
		if !giver.Has(role) {
			return wire.NewError(wire.CodeForbidden, fmt.Sprintf("roles[%d]", i))
		}
	}
	if e := covered("read", r.Read, giver.Read); e != nil {
		return e
	}
	if e := covered("write", r.Write, giver.Write); e != nil {
		return e
	}
	return r.grantRooms(giver)
}

func covered(field string, list []string, by []telemetry.Pattern) *wire.Error {
	patterns, e := parsePatterns(field, list)
	if e != nil {
		return e
	}
	for i, p := range patterns {
		if !slices.ContainsFunc(by, func(b telemetry.Pattern) bool { return b.Covers(p) }) {
			return wire.NewError(wire.CodeForbidden, fmt.Sprintf("%s[%d]", field, i))
		}
	}
	return nil
}

// validTenant: a tenant is the first segment of paths.
func validTenant(name string) bool {
	return telemetry.CheckDevice(name) == nil && !strings.Contains(name, "/")
}

// validLabel: text that is shown to people, of bounded length.
func validLabel(text string, longest int) bool {
	return len(text) <= longest && utf8.ValidString(text) && !strings.ContainsFunc(text, func(r rune) bool { return r < 0x20 || r == 0x7f })
}

func replaced(r *strings.Replacer, list []string) []string {
	out := make([]string, len(list))
	for i, text := range list {
		out[i] = r.Replace(text)
	}
	return out
}
