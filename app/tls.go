package app

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"weir/config"
)

// certificateCheck is how often, at most, a handshake looks whether the files have changed.
const certificateCheck = time.Second

// secure serves TLS on l when there is a certificate. HTTP/2 is not offered: WebSockets are upgraded from
// HTTP/1.1 by every client there is.
func (a *App) secure(l net.Listener) (net.Listener, error) {
	c := &a.opts.Config.TLS
	if c.CertFile == "" {
		return l, nil
	}
	files := &certificate{config: *c, log: a.log}
	if err := files.load(); err != nil {
		return nil, err
	}
	a.set.NewGauge(`weir_tls_certificate_not_after_seconds`, files.notAfter)
	return tls.NewListener(l, &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"http/1.1"},
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			return files.current(), nil
		},
	}), nil
}

// certificate is the server's, and whose clients' certificates count, as the files have them. Files that change
// are read anew; ones that cannot be used then leave those before in force.
type certificate struct {
	config config.TLS
	log    *slog.Logger

	mu      sync.Mutex
	checked time.Time
	state   [3]fileState
	tls     *tls.Config
	expires time.Time
}

type fileState struct {
	modified time.Time
	size     int64
}

func (f *certificate) files() [3]string {
	return [3]string{f.config.CertFile, f.config.KeyFile, f.config.ClientCAFile}
}

// current is what the next connection gets.
func (f *certificate) current() *tls.Config {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now := time.Now(); now.Sub(f.checked) >= certificateCheck {
		f.checked = now
		if state, err := f.look(); err != nil || state != f.state {
			f.reload(err)
		}
	}
	return f.tls
}

func (f *certificate) reload(err error) {
	if err == nil {
		err = f.load()
	}
	if err != nil {
		f.log.Error("certificate not reloaded; the one before goes on", "error", err, "expires", f.expires)
		return
	}
	f.log.Info("certificate reloaded", "expires", f.expires)
}

// look tells whether a file has changed.
func (f *certificate) look() ([3]fileState, error) {
	var state [3]fileState
	for i, name := range f.files() {
		if name == "" {
			continue
		}
		info, err := os.Stat(name)
		if err != nil {
			return state, err
		}
		state[i] = fileState{info.ModTime(), info.Size()}
	}
	return state, nil
}

func (f *certificate) load() error {
	state, err := f.look()
	if err != nil {
		return fmt.Errorf("tls: %w", err)
	}
	pair, err := tls.LoadX509KeyPair(f.config.CertFile, f.config.KeyFile)
	if err != nil {
		return fmt.Errorf("tls.cert_file, tls.key_file: %w", err)
	}
	loaded := &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}, Certificates: []tls.Certificate{pair}}
	if f.config.ClientCAFile != "" {
		pem, err := os.ReadFile(f.config.ClientCAFile)
		if err != nil {
			return fmt.Errorf("tls.client_ca_file: %w", err)
		}
		loaded.ClientCAs = x509.NewCertPool()
		if !loaded.ClientCAs.AppendCertsFromPEM(pem) {
			return errors.New("tls.client_ca_file: holds no certificate")
		}
		loaded.ClientAuth = tls.VerifyClientCertIfGiven
		if f.config.ClientCertificates == config.CertificatesRequired {
			loaded.ClientAuth = tls.RequireAndVerifyClientCert
		}
	}
	// Tickets of before would be accepted without looking at the client's certificate again.
	loaded.SessionTicketsDisabled = loaded.ClientCAs != nil
	f.state, f.tls, f.expires = state, loaded, pair.Leaf.NotAfter
	return nil
}

// notAfter is when the certificate expires, for an alert on it.
func (f *certificate) notAfter() float64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return float64(f.expires.Unix())
}
