package wsframe

import (
	"net/http"
	"strings"
)

// ExtensionsHeader has a client's offers of extensions, and the server's answer.
const ExtensionsHeader = "Sec-WebSocket-Extensions"

// Deflate is the name of the extension that compresses messages (RFC 7692).
const Deflate = "permessage-deflate"

// OffersDeflate reports whether a client offers permessage-deflate on terms that are met here: each message by itself, with
// whatever window the client likes. A client that bounds the server's window is served without.
func OffersDeflate(h http.Header) bool {
	for _, offer := range strings.Split(strings.Join(h.Values(ExtensionsHeader), ","), ",") {
		name, parameters, _ := strings.Cut(offer, ";")
		if strings.TrimSpace(name) == Deflate && acceptable(parameters) {
			return true
		}
	}
	return false
}

func acceptable(parameters string) bool {
	for _, parameter := range strings.Split(parameters, ";") {
		name, _, _ := strings.Cut(parameter, "=")
		switch strings.TrimSpace(name) {
		case "", "client_no_context_takeover", "server_no_context_takeover", "client_max_window_bits":
		default:
			return false
		}
	}
	return true
}
