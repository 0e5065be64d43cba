package remote

import (
	"net/http"
	"net/netip"
	"testing"
)

func TestOnlyTrustedProxiesAreBelieved(t *testing.T) {
	proxies, err := ParseProxies([]string{"10.0.0.0/8", "192.0.2.7", "2001:db8::/32"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, peer string
		forwarded  []string
		want       string
	}{
		{"no proxy", "198.51.100.1:4000", nil, "198.51.100.1"},
		{"a stranger's word", "198.51.100.1:4000", []string{"203.0.113.5"}, "198.51.100.1"},
		{"a proxy's word", "10.1.2.3:4000", []string{"203.0.113.5"}, "203.0.113.5"},
		{"what a stranger told a proxy", "10.1.2.3:4000", []string{"1.1.1.1, 203.0.113.5"}, "203.0.113.5"},
		{"two proxies", "10.1.2.3:4000", []string{"203.0.113.5, 192.0.2.7"}, "203.0.113.5"},
		{"two headers", "10.1.2.3:4000", []string{"1.1.1.1", "203.0.113.5"}, "203.0.113.5"},
		{"proxies only", "10.1.2.3:4000", []string{"10.9.9.9"}, "10.9.9.9"},
		{"nothing said", "10.1.2.3:4000", nil, "10.1.2.3"},
		{"nonsense", "10.1.2.3:4000", []string{"203.0.113.5, unknown"}, "10.1.2.3"},
		{"with a port", "10.1.2.3:4000", []string{"203.0.113.5:812"}, "203.0.113.5"},
		{"IPv6", "[2001:db8::1]:4000", []string{"2001:db9::2"}, "2001:db9::2"},
		{"IPv4 in IPv6", "[::ffff:10.1.2.3]:4000", []string{"::ffff:203.0.113.5"}, "203.0.113.5"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := &http.Request{RemoteAddr: c.peer, Header: http.Header{"X-Forwarded-For": c.forwarded}}
			if got := proxies.Address(r).String(); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
	if a := proxies.Address(&http.Request{RemoteAddr: "@"}); a.IsValid() {
		t.Errorf("a Unix socket has address %s", a)
	}
}

func TestWhatIsNoNetworkIsNamed(t *testing.T) {
	if _, err := ParseProxies([]string{"10.0.0.0/8", "proxy.example"}); err == nil {
		t.Error("accepted")
	}
}

func TestAddressesAreCountedByHostOrNetwork(t *testing.T) {
	for text, want := range map[string]string{
		"192.0.2.7":            "192.0.2.7/32",
		"::ffff:192.0.2.7":     "192.0.2.7/32",
		"2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64",
		"2001:db8:1:2:ffff::1": "2001:db8:1:2::/64",
		"fe80::1%eth0":         "fe80::/64",
	} {
		a := netip.MustParseAddr(text)
		if Network(a).String() != want || Holder(a) != Network(a) {
			t.Errorf("%s counts as %s, want %s", text, Network(a), want)
		}
	}
	if Network(netip.Addr{}).IsValid() { // of a Unix socket
		t.Error("no address counts as one")
	}
	for _, here := range []string{"127.0.0.1", "::1"} {
		if a := netip.MustParseAddr(here); Holder(a).IsValid() || !Network(a).IsValid() {
			t.Errorf("%s: %s, %s", here, Holder(a), Network(a))
		}
	}
}
