// Package wsdial opens WebSockets as a client, and tells a person what to do when that fails.
package wsdial

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"syscall"
	"time"

	"github.com/lxzan/gws"
)

// Limits of a client: how long opening may take, and the largest message it takes.
const (
	Timeout    = 5 * time.Second
	MaxMessage = 64 << 20
)

// Dial connects to url (ws:// or wss://), which ends when ctx does. The caller runs ReadLoop on the
// connection. A failure is an *Error.
func Dial(ctx context.Context, url string, handler gws.Event, header http.Header) (*gws.Conn, error) {
	if err := CheckURL(url); err != nil {
		return nil, err
	}
	dialer := &contextDialer{ctx: ctx}
	//nolint:bodyclose // gws hands out the answer to an upgrade, whose body is the connection itself
	conn, resp, err := gws.NewClient(handler, &gws.ClientOption{
		Addr:               url,
		RequestHeader:      header,
		HandshakeTimeout:   Timeout,
		ReadMaxPayloadSize: MaxMessage,
		NewDialer:          func() (gws.Dialer, error) { return dialer, nil },
	})
	dialer.release()
	if err != nil {
		failure := &Error{URL: url, Err: err}
		if resp != nil {
			failure.Status = resp.StatusCode
		}
		return nil, failure
	}
	return conn, nil
}

// CheckURL reports what is wrong with an address before anything is opened.
func CheckURL(text string) error {
	u, err := url.Parse(text)
	if err != nil || (u.Scheme != "ws" && u.Scheme != "wss") || u.Host == "" {
		return &Error{URL: text, Err: errScheme}
	}
	return nil
}

// contextDialer ends the dial and the handshake with ctx, which gws does not know.
type contextDialer struct {
	ctx  context.Context
	stop func() bool
}

func (d *contextDialer) Dial(network, addr string) (net.Conn, error) {
	dialer := net.Dialer{Timeout: Timeout}
	conn, err := dialer.DialContext(d.ctx, network, addr)
	if err != nil {
		return nil, err
	}
	d.stop = context.AfterFunc(d.ctx, func() { conn.Close() })
	return conn, nil
}

// release lets the connection live on after ctx has ended.
func (d *contextDialer) release() {
	if d.stop != nil {
		d.stop()
	}
}

var errScheme = errors.New("not a WebSocket address")

// Error is a connection that could not be opened. Status is that of the HTTP answer, 0 without one.
type Error struct {
	URL    string
	Status int
	Err    error
}

func (e *Error) Error() string {
	reason := e.Err.Error()
	var errno syscall.Errno
	switch {
	case e.Status > 0:
		reason = fmt.Sprintf("the server answered %d %s", e.Status, http.StatusText(e.Status))
	case errors.As(e.Err, &errno):
		reason = errno.Error()
	}
	return fmt.Sprintf("connect to %s: %s", e.URL, reason)
}

func (e *Error) Unwrap() error { return e.Err }

// Hint says what to do next, or nothing when that is not known.
func (e *Error) Hint() string {
	var dns *net.DNSError
	switch {
	case errors.Is(e.Err, errScheme):
		return "pass --url ws://HOST:PORT/… (or wss://… for TLS)"
	case errors.Is(e.Err, syscall.ECONNREFUSED):
		return "nothing listens there: is `weir serve` running? pass --url for another address"
	case errors.As(e.Err, &dns):
		return "the host name is not known: check --url"
	case e.Status == http.StatusUnauthorized, e.Status == http.StatusForbidden:
		return "the server wants other credentials: pass --token or set WEIR_TOKEN"
	case e.Status == http.StatusNotFound:
		return "something listens there, but not at this path: check --url"
	case e.Status == http.StatusServiceUnavailable:
		return "the server is starting or stopping: try again"
	case e.Status > 0:
		return "something listens there, but it does not speak Weir's WebSocket: check --url"
	case errors.Is(e.Err, os.ErrDeadlineExceeded), errors.Is(e.Err, context.DeadlineExceeded):
		return "no answer in time: check --url and firewalls between"
	}
	return ""
}
