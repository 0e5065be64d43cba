// Package remote tells from where a request comes, behind proxies too.
package remote

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
)

// Proxies are the networks whose word on where a request comes from is taken. The zero value takes nobody's.
type Proxies []netip.Prefix

// ParseProxies reads addresses and networks, such as 10.0.0.0/8.
func ParseProxies(texts []string) (Proxies, error) {
	var p Proxies
	for _, text := range texts {
		network, err := netip.ParsePrefix(text)
		if err != nil {
			a, err := netip.ParseAddr(text)
			if err != nil {
				return nil, fmt.Errorf("%q is neither an address nor a network such as 10.0.0.0/8", text)
			}
			network = netip.PrefixFrom(a, a.BitLen())
		}
		p = append(p, network.Masked())
	}
	return p, nil
}

// Address is where the request comes from: the peer, or behind proxies of p what the last one that is not of p is
// said to be in X-Forwarded-For, read from the end. It is invalid when the peer has no IP address, as on a Unix socket.
func (p Proxies) Address(r *http.Request) netip.Addr {
	at := peer(r.RemoteAddr)
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0 && p.trust(at); i-- {
		before, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			if before = peer(strings.TrimSpace(hops[i])); !before.IsValid() {
				break
			}
		}
		at = before.Unmap()
	}
	return at
}

// Trusts reports whether the request's peer is one of p.
func (p Proxies) Trusts(r *http.Request) bool { return p.trust(peer(r.RemoteAddr)) }

func (p Proxies) trust(a netip.Addr) bool {
	for _, network := range p {
		if network.Contains(a) {
			return true
		}
	}
	return false
}

func peer(hostport string) netip.Addr {
	a, err := netip.ParseAddrPort(hostport)
	if err != nil {
		return netip.Addr{}
	}
	return a.Addr().Unmap()
}

// Network is what an address is counted as: an IPv6 host has 2^64 addresses to choose from. It is zero for an address
// that is not valid.
func Network(a netip.Addr) netip.Prefix {
	a = a.Unmap().WithZone("")
	bits := 32
	if a.Is6() {
		bits = 64
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}

// Holder is under what an address's connections are counted: its Network, or zero for those that are not: of the machine
// itself, as of a proxy there that nobody declared, and of peers without an address.
func Holder(a netip.Addr) netip.Prefix {
	if a.IsLoopback() {
		return netip.Prefix{}
	}
	return Network(a)
}
