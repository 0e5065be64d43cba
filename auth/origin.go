package auth

import (
	"net"
	"net/http"
	"net/url"
	"strings"
)

// OriginPolicy says from which web pages a WebSocket may be opened. Browsers let any page connect to
// any server and send the page's origin along; everything that is not a browser sends none.
// The zero value allows the server's own pages only.
type OriginPolicy struct {
	// Allowed lists further origins, each as scheme://host[:port], compared without regard to case.
	Allowed []string
	// AllowAll switches the check off.
	AllowAll bool
}

// Allow reports whether the request may be upgraded: it has no Origin header, its origin is the host it
// was sent to, or its origin is listed. The opaque origin "null" (a sandboxed frame, a local file) and
// several Origin headers are refused.
func (p OriginPolicy) Allow(r *http.Request) bool {
	if p.AllowAll {
		return true
	}
	headers := r.Header.Values("Origin")
	if len(headers) == 0 {
		return true
	}
	if len(headers) > 1 {
		return false
	}
	origin, err := url.Parse(headers[0])
	if err != nil || origin.Host == "" {
		return false
	}
	if sameHost(origin, r) {
		return true
	}
	for _, a := range p.Allowed {
		if strings.EqualFold(strings.TrimSuffix(a, "/"), origin.Scheme+"://"+origin.Host) {
			return true
		}
	}
	return false
}

// sameHost compares the origin's host and port with those the request was sent to. The scheme is left
// out: a proxy in front may have ended TLS.
func sameHost(origin *url.URL, r *http.Request) bool {
	host, port := splitHost(r.Host)
	if !strings.EqualFold(origin.Hostname(), host) {
		return false
	}
	originPort := origin.Port()
	if originPort == port {
		return true
	}
	return orDefault(originPort, origin.Scheme) == orDefault(port, origin.Scheme)
}

func splitHost(hostport string) (host, port string) {
	host, port, err := net.SplitHostPort(hostport)
	if err != nil {
		host = strings.TrimSuffix(strings.TrimPrefix(hostport, "["), "]")
		return host, ""
	}
	return host, port
}

func orDefault(port, scheme string) string {
	if port != "" {
		return port
	}
	if scheme == "https" {
		return "443"
	}
	return "80"
}
