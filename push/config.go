package push

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// Config holds the settings of push. Sizes are in bytes.
type Config struct {
	// DefaultMaxHz is the rate of a subscription that names none; MaxSubscriptions and MaxPatterns
	// bound one connection and one subscription.
	DefaultMaxHz     float64 `koanf:"default_max_hz"`
	MaxSubscriptions int     `koanf:"max_subscriptions"`
	MaxPatterns      int     `koanf:"max_patterns"`

	// MaxSeries bounds how many series the subscriptions of one connection select together, each
	// counting its own, when it subscribes.
	MaxSeries int `koanf:"max_series"`

	// MaxConnections bounds the live connections of this process, MaxViews how many different
	// subscriptions (patterns and max_hz) they may have, MaxViewRows how many series those select
	// together, each counting its own, when a new one comes. A row takes about 200 bytes.
	MaxConnections int `koanf:"max_connections"`
	MaxViews       int `koanf:"max_views"`
	MaxViewRows    int `koanf:"max_view_rows"`
	// MaxConnectionsPerAddress bounds the connections from one IP address (of IPv6: one /64), and
	// MaxConnectionsPerPrincipal those of one subject; a request that waits for news counts as one. A quarter of
	// MaxConnections, at least one, is for clients that have not said who they are.
	MaxConnectionsPerAddress   int `koanf:"max_connections_per_address"`
	MaxConnectionsPerPrincipal int `koanf:"max_connections_per_principal"`
	// MaxViewsPerPrincipal and MaxViewRowsPerPrincipal bound the views that the subscriptions of one subject come to, and
	// the series of those. A view that several subjects share counts for each of them. On an open server they bound those
	// of an address, if it is not this machine's.
	MaxViewsPerPrincipal    int `koanf:"max_views_per_principal"`
	MaxViewRowsPerPrincipal int `koanf:"max_view_rows_per_principal"`
	// MaxReadBackPerPrincipal bounds the bytes of the log that are read in a minute for one subject's subscriptions and
	// requests that come back from further than ResumeWindowBytes. Beyond it they begin anew.
	MaxReadBackPerPrincipal int `koanf:"max_read_back_per_principal"`
	// MaxMessageBytes bounds a client's message; MessageRate (per second) and MessageBurst how fast
	// they may come, and likewise control frames and fragments together. Too fast messages are dropped
	// and answered, too fast frames end the connection.
	MaxMessageBytes int     `koanf:"max_message_bytes"`
	MessageRate     float64 `koanf:"message_rate"`
	MessageBurst    int     `koanf:"message_burst"`

	// MaxLosslessBytes bounds what may wait for one connection in its lossless lane, snapshots not
	// counted. Beyond it the connection is closed and resyncs.
	MaxLosslessBytes int `koanf:"max_lossless_bytes"`
	// MaxWaitingBytes bounds everything that waits for one connection: its lossless lane, its snapshot and the rows that its
	// subscriptions gather while it is behind. Beyond it the connection is closed and resyncs.
	MaxWaitingBytes int `koanf:"max_waiting_bytes"`
	// MaxBufferedBytes bounds that of all connections together, and MaxHeapShare which part of GOMEMLIMIT the live heap and
	// stacks may be. Beyond either no new connection is taken.
	MaxBufferedBytes int     `koanf:"max_buffered_bytes"`
	MaxHeapShare     float64 `koanf:"max_heap_share"`
	// SendBuffer is the kernel's send buffer of a connection. What waits there can no longer be merged.
	SendBuffer int `koanf:"send_buffer"`

	// CompressMinBytes is how large a message must be to be compressed for a client that offers that (permessage-deflate);
	// 0: none is.
	CompressMinBytes int `koanf:"compress_min_bytes"`

	// HandshakeTimeout bounds the WebSocket upgrade, AuthTimeout how long a client whose request had no
	// credentials may take to send them, WriteTimeout how long a write may make no
	// progress, Heartbeat how often the server pings, AwayAfter how long a client is silent until it is away, IdleTimeout
	// how long it may be silent.
	HandshakeTimeout time.Duration `koanf:"handshake_timeout"`
	AuthTimeout      time.Duration `koanf:"auth_timeout"`
	WriteTimeout     time.Duration `koanf:"write_timeout"`
	Heartbeat        time.Duration `koanf:"heartbeat"`
	AwayAfter        time.Duration `koanf:"away_after"`
	IdleTimeout      time.Duration `koanf:"idle_timeout"`
	// DrainTimeout bounds how long connections may take to read what is left when the server stops.
	DrainTimeout time.Duration `koanf:"drain_timeout"`

	// ResumeWindowBytes bounds the newest records that are kept in memory, of all partitions together, for clients
	// that come back. What is older is read from the log.
	ResumeWindowBytes int `koanf:"resume_window_bytes"`

	// MaxListed bounds how many series GET /v1/series and /v1/snapshot return.
	MaxListed int `koanf:"max_listed"`
	// FetchMaxBytes and FetchMaxWait shape the fetches of the tails.
	FetchMaxBytes int           `koanf:"fetch_max_bytes"`
	FetchMaxWait  time.Duration `koanf:"fetch_max_wait"`
}

// DefaultConfig is what push uses when nothing is set.
func DefaultConfig() Config {
	return Config{
		DefaultMaxHz:     20,
		MaxSubscriptions: 64,
		MaxPatterns:      64,
		MaxSeries:        200_000,
		MaxConnections:   20_000,
		MaxViews:         10_000,
		MaxViewRows:      5_000_000,

		MaxConnectionsPerAddress:   4_000,
		MaxConnectionsPerPrincipal: 2_000,
		MaxViewsPerPrincipal:       1_000,
		MaxViewRowsPerPrincipal:    500_000,
		MaxReadBackPerPrincipal:    64 << 20,

		MaxMessageBytes:  64 << 10,
		MessageRate:      50,
		MessageBurst:     200,
		MaxLosslessBytes: 1 << 20,
		MaxWaitingBytes:  64 << 20,
		MaxBufferedBytes: 512 << 20,
		MaxHeapShare:     0.8,
		SendBuffer:       64 << 10,
		CompressMinBytes: 512,
		HandshakeTimeout: 5 * time.Second,
		AuthTimeout:      5 * time.Second,
		WriteTimeout:     60 * time.Second,
		Heartbeat:        25 * time.Second,
		AwayAfter:        60 * time.Second,
		IdleTimeout:      90 * time.Second,
		DrainTimeout:     5 * time.Second,
		MaxListed:        100_000,

		ResumeWindowBytes: 64 << 20,

		FetchMaxBytes: 4 << 20,
		FetchMaxWait:  500 * time.Millisecond,
	}
}

// Validate reports every field that is out of range.
func (c Config) Validate() error {
	var errs []error
	check := func(ok bool, field, want string) {
		if !ok {
			errs = append(errs, fmt.Errorf("%s: must be %s", field, want))
		}
	}
	for _, f := range c.whole() {
		check(f.value >= f.least, f.name, fmt.Sprintf(">= %d", f.least))
	}
	for _, f := range c.times() {
		check(f.value > 0, f.name, "> 0")
	}
	check(validHz(c.DefaultMaxHz), "default_max_hz", fmt.Sprintf("0 (unlimited) or between %v and %v", minHz, maxHz))
	check(c.MaxHeapShare > 0 && c.MaxHeapShare <= 1, "max_heap_share", "above 0 and at most 1")
	check(c.MessageRate > 0 && !math.IsInf(c.MessageRate, 0), "message_rate", "> 0")
	check(c.IdleTimeout > c.Heartbeat, "idle_timeout", "> heartbeat")
	check(c.AwayAfter > c.Heartbeat, "away_after", "> heartbeat")
	return errors.Join(errs...)
}

// whole are the fields that are whole numbers, each with the least it may be.
func (c *Config) whole() []struct {
	name         string
	value, least int
} {
	return []struct {
		name         string
		value, least int
	}{
		{"max_subscriptions", c.MaxSubscriptions, 1},
		{"max_patterns", c.MaxPatterns, 1},
		{"max_series", c.MaxSeries, 1},
		{"max_connections", c.MaxConnections, 1},
		{"max_connections_per_address", c.MaxConnectionsPerAddress, 1},
		{"max_connections_per_principal", c.MaxConnectionsPerPrincipal, 1},
		{"max_views_per_principal", c.MaxViewsPerPrincipal, 1},
		{"max_view_rows_per_principal", c.MaxViewRowsPerPrincipal, 1},
		{"max_read_back_per_principal", c.MaxReadBackPerPrincipal, 1},
		{"max_views", c.MaxViews, 1},
		{"max_view_rows", c.MaxViewRows, 1},
		{"message_burst", c.MessageBurst, 1},
		{"max_listed", c.MaxListed, 1},
		{"resume_window_bytes", c.ResumeWindowBytes, 1},
		{"max_message_bytes", c.MaxMessageBytes, 1 << 10},
		{"max_lossless_bytes", c.MaxLosslessBytes, 4 << 10},
		{"max_waiting_bytes", c.MaxWaitingBytes, 64 << 10},
		{"max_buffered_bytes", c.MaxBufferedBytes, 64 << 10},
		{"send_buffer", c.SendBuffer, 4 << 10},
		{"fetch_max_bytes", c.FetchMaxBytes, 64 << 10},
		{"compress_min_bytes", c.CompressMinBytes, 0},
	}
}

// times are the fields that are times.
func (c *Config) times() []struct {
	name  string
	value time.Duration
} {
	return []struct {
		name  string
		value time.Duration
	}{
		{"handshake_timeout", c.HandshakeTimeout},
		{"auth_timeout", c.AuthTimeout},
		{"write_timeout", c.WriteTimeout},
		{"heartbeat", c.Heartbeat},
		{"away_after", c.AwayAfter},
		{"idle_timeout", c.IdleTimeout},
		{"drain_timeout", c.DrainTimeout},
		{"fetch_max_wait", c.FetchMaxWait},
	}
}
