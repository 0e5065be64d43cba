package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"net/url"
	"os"
	"strings"

	"weir/auth"
)

// credentialFlags say with what a tool shows a server who it is.
type credentialFlags struct {
	Token string `env:"WEIR_TOKEN" placeholder:"TOKEN" help:"API key or token to show the server; better in the variable, as others see a command line."`
	Data  string `type:"path" default:"data" env:"WEIR_DATA" placeholder:"DIR" help:"Data directory of a server on this machine, whose local key is used when there is no token."`
}

// Credential is what a server at an address is shown: the token, or the local key of a server on this machine. It is
// empty when there is neither: the server may be an open one.
func (c *credentialFlags) Credential(address string) (string, error) {
	if token := strings.TrimSpace(c.Token); token != "" {
		return token, nil
	}
	u, err := url.Parse(address)
	if err != nil || !loopbackHost(u.Hostname()) {
		return "", nil //nolint:nilerr // whoever dials says what is wrong with the address
	}
	text, err := os.ReadFile(auth.LocalKeyFile(c.Data))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("local key: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}

// loopbackHost: the local key is sent to this machine only.
func loopbackHost(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}
