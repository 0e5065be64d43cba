package rooms

import (
	"strings"

	"weir/auth"
	"weir/wire"
)

// The rights are those of roles, within the tenant: viewers join and read, operators send, admins moderate.

func within(p *auth.Principal, path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return p.Tenant == "" || first == p.Tenant
}

func forbidden(path string) *wire.Error { return wire.NewError(wire.CodeForbidden, path) }

func mayJoin(p *auth.Principal, room string) bool {
	return p.Has(auth.RoleViewer) && within(p, room)
}

func maySend(p *auth.Principal, path string) bool {
	return p.Has(auth.RoleOperator) && within(p, path)
}

func mayModerate(p *auth.Principal, room string) bool {
	return p.Has(auth.RoleAdmin) && within(p, room)
}
