package device

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/lxzan/gws"

	"weir/wire"
)

const (
	dialTimeout = 15 * time.Second
	// readBuffer keeps an idle connection small; payloads are read past it.
	readBuffer = 512
)

// dialAside dials on another goroutine's stack: that gets large, and run's would stay so.
func (c *Client) dialAside(ctx context.Context, token string) (l *link, err error) {
	var aside sync.WaitGroup
	aside.Go(func() { l, err = c.dial(ctx, token) })
	aside.Wait()
	return l, err
}

// dial opens a connection, within dialTimeout and as long as ctx lasts.
func (c *Client) dial(ctx context.Context, token string) (*link, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	l := newLink()
	//nolint:bodyclose // the body of the answer to an upgrade is the connection itself
	conn, resp, err := c.handshake(ctx, token, l)
	if err != nil {
		return nil, dialError(ctx, c.o.URL, resp, err)
	}
	l.start(conn)
	return l, nil
}

func dialError(ctx context.Context, address string, resp *http.Response, err error) *DialError {
	failure := &DialError{URL: bare(address), Err: err}
	if resp != nil {
		failure.Status, failure.RetryAfter = resp.StatusCode, retryAfter(resp.Header)
	}
	if ctx.Err() != nil {
		failure.Err = ctx.Err()
	}
	return failure
}

//nolint:bodyclose // gws hands out the answer to an upgrade, whose body is the connection itself
func (c *Client) handshake(ctx context.Context, token string, l *link) (*gws.Conn, *http.Response, error) {
	to := endpoint{url: c.address(), tls: c.o.TLS, dial: c.o.Dial}
	return to.shake(ctx, l, &gws.ClientOption{
		RequestHeader: c.header(token), ReadMaxPayloadSize: wire.MaxFrameBytes,
		PermessageDeflate: gws.PermessageDeflate{Enabled: c.o.Compress},
	})
}

// endpoint is where connections lead to.
type endpoint struct {
	url  string
	tls  *tls.Config
	dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// shake opens a connection within dialTimeout and as long as ctx lasts, with what the option says and it does not.
//
//nolint:bodyclose // gws hands out the answer to an upgrade, whose body is the connection itself
func (e endpoint) shake(ctx context.Context, handler gws.Event, o *gws.ClientOption) (*gws.Conn, *http.Response, error) {
	raw, err := e.open(ctx)
	if err != nil {
		return nil, nil, err
	}
	stop := context.AfterFunc(ctx, func() { raw.Close() })
	defer stop()
	o.Addr, o.HandshakeTimeout, o.ReadBufferSize = e.url, dialTimeout, readBuffer
	// Without takeover of contexts a connection needs no window of its own.
	o.PermessageDeflate.Threshold = 256
	conn, resp, err := gws.NewClientFromConn(handler, o, raw)
	return conn, resp, err
}

// address names the device, so that the server knows whose commands to send before any frame has come.
func (c *Client) address() string {
	u, err := url.Parse(c.o.URL)
	if err != nil {
		return c.o.URL
	}
	q := u.Query()
	if !q.Has("device") {
		q.Set("device", c.o.Device)
		u.RawQuery = q.Encode()
	}
	return u.String()
}

// bare is an address without what may be secret in it.
func bare(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}

func (c *Client) header(token string) http.Header {
	header := c.o.Header.Clone()
	if header == nil {
		header = make(http.Header)
	}
	if token != "" && !c.o.TokenInMessage {
		header.Set("Authorization", "Bearer "+token)
	}
	if c.o.Columns {
		header.Set("Sec-WebSocket-Protocol", "weir.v1.columns")
	}
	return header
}

// open opens the network connection, with TLS if the address says so.
func (e endpoint) open(ctx context.Context) (net.Conn, error) {
	u, err := url.Parse(e.url)
	if err != nil {
		return nil, err
	}
	secure, port := u.Scheme == "wss", u.Port()
	switch {
	case port == "" && secure:
		port = "443"
	case port == "":
		port = "80"
	}
	raw, err := e.dial(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
	if err != nil || !secure {
		return raw, err
	}
	config := e.tls.Clone()
	if config == nil {
		config = new(tls.Config)
	}
	if config.ServerName == "" {
		config.ServerName = u.Hostname()
	}
	conn := tls.Client(raw, config)
	if err := conn.HandshakeContext(ctx); err != nil {
		raw.Close()
		return nil, err
	}
	return conn, nil
}

func retryAfter(h http.Header) time.Duration {
	seconds, err := strconv.Atoi(h.Get("Retry-After"))
	if err != nil || seconds < 0 {
		return 0
	}
	return time.Duration(min(seconds, 3600)) * time.Second
}
