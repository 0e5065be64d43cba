package auth

import (
	"net/url"
	"regexp"
	"strings"
)

// secretParameters of a query are not shown.
var secretParameters = map[string]bool{"access_token": true, "token": true, "code": true, "id_token": true, "client_secret": true}

// RedactURL is u for logs: without what would let its reader in.
func RedactURL(u *url.URL) string {
	if u == nil {
		return ""
	}
	shown := *u
	if u.User != nil {
		shown.User = url.User(redacted)
	}
	if u.Fragment != "" {
		shown.Fragment, shown.RawFragment = redacted, ""
	}
	pairs := strings.Split(u.RawQuery, "&")
	for i, pair := range pairs {
		name, value, _ := strings.Cut(pair, "=")
		plain, err := url.QueryUnescape(name)
		if value != "" && (err != nil || secretParameters[strings.ToLower(plain)]) {
			pairs[i] = name + "=" + redacted
		}
	}
	shown.RawQuery = strings.Join(pairs, "&")
	return RedactText(shown.String())
}

// credential is the form of an API key, or of a JWT: three parts of base64url, the first beginning with {".
var credential = regexp.MustCompile(`weir_[a-z0-9]+_[A-Za-z0-9_-]+|eyJ[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*`)

// RedactText is text for logs: without API keys and tokens.
func RedactText(text string) string { return credential.ReplaceAllString(text, redacted) }
