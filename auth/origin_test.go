package auth

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestOriginPolicy(t *testing.T) {
	listed := OriginPolicy{Allowed: []string{"https://Dash.example.com", "http://wall.example.com:8080/"}}
	for _, tc := range []struct {
		name   string
		policy OriginPolicy
		host   string
		origin []string
		want   bool
	}{
		{"no origin is not a browser", OriginPolicy{}, "weir:8080", nil, true},
		{"same host and port", OriginPolicy{}, "weir:8080", []string{"http://weir:8080"}, true},
		{"same host in another case", OriginPolicy{}, "Weir:8080", []string{"http://wEIR:8080"}, true},
		{"same host behind a TLS proxy", OriginPolicy{}, "weir.example.com", []string{"https://weir.example.com"}, true},
		{"default port written out", OriginPolicy{}, "weir.example.com:443", []string{"https://weir.example.com"}, true},
		{"IPv6", OriginPolicy{}, "[::1]:8080", []string{"http://[::1]:8080"}, true},
		{"IPv6 without port", OriginPolicy{}, "[::1]", []string{"http://[::1]"}, true},
		{"other port is foreign", OriginPolicy{}, "weir:8080", []string{"http://weir:9090"}, false},
		{"other host is foreign", OriginPolicy{}, "weir:8080", []string{"http://evil.example"}, false},
		{"suffix is foreign", OriginPolicy{}, "weir", []string{"http://weir.evil.example"}, false},
		{"user part does not deceive", OriginPolicy{}, "weir", []string{"http://weir@evil.example"}, false},
		{"null is refused", OriginPolicy{}, "weir:8080", []string{"null"}, false},
		{"empty is refused", OriginPolicy{}, "weir:8080", []string{""}, false},
		{"two headers are refused", OriginPolicy{}, "weir", []string{"http://weir", "http://evil.example"}, false},
		{"listed", listed, "weir:8080", []string{"https://dash.example.com"}, true},
		{"listed with port and slash", listed, "weir:8080", []string{"http://wall.example.com:8080"}, true},
		{"listed for another scheme only", listed, "weir:8080", []string{"http://dash.example.com"}, false},
		{"all allowed", OriginPolicy{AllowAll: true}, "weir:8080", []string{"null"}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "/v1/live", nil)
			r.Host = tc.host
			for _, o := range tc.origin {
				r.Header.Add("Origin", o)
			}
			if got := tc.policy.Allow(r); got != tc.want {
				t.Errorf("Allow(host %q, origin %q) = %v, want %v", tc.host, tc.origin, got, tc.want)
			}
		})
	}
}
