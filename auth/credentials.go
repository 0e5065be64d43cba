package auth

import (
	"net/http"
	"net/url"
	"strings"
)

const (
	cookieSession = "weir_session"
	// SubprotocolToken begins the WebSocket subprotocol that carries credentials. It is offered, never chosen.
	SubprotocolToken = "weir.token."
	headerKey        = "X-API-Key"
	parameterToken   = "access_token"
	// maxCredential is the longest API key or token that is looked at, in bytes.
	maxCredential = 16 << 10
)

// credentialOf is the first credential of a request in the order of the documentation. A cookie comes along without
// being asked for, which method tells.
func credentialOf(r *http.Request) (credential string, fromCookie bool) {
	if scheme, rest, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok && strings.EqualFold(scheme, "Bearer") {
		if rest = strings.TrimSpace(rest); rest != "" {
			return rest, false
		}
	}
	if key := r.Header.Get(headerKey); key != "" {
		return key, false
	}
	if r.Header.Get("Cookie") != "" {
		if c, err := r.Cookie(cookieSession); err == nil && c.Value != "" {
			return c.Value, true
		}
	}
	for _, line := range r.Header["Sec-Websocket-Protocol"] {
		for offer := range strings.SplitSeq(line, ",") {
			if token, ok := strings.CutPrefix(strings.TrimSpace(offer), SubprotocolToken); ok && token != "" {
				return token, false
			}
		}
	}
	return queryToken(r.URL), false
}

func queryToken(u *url.URL) string {
	if u == nil || !strings.Contains(u.RawQuery, parameterToken) {
		return ""
	}
	return u.Query().Get(parameterToken)
}

// Subprotocols are those that a WebSocket handshake offers, but for those that carry credentials.
func Subprotocols(h http.Header) []string {
	var names []string
	for _, name := range strings.Split(strings.Join(h.Values("Sec-WebSocket-Protocol"), ","), ",") {
		if name = strings.TrimSpace(name); name != "" && !strings.HasPrefix(name, SubprotocolToken) {
			names = append(names, name)
		}
	}
	return names
}
