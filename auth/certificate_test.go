package auth_test

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"weir/auth"
)

func TestVerifiedCertificatesSpeakForTheirSubject(t *testing.T) {
	w := open(t, func(o *auth.Options) {
		o.Config.Certificates = []auth.CertificateRule{
			{Subject: "*.devices.example", Tenant: "plant1", Roles: []string{"device"}, Write: []string{"plant1/{name}/#"},
				Rooms: []auth.RoomRights{{Rooms: []string{"plant1/{name}/#"}, May: []string{auth.RoomJoin}}}},
			{Subject: "spiffe://example/dash/*", Roles: []string{"viewer"}, Read: []string{"#"}},
		}
	}).run()
	uri, err := url.Parse("spiffe://example/dash/1")
	must(t, err)
	valid := x509.Certificate{NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	with := func(change func(*x509.Certificate)) *x509.Certificate { c := valid; change(&c); return &c }
	device := with(func(c *x509.Certificate) { c.Subject = pkix.Name{CommonName: "press7.devices.example"} })
	state := func(c *x509.Certificate, verified bool) *tls.ConnectionState {
		s := &tls.ConnectionState{PeerCertificates: []*x509.Certificate{c}}
		if verified {
			s.VerifiedChains = [][]*x509.Certificate{{c}}
		}
		return s
	}
	for name, c := range map[string]struct {
		state   *tls.ConnectionState
		subject string
		want    error
	}{
		"device":         {state(device, true), "press7.devices.example", nil},
		"by DNS name":    {state(with(func(c *x509.Certificate) { c.DNSNames = []string{"a.devices.example"} }), true), "a.devices.example", nil},
		"by URI":         {state(with(func(c *x509.Certificate) { c.URIs = []*url.URL{uri} }), true), "spiffe://example/dash/1", nil},
		"not verified":   {state(device, false), "", auth.ErrNoCredentials},
		"none":           {&tls.ConnectionState{}, "", auth.ErrNoCredentials},
		"plain":          {nil, "", auth.ErrNoCredentials},
		"no rule":        {state(with(func(c *x509.Certificate) { c.Subject.CommonName = "evil.example" }), true), "", auth.ErrNoCredentials},
		"wildcard name":  {state(with(func(c *x509.Certificate) { c.Subject.CommonName = "#.devices.example" }), true), "", auth.ErrNoCredentials},
		"reserved name":  {state(with(func(c *x509.Certificate) { c.Subject.CommonName = "_weir.devices.example" }), true), "", auth.ErrNoCredentials},
		"deeper by dots": {state(with(func(c *x509.Certificate) { c.DNSNames = []string{"a.devices.example.evil"} }), true), "", auth.ErrNoCredentials},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.TLS = c.state
		p, err := w.Request(r)
		if !errors.Is(err, c.want) || err == nil && (p.Subject != c.subject || p.Method != auth.MethodCertificate) {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
	}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.TLS = state(device, true)
	p, err := w.Request(r)
	must(t, err)
	if !p.MayWrite("plant1/press7.devices.example/axis") || p.MayWrite("plant1/other/axis") || p.Tenant != "plant1" ||
		!p.MayInRoom(auth.RoomJoin, "plant1/press7.devices.example/talk") || p.MayInRoom(auth.RoomJoin, "plant1/other/talk") {
		t.Errorf("%+v", p)
	}
	ended, stop := watchOf(w, p)
	defer stop()
	w.ask("POST", "/v1/revocations", w.operator(), object{"subject": "press7.devices.example"})
	wantEnd(t, ended, "token_revoked")
	if _, err := w.Request(r); err == nil {
		t.Error("a revoked subject is let in")
	}

	// Browsers send certificates along as they do cookies.
	r = httptest.NewRequest(http.MethodPost, "/act", nil)
	r.TLS = state(with(func(c *x509.Certificate) { c.DNSNames = []string{"b.devices.example"} }), true)
	r.Header.Set("Origin", "https://evil.example")
	if a := w.serve(r); a.status != 403 {
		t.Errorf("a foreign page acts with a certificate: %d", a.status)
	}
}
