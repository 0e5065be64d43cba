package app

import (
	"net"
	"net/http"
	"slices"
	"strings"

	"weir/wire"
)

// hostGuard refuses requests for a host that this server is not. A page may have its own name point to
// 127.0.0.1 once it is loaded (DNS rebinding); to the browser, requests to this server then are of the
// page's own origin, and only the Host header shows what happened. Addresses are safe: rebinding needs a
// name.
type hostGuard struct {
	allowed []string
	// pagesOnly lets programs ask by any name: only browsers are led astray, and they say where a request
	// comes from.
	pagesOnly bool
	next      http.Handler
}

func (g hostGuard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if g.serves(r.Host) || g.pagesOnly && r.Header.Get("Origin") == "" && r.Header.Get("Sec-Fetch-Site") == "" {
		g.next.ServeHTTP(w, r)
		return
	}
	wire.WriteError(w, http.StatusMisdirectedRequest, &wire.Error{
		Code: wire.CodeOriginRefused, Path: "Host",
		Message: "this server does not answer for that host; the operator can name it in allowed_hosts",
	})
}

func (g hostGuard) serves(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = strings.TrimSuffix(strings.TrimPrefix(hostport, "["), "]")
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || net.ParseIP(host) != nil ||
		slices.ContainsFunc(g.allowed, func(a string) bool { return strings.EqualFold(a, host) })
}
