package auth

import (
	"slices"
	"strings"
	"time"

	"weir/telemetry"
)

// Roles of a principal. What each may do is in docs/security.md, and in the matrix that the app's tests go
// through.
const (
	// RoleDevice may speak for the devices its Write patterns match: readings, hello, results of commands.
	RoleDevice = "device"
	// RoleViewer may read what its Read patterns cover.
	RoleViewer = "viewer"
	// RoleOperator may also send commands, see connections and mend dead letters, within its patterns.
	RoleOperator = "operator"
	// RoleAdmin may also make and revoke credentials. Within a tenant: that tenant's.
	RoleAdmin = "admin"
)

// Methods by which a principal has shown who it is.
const (
	MethodNone        = "none" // an open server asks for nothing
	MethodKey         = "key"
	MethodToken       = "token"
	MethodCookie      = "cookie"
	MethodCertificate = "certificate"
)

// Principal is who speaks. It does not change; new credentials make a new one.
type Principal struct {
	// Subject names it: of an API key its id, of a token its sub, of a certificate its subject.
	Subject string
	Method  string
	// Tenant confines it to paths with this first segment; empty: all.
	Tenant string
	Roles  []string
	// Read are the series it may see, Write the devices it may speak for or act on; what of it, its roles say.
	Read, Write []telemetry.Pattern
	// Rooms are what it may in rooms; nil: what its roles say. Publish: it may send messages as an operator may.
	Rooms   []RoomGrant
	Publish bool
	// KeyID, TokenID (jti) and Family (of refresh tokens) are what it can be revoked by besides Subject.
	KeyID, TokenID, Family string
	parent                 string    // jti of the token that a session was made of
	secret                 string    // id of the API key's secret that was shown, or that a session was made of
	derived                bool      // it is a session, or of a refresh family
	rooted                 time.Time // when that was issued which it was made of
	// Issued is when the credentials were made, Expires when they end; zero: unknown, never.
	Issued, Expires time.Time
}

// root is the token that everything was made of, by whose revocation it ends.
func (p *Principal) root() string {
	if p.derived {
		return p.parent
	}
	return p.TokenID
}

// rootIssued is when the first credentials were issued, which no session renews. Zero: unknown, so before anything.
func (p *Principal) rootIssued() time.Time {
	if p.derived {
		return p.rooted
	}
	return p.Issued
}

// Has reports whether it has a role. An admin has them all but that of a device, an operator that of a viewer.
func (p *Principal) Has(role string) bool {
	switch {
	case slices.Contains(p.Roles, role):
		return true
	case role == RoleViewer:
		return p.Has(RoleOperator)
	case role == RoleOperator:
		return slices.Contains(p.Roles, RoleAdmin)
	}
	return false
}

// MayRead reports whether it may see everything that a pattern of series selects: it is a viewer, an operator or an
// admin, and one of its Read patterns covers the pattern.
func (p *Principal) MayRead(series telemetry.Pattern) bool {
	return p.Has(RoleViewer) && p.inTenant(series.String()) &&
		slices.ContainsFunc(p.Read, func(r telemetry.Pattern) bool { return r.Covers(series) })
}

// MayReadPath reports whether it may see one series, or what is known of one device: as MayRead, for one path.
func (p *Principal) MayReadPath(path string) bool {
	return p.Has(RoleViewer) && p.inTenant(path) && slices.ContainsFunc(p.Read, func(r telemetry.Pattern) bool { return r.Match(path) })
}

// MaySpeakFor reports whether it may be a device: send its readings and its hello, take its commands and answer them,
// by whatever protocol. That takes the role of a device, which no other contains, and a Write pattern that matches.
func (p *Principal) MaySpeakFor(device string) bool {
	return slices.Contains(p.Roles, RoleDevice) && p.MayWrite(device)
}

// MayWrite reports whether a device is within its Write patterns and its tenant. It says where, not what: its roles
// are not looked at. Who commands a device or mends its dead letters is an operator besides; who speaks for it, see
// MaySpeakFor.
func (p *Principal) MayWrite(device string) bool {
	return p.inTenant(device) && slices.ContainsFunc(p.Write, func(w telemetry.Pattern) bool { return w.Match(device) })
}

// MayWriteAll reports whether every device there is lies within its Write patterns; as MayWrite, it asks for no role.
func (p *Principal) MayWriteAll() bool {
	return p.Tenant == "" && slices.ContainsFunc(p.Write, func(w telemetry.Pattern) bool { return w.Covers(Everything) })
}

func (p *Principal) inTenant(path string) bool {
	if p.Tenant == "" {
		return true
	}
	first, _, _ := strings.Cut(path, "/")
	return first == p.Tenant
}

// Everybody is who speaks to an open server.
func Everybody() *Principal {
	all := []telemetry.Pattern{Everything}
	return &Principal{
		Subject: "anonymous", Method: MethodNone, Roles: []string{RoleAdmin, RoleDevice}, Read: all, Write: all}
}

// Everything is the pattern "#".
var Everything = mustPattern("#")

func mustPattern(text string) telemetry.Pattern {
	p, err := telemetry.ParsePattern(text)
	if err != nil {
		panic(err)
	}
	return p
}
