package wire

import (
	"strconv"
	"time"
)

// MaxTokenBytes bounds the credentials of an Auth message.
const MaxTokenBytes = 16 << 10

// Auth brings credentials over a connection that is open: an API key, a JWT, or a refresh token. It is the first message
// of a client whose request had none; later it renews them.
type Auth struct {
	Token string `json:"token"`
	// RefreshToken is used up, and renewed with the answer. One of the two is given.
	RefreshToken string `json:"refresh_token"`
}

// Authenticated answers Auth.
type Authenticated struct {
	Subject string   `json:"subject"`
	Roles   []string `json:"roles"`
	// Read are patterns of the series that may be subscribed to; nil where nothing is.
	Read []string `json:"read,omitempty"`
	// ExpiresAt is when the credentials end, zero: never.
	ExpiresAt time.Time `json:"expires_at,omitzero"`
	// AccessToken and RefreshToken answer an Auth that brought a refresh token: what to connect with, and what to
	// renew that with, until RefreshExpiresAt.
	AccessToken      string    `json:"access_token,omitempty"`
	RefreshToken     string    `json:"refresh_token,omitempty"`
	RefreshExpiresAt time.Time `json:"refresh_expires_at,omitzero"`
}

// TokenExpiring announces that the credentials end soon; Auth with new ones keeps the connection.
type TokenExpiring struct {
	ExpiresAt time.Time `json:"expires_at"`
}

// Append appends the message.
func (m *Auth) Append(dst []byte) []byte {
	dst = head(dst, TypeAuth)
	if m.RefreshToken != "" {
		dst = stringField(dst, `{"refresh_token":`, m.RefreshToken)
	} else {
		dst = stringField(dst, `{"token":`, m.Token)
	}
	return append(dst, "}}"...)
}

// Append appends the message.
func (m *Authenticated) Append(dst []byte) []byte {
	dst = head(dst, TypeAuthenticated)
	dst = stringField(dst, `{"subject":`, m.Subject)
	dst = stringsField(dst, `,"roles":`, m.Roles)
	if len(m.Read) > 0 {
		dst = stringsField(dst, `,"read":`, m.Read)
	}
	if !m.ExpiresAt.IsZero() {
		dst = timeField(dst, `,"expires_at":`, m.ExpiresAt)
	}
	if m.RefreshToken != "" {
		dst = stringField(dst, `,"access_token":`, m.AccessToken)
		dst = stringField(dst, `,"refresh_token":`, m.RefreshToken)
		dst = timeField(dst, `,"refresh_expires_at":`, m.RefreshExpiresAt)
	}
	return append(dst, "}}"...)
}

// Append appends the message.
func (m *TokenExpiring) Append(dst []byte) []byte {
	dst = head(dst, TypeTokenExpiring)
	dst = timeField(dst, `{"expires_at":`, m.ExpiresAt)
	return append(dst, "}}"...)
}

func stringsField(dst []byte, name string, values []string) []byte {
	dst = append(append(dst, name...), '[')
	for i, v := range values {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendString(dst, v)
	}
	return append(dst, ']')
}

// timeField appends a time to the second, by RFC 3339 in UTC.
func timeField(dst []byte, name string, t time.Time) []byte {
	return strconv.AppendQuote(append(dst, name...), t.UTC().Format(time.RFC3339))
}
