package app

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"weir/config"
)

// authority signs certificates for a test.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t}
	a.cert, a.key, a.pem, _ = a.make(&x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign})
	return a
}

// make signs a template, with the template itself while there is no authority.
func (a *authority) make(template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey, []byte, []byte) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(a.t, err)
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour)
	parent, signer := template, key
	if a.cert != nil {
		parent, signer = a.cert, a.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	must(a.t, err)
	cert, err := x509.ParseCertificate(der)
	must(a.t, err)
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	must(a.t, err)
	return cert, key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})
}

// issue writes a certificate and its key to dir.
func (a *authority) issue(dir, name string, serial int64) (certFile, keyFile string) {
	a.t.Helper()
	_, _, cert, key := a.make(&x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}})
	certFile, keyFile = filepath.Join(dir, name+".pem"), filepath.Join(dir, name+".key")
	must(a.t, os.WriteFile(certFile, cert, 0o600))
	must(a.t, os.WriteFile(keyFile, key, 0o600))
	return certFile, keyFile
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// handshake asks for /healthz by TLS and returns the server's serial number.
func (a *authority) handshake(url string, client ...tls.Certificate) (serial int64, err error) {
	roots := x509.NewCertPool()
	roots.AddCert(a.cert)
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: client}, ForceAttemptHTTP2: true, DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"healthz", nil)
	if err != nil {
		return 0, err
	}
	res, err := checked{a.t, transport}.RoundTrip(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	if res.ProtoMajor != 1 {
		a.t.Errorf("HTTP/%d was agreed on; WebSockets need 1.1", res.ProtoMajor)
	}
	return res.TLS.PeerCertificates[0].SerialNumber.Int64(), nil
}

// serveTLS runs the listener and what every process answers, without the stages.
func serveTLS(t *testing.T, c config.Config) *App {
	t.Helper()
	a, err := New(Options{Config: c})
	must(t, err)
	t.Cleanup(func() { must(t, a.Close()) })
	a.serveHTTP()
	if !strings.HasPrefix(a.URL(), "https://") {
		t.Fatalf("the server says it is at %s", a.URL())
	}
	return a
}

func TestACertificateThatChangesIsServedWithoutARestart(t *testing.T) {
	dir, ca := t.TempDir(), newAuthority(t)
	c := memory()
	c.TLS.CertFile, c.TLS.KeyFile = ca.issue(dir, "server", 10)
	a := serveTLS(t, c)
	if serial, err := ca.handshake(a.URL()); err != nil || serial != 10 {
		t.Fatalf("serial %d, %v", serial, err)
	}
	must(t, os.WriteFile(c.TLS.CertFile, []byte("half written"), 0o600))
	pastCheck(t, c.TLS.CertFile, time.Minute)
	if serial, err := ca.handshake(a.URL()); err != nil || serial != 10 {
		t.Fatalf("while the file is damaged: serial %d, %v", serial, err)
	}
	ca.issue(dir, "server", 11)
	pastCheck(t, c.TLS.CertFile, 2*time.Minute)
	eventually(t, "the new certificate", func() bool {
		serial, err := ca.handshake(a.URL())
		must(t, err)
		return serial == 11
	})
}

// pastCheck gives a file a time of its own, as writes within one tick of the clock look alike.
func pastCheck(t *testing.T, file string, ahead time.Duration) {
	t.Helper()
	at := time.Now().Add(ahead)
	must(t, os.Chtimes(file, at, at))
}

func TestClientCertificatesAreAskedForAsConfigured(t *testing.T) {
	dir, ca, foreign := t.TempDir(), newAuthority(t), newAuthority(t)
	authorities := filepath.Join(dir, "ca.pem")
	must(t, os.WriteFile(authorities, ca.pem, 0o600))
	good, err := tls.LoadX509KeyPair(ca.issue(dir, "device", 20))
	must(t, err)
	bad, err := tls.LoadX509KeyPair(foreign.issue(dir, "stranger", 21))
	must(t, err)
	for mode, withoutIsFine := range map[string]bool{config.CertificatesOptional: true, config.CertificatesRequired: false} {
		c := memory()
		c.TLS.CertFile, c.TLS.KeyFile = ca.issue(dir, "server", 10)
		c.TLS.ClientCAFile, c.TLS.ClientCertificates = authorities, mode
		a := serveTLS(t, c)
		if _, err := ca.handshake(a.URL(), good); err != nil {
			t.Errorf("%s: a good certificate: %v", mode, err)
		}
		if _, err := ca.handshake(a.URL()); (err == nil) != withoutIsFine {
			t.Errorf("%s: without a certificate: %v", mode, err)
		}
		// Both authorities have one name, so that the client sends it.
		if _, err := ca.handshake(a.URL(), bad); err == nil {
			t.Errorf("%s: a stranger's certificate was accepted", mode)
		}
	}
}

func TestTLSSettingsThatCannotWorkStopTheStart(t *testing.T) {
	dir, ca := t.TempDir(), newAuthority(t)
	cert, key := ca.issue(dir, "server", 10)
	for _, test := range []struct {
		tls  config.TLS
		want string
	}{
		{config.TLS{CertFile: cert}, "tls.cert_file, tls.key_file: "},
		{config.TLS{CertFile: cert, KeyFile: filepath.Join(dir, "absent")}, "tls: "},
		{config.TLS{CertFile: key, KeyFile: cert}, "tls.cert_file, tls.key_file: "},
		{config.TLS{ClientCAFile: cert}, "tls.client_ca_file: "},
		{config.TLS{CertFile: cert, KeyFile: key, ClientCAFile: key}, "tls.client_ca_file: "},
		{config.TLS{CertFile: cert, KeyFile: key, ClientCertificates: "sometimes"}, "tls.client_certificates: "},
	} {
		c := memory()
		if test.tls.ClientCertificates == "" {
			test.tls.ClientCertificates = config.CertificatesOptional
		}
		c.TLS = test.tls
		if err := refusal(t, c); !strings.Contains(err.Error(), test.want) {
			t.Errorf("%+v: %v", test.tls, err)
		}
	}
}
