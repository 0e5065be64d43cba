package device

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"time"

	"weir/telemetry"
	"weir/wire"
)

// Options set up a Client. URL and Device are needed; everything else has a default.
type Options struct {
	// URL is the ingest endpoint, such as wss://weir.example/v1/ingest.
	URL string
	// Device is the device's path, such as plant1/line3/press7.
	Device string

	// Token is a fixed credential, an API key or a JWT. TokenSource is asked for one before each connection
	// and when one is about to expire; it may use the network and must end with ctx. Set one of them, or
	// neither for a server that asks for none.
	Token       string
	TokenSource func(ctx context.Context) (string, error)
	// TokenInMessage sends the credential as the first message instead of the header Authorization, for
	// proxies that remove it.
	TokenInMessage bool

	// Session marks one life of the numbers that frames get. Empty draws one at random, or takes the one
	// that the disk buffer holds. A session of your own must never have been used before with other
	// content: the server would take new frames for old ones. At most 56 bytes. A buffer with NoSync needs
	// sessions of its choice.
	Session string
	// Buffer holds what has no receipt; nil is Memory(BufferLimits{}).
	Buffer *Buffer
	Batch  Batch
	// BacklogAfter is how long a frame may wait offline before it is sent as backlog, 5 min by default.
	// Negative: never.
	BacklogAfter time.Duration

	// Columns sends frames as protobuf instead of JSON: about a third of the bytes.
	Columns bool
	// Compress offers permessage-deflate.
	Compress bool

	Retry Retry
	// ReceiptTimeout is how long a frame may be without a receipt before the connection counts as dead,
	// 30 s by default.
	ReceiptTimeout time.Duration
	// KeepAlive is how long the server may be silent before it is pinged; after twice that time the
	// connection counts as dead. 30 s by default.
	KeepAlive time.Duration

	// TLS is for wss addresses: own authorities, client certificates.
	TLS *tls.Config
	// Dial opens network connections; nil is a net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Header is added to the handshake.
	Header http.Header

	// OnReceipt is told what became of each frame.
	OnReceipt func(Receipt)
	// OnRejected is told of each reading, or whole frame, that the server refused for good.
	OnRejected func(Rejection)
	// OnDropped is told of readings that DropOldest gave up. It runs in the goroutine of Send or Publish.
	OnDropped func(seq uint64, readings int)
	// OnConnection is told of each connection that opened, was lost, or could not be opened.
	OnConnection func(Connection)
	// OnCommand carries out a command of the server; its result, which must marshal to JSON, or its error
	// is sent back. One command runs at a time, in a goroutine of its own.
	OnCommand func(ctx context.Context, command Command) (any, error)

	// Logger may be nil.
	Logger *slog.Logger
}

// Batch says how Publish gathers readings into frames.
type Batch struct {
	// Delay is the longest that a reading waits for its frame to leave, 1 s by default. A crash of the
	// process loses what waits here, whatever the buffer.
	Delay time.Duration
	// Readings is how many fill a frame, 500 by default.
	Readings int
}

// Retry says how a client comes back to a server.
type Retry struct {
	// First is the longest wait before the first attempt, Max before any; the longest wait doubles from one
	// to the other, and each wait is drawn uniformly between nothing and it (full jitter). 1 s and 60 s by
	// default.
	First, Max time.Duration
	// Attempts is how many attempts in a row may fail before the client gives up; 0: any number.
	Attempts int
}

// Connection is an event in the life of a connection.
type Connection struct {
	// Open says that a connection was opened. Otherwise Err says why one was lost or could not be opened;
	// Dialled tells these two apart.
	Open, Dialled bool
	Err           error
}

const (
	backlogSuffix   = "~backlog"
	maxSessionBytes = wire.MaxSessionBytes - len(backlogSuffix)
)

// withDefaults checks the options and fills in what is missing.
func (o Options) withDefaults() (Options, error) {
	var errs []error
	if u, err := url.Parse(o.URL); err != nil || u.Scheme != "ws" && u.Scheme != "wss" || u.Host == "" {
		errs = append(errs, errors.New("url: must be ws://HOST… or wss://HOST…"))
	}
	if err := telemetry.CheckDevice(o.Device); err != nil {
		errs = append(errs, fmt.Errorf("device: %q: %w", o.Device, err))
	}
	if o.Token != "" && o.TokenSource != nil {
		errs = append(errs, errors.New("token: set token or token_source, not both"))
	}
	if len(o.Session) > maxSessionBytes {
		errs = append(errs, fmt.Errorf("session: must be at most %d bytes", maxSessionBytes))
	}
	if o.Session != "" && o.Buffer != nil && o.Buffer.path != "" && o.Buffer.limits.NoSync {
		errs = append(errs, errors.New("buffer.no_sync: not with a session of your own, as each client of the file begins one"))
	}
	if o.Batch.Readings < 0 || o.Batch.Readings > telemetry.MaxReadingsPerRecord {
		errs = append(errs, fmt.Errorf("batch.readings: must be at most %d", telemetry.MaxReadingsPerRecord))
	}
	for _, d := range []struct {
		name  string
		value *time.Duration
		none  time.Duration
	}{
		{"batch.delay", &o.Batch.Delay, time.Second},
		{"retry.first", &o.Retry.First, time.Second},
		{"retry.max", &o.Retry.Max, time.Minute},
		{"receipt_timeout", &o.ReceiptTimeout, 30 * time.Second},
		{"keep_alive", &o.KeepAlive, 30 * time.Second},
	} {
		if *d.value < 0 {
			errs = append(errs, fmt.Errorf("%s: must be above 0", d.name))
		}
		if *d.value == 0 {
			*d.value = d.none
		}
	}
	if o.BacklogAfter == 0 {
		o.BacklogAfter = 5 * time.Minute
	}
	if o.Batch.Readings == 0 {
		o.Batch.Readings = 500
	}
	if o.Buffer == nil {
		o.Buffer = Memory(BufferLimits{})
	}
	if o.Dial == nil {
		o.Dial = new(net.Dialer).DialContext
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o, errors.Join(errs...)
}
