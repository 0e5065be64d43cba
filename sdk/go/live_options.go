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
)

// LiveOptions set up a Live. URL is needed; everything else has a default.
type LiveOptions struct {
	// URL is the live endpoint, such as wss://weir.example/v1/live.
	URL string

	// Token, TokenSource and TokenInMessage are as in Options. A connection is kept by the token that the source gives when
	// one is about to expire.
	Token          string
	TokenSource    func(ctx context.Context) (string, error)
	TokenInMessage bool

	// Retry says how to come back. The waits begin anew when a server has answered a subscription, or has stayed for 30 s.
	Retry Retry
	// Heartbeat is how long the server may be silent before it is pinged, until the server has told; after twice that time
	// the connection counts as dead. 30 s by default.
	Heartbeat time.Duration

	// Credit, at most 1,000, is how many frames of updates may be on their way or wait here: more are granted when
	// Next is called again, or the loop over Updates comes round. Until then the server merges, instead of this client.
	// All subscriptions of the connection share it, so each must be read. 0 grants any number. Grant does it by hand.
	Credit int
	// ManualCredit grants nothing but what Grant does.
	ManualCredit bool

	// MessageRate is how many messages a second are sent at most, and how many at once; more of them wait. 50 by default,
	// as servers take them (push.message_rate). If a server takes fewer, it is halved for the connection.
	MessageRate float64

	// Protobuf asks for the same in fewer bytes: at 20 Hz a row takes about a quarter.
	Protobuf bool
	// Compress offers permessage-deflate, which costs both sides work: rows take about a third, and in protobuf a little less.
	Compress bool
	// MaxMessage bounds a message in bytes, 64 MiB by default. A snapshot has about 180 for each series.
	MaxMessage int
	// TLS, Dial and Header are as in Options.
	TLS    *tls.Config
	Dial   func(ctx context.Context, network, address string) (net.Conn, error)
	Header http.Header

	// OnConnection is told of each connection that opened, was lost, or could not be opened. It must return soon, and not
	// call Close.
	OnConnection func(Connection)
	// OnExpiring is told when the credentials are about to end, and when. It must return soon.
	OnExpiring func(at time.Time)
	// OnMessage is told of messages to the user, to this session or to all; those of rooms are told by Room.Next. It must
	// return soon, and may call Ack, but nothing that waits for the server.
	OnMessage func(Message)

	// Logger may be nil.
	Logger *slog.Logger
}

const (
	defaultHeartbeat  = 30 * time.Second
	defaultMaxMessage = 64 << 20

	defaultMessageRate = 50
	minMessageRate     = 0.1
	// maxCredit is how far a server lets credit be ahead of what it has sent.
	maxCredit = 1000
)

func (o LiveOptions) withDefaults() (LiveOptions, error) {
	var errs []error
	if u, err := url.Parse(o.URL); err != nil || u.Scheme != "ws" && u.Scheme != "wss" || u.Host == "" {
		errs = append(errs, errors.New("url: must be ws://HOST… or wss://HOST…"))
	}
	if o.Token != "" && o.TokenSource != nil {
		errs = append(errs, errors.New("token: set token or token_source, not both"))
	}
	if o.Credit < 0 || o.Credit > maxCredit {
		errs = append(errs, fmt.Errorf("credit: must be between 0 and %d", maxCredit))
	}
	if o.Credit > 0 && o.ManualCredit {
		errs = append(errs, errors.New("credit: set credit or manual_credit, not both"))
	}
	if o.MaxMessage < 0 {
		errs = append(errs, errors.New("max_message: must be above 0"))
	}
	for _, d := range []struct {
		name  string
		value *time.Duration
		none  time.Duration
	}{
		{"retry.first", &o.Retry.First, time.Second},
		{"retry.max", &o.Retry.Max, time.Minute},
		{"heartbeat", &o.Heartbeat, defaultHeartbeat},
	} {
		if *d.value < 0 {
			errs = append(errs, fmt.Errorf("%s: must be above 0", d.name))
		}
		if *d.value == 0 {
			*d.value = d.none
		}
	}
	if o.MessageRate == 0 {
		o.MessageRate = defaultMessageRate
	}
	if !(o.MessageRate >= minMessageRate) {
		errs = append(errs, fmt.Errorf("message_rate: must be %v or more", minMessageRate))
	}
	if o.MaxMessage == 0 {
		o.MaxMessage = defaultMaxMessage
	}
	if o.Dial == nil {
		o.Dial = new(net.Dialer).DialContext
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o, errors.Join(errs...)
}
