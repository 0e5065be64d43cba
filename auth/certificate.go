package auth

import (
	"crypto/tls"
	"crypto/x509"
	"path"
	"slices"
	"strings"

	"weir/telemetry"
)

// namePlace, in the patterns of a CertificateRule, stands for the name that matched.
const namePlace = "{name}"

// certificatePrincipal is who a verified client certificate speaks for, by the first rule that fits; nil if it came
// without one or no rule does.
func certificatePrincipal(rules []CertificateRule, state *tls.ConnectionState) *Principal {
	// A certificate counts when it was verified: a listener may ask for one and take any.
	if state == nil || len(state.PeerCertificates) == 0 || len(state.VerifiedChains) == 0 {
		return nil
	}
	certificate := state.PeerCertificates[0]
	for i := range rules {
		for _, name := range namesOf(certificate) {
			if ok, err := path.Match(rules[i].Subject, name); err == nil && ok {
				return rules[i].principal(certificate, name)
			}
		}
	}
	return nil
}

func namesOf(c *x509.Certificate) []string {
	names := append([]string{}, c.DNSNames...)
	names = append(names, c.EmailAddresses...)
	for _, u := range c.URIs {
		names = append(names, u.String())
	}
	if c.Subject.CommonName != "" {
		names = append([]string{c.Subject.CommonName}, names...)
	}
	return names
}

// principal is nil when the name cannot stand in the patterns: one with a wildcard would widen them.
func (r *CertificateRule) principal(c *x509.Certificate, name string) *Principal {
	patterns := slices.Concat(r.Read, r.Write)
	for _, rooms := range r.Rooms {
		patterns = append(patterns, rooms.Rooms...)
	}
	uses := strings.Contains(strings.Join(patterns, " "), namePlace)
	if uses && telemetry.CheckMetric(name) != nil || !validLabel(name, maxSubject) {
		return nil
	}
	named := strings.NewReplacer(namePlace, name)
	p := &Principal{Subject: name, Method: MethodCertificate, Issued: c.NotBefore, Expires: c.NotAfter}
	if r.rights(named).apply(p) != nil {
		return nil
	}
	return p
}

func (r *CertificateRule) rights(named *strings.Replacer) *rights {
	return &rights{
		Tenant: r.Tenant, Roles: r.Roles, Read: replaced(named, r.Read), Write: replaced(named, r.Write),
		Rooms: replacedRooms(named, r.Rooms), Publish: r.Publish,
	}
}
