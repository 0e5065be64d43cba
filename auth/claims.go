package auth

import (
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"weir/wire"
)

const (
	ownIssuer = "weir"
	// Weir's own tokens say what they are for, so that one cannot pass for another.
	audienceAccess  = "weir"
	audienceRefresh = "weir/refresh"
	audienceSignIn  = "weir/oidc"
	// leeway is how far the clock of another issuer may be off.
	leeway = 30 * time.Second
)

// claims of a token. The last six only count in Weir's own.
type claims struct {
	Issuer    string           `json:"iss,omitempty"`
	Subject   string           `json:"sub,omitempty"`
	Audience  jwt.ClaimStrings `json:"aud,omitempty"`
	Expires   *seconds         `json:"exp,omitempty"`
	NotBefore *seconds         `json:"nbf,omitempty"`
	Issued    *seconds         `json:"iat,omitempty"`
	ID        string           `json:"jti,omitempty"`
	claimedRights

	KeyID  string        `json:"key,omitempty"`
	Secret string        `json:"sec,omitempty"` // id of the API key's secret
	Family string        `json:"fam,omitempty"`
	Parent string        `json:"parent,omitempty"`
	Root   *seconds      `json:"root,omitempty"` // when the credentials were issued that a session was made of
	SignIn *signInClaims `json:"sign_in,omitempty"`
}

type claimedRights struct {
	Tenant string   `json:"tenant,omitempty"`
	Roles  textList `json:"roles,omitempty"`
	Read   textList `json:"read,omitempty"`
	Write  textList `json:"write,omitempty"`

	Rooms   []RoomRights `json:"rooms,omitzero"` // not omitempty: an empty list takes what roles would give
	Publish bool         `json:"publish,omitempty"`
}

func claimed(p *Principal) claimedRights {
	return claimedRights{
		Tenant: p.Tenant, Roles: p.Roles, Read: texts(p.Read), Write: texts(p.Write), Rooms: roomTexts(p.Rooms), Publish: p.Publish}
}

// check compares what the claims say with the clock and with who they have to be from and for. early is how long
// before its time, and late how long after it, a token is still taken.
func (c *claims) check(now time.Time, early, late time.Duration, issuer, audience string) *wire.Error {
	switch {
	case c.Expires == nil, issuer != "" && c.Issuer != issuer, audience != "" && !slices.Contains(c.Audience, audience):
		return wire.NewError(wire.CodeTokenInvalid, "")
	case !now.Before(c.Expires.Time().Add(late)):
		return wire.NewError(wire.CodeTokenExpired, "")
	case c.NotBefore != nil && now.Add(early).Before(c.NotBefore.Time()),
		// What claims to be of the future would outlive the revocation of its subject.
		c.Issued != nil && now.Add(early).Before(c.Issued.Time()):
		return wire.NewError(wire.CodeTokenInvalid, "")
	}
	return nil
}

// principal is who a token speaks for.
func (c *claims) principal(own bool) (*Principal, *wire.Error) {
	p := &Principal{Subject: c.Subject, Method: MethodToken, TokenID: c.ID, Expires: c.Expires.Time()}
	if c.Issued != nil {
		p.Issued = c.Issued.Time()
	}
	if own {
		p.KeyID, p.secret, p.Family, p.parent = c.KeyID, c.Secret, c.Family, c.Parent
		if c.Root != nil {
			p.derived, p.rooted = true, c.Root.Time()
		}
	}
	if c.Subject == "" || !validLabel(c.Subject, maxSubject) {
		return nil, wire.NewError(wire.CodeTokenInvalid, "sub")
	}
	given := rights{Tenant: c.Tenant, Roles: c.Roles.words(), Read: c.Read, Write: c.Write, Rooms: c.Rooms, Publish: c.Publish}
	if e := given.apply(p); e != nil {
		return nil, wire.NewError(wire.CodeTokenInvalid, e.Path)
	}
	return p, nil
}

// The methods that jwt.Claims asks for. The package's own validation is not used: it knows no codes.

func (c *claims) GetExpirationTime() (*jwt.NumericDate, error) { return c.Expires.date(), nil }
func (c *claims) GetIssuedAt() (*jwt.NumericDate, error)       { return c.Issued.date(), nil }
func (c *claims) GetNotBefore() (*jwt.NumericDate, error)      { return c.NotBefore.date(), nil }
func (c *claims) GetIssuer() (string, error)                   { return c.Issuer, nil }
func (c *claims) GetSubject() (string, error)                  { return c.Subject, nil }
func (c *claims) GetAudience() (jwt.ClaimStrings, error)       { return c.Audience, nil }

// seconds is a time as RFC 7519 writes it, to the microsecond: a token made after a revocation must be told from one
// made before it.
type seconds int64 // microseconds since 1970

func at(t time.Time) *seconds {
	s := seconds(t.UnixMicro())
	return &s
}

// atOr1970 is at for a time that may be zero, unknown.
func atOr1970(t time.Time) *seconds {
	if t.Before(time.Unix(0, 0)) {
		t = time.Unix(0, 0)
	}
	return at(t)
}

// Time is the time.
func (s seconds) Time() time.Time { return time.UnixMicro(int64(s)) }

func (s *seconds) date() *jwt.NumericDate {
	if s == nil {
		return nil
	}
	return &jwt.NumericDate{Time: s.Time()}
}

// MarshalJSON writes whole seconds when it can.
func (s seconds) MarshalJSON() ([]byte, error) {
	if s%1e6 == 0 {
		return strconv.AppendInt(nil, int64(s)/1e6, 10), nil
	}
	return strconv.AppendFloat(nil, float64(s)/1e6, 'f', 6, 64), nil
}

var errTime = errors.New("not a time")

// UnmarshalJSON refuses what is no time of the next centuries.
func (s *seconds) UnmarshalJSON(text []byte) error {
	f, err := strconv.ParseFloat(string(text), 64)
	if err != nil || math.IsNaN(f) || f < 0 || f > 1e10 {
		return errTime
	}
	*s = seconds(math.Round(f * 1e6))
	return nil
}

// textList is a list of texts, or a single text.
type textList []string

// UnmarshalJSON implements json.Unmarshaler.
func (l *textList) UnmarshalJSON(text []byte) error {
	if len(text) > 0 && text[0] == '"' {
		*l = make(textList, 1)
		return json.Unmarshal(text, &(*l)[0])
	}
	return json.Unmarshal(text, (*[]string)(l))
}

// words are the texts, those with spaces divided: some issuers send "viewer operator".
func (l textList) words() []string {
	var out []string
	for _, text := range l {
		out = append(out, strings.Fields(text)...)
	}
	return out
}
