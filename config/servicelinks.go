package config

import "regexp"

// Kubernetes tells every container about the Services of its namespace in variables that begin with the
// Service's name, as Docker's links did. A Service called weir, or weir-ingest, so comes into the way of Weir's
// own variables. Those that hold a port's address can be told from a setting misspelt by their value.
var (
	linkName    = regexp.MustCompile(`^WEIR_(.+_)?(SERVICE_(HOST|PORT(_.+)?)|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)$`)
	linkPort    = regexp.MustCompile(`^WEIR_(.+_)?PORT$`)
	linkAddress = regexp.MustCompile(`^(tcp|udp|sctp)://`)
)

// serviceLink reports whether a variable tells of a Service rather than sets something.
func serviceLink(key, value string) bool {
	return linkName.MatchString(key) || linkPort.MatchString(key) && linkAddress.MatchString(value)
}
