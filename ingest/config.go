package ingest

import (
	"errors"
	"fmt"
	"time"

	"weir/internal/joined"
	"weir/telemetry"
	"weir/wire"
)

// Config bounds what devices may send and how long they may take.
type Config struct {
	// MaxFrameBytes is the longest WebSocket message or HTTP body.
	MaxFrameBytes int `koanf:"max_frame_bytes"`
	// MaxPendingBytes bounds the WebSocket messages and HTTP bodies beyond 64 KiB that have been announced and
	// not yet been dealt with, of all devices together. Sockets with more are not read meanwhile, requests
	// refused.
	MaxPendingBytes int `koanf:"max_pending_bytes"`
	// MaxReadings is how many readings one frame may hold.
	MaxReadings int `koanf:"max_readings"`
	// MaxFuture is how far ahead of the server's clock a reading's time may be.
	MaxFuture time.Duration `koanf:"max_future"`
	// Credit is how many frames of one connection may wait for their receipt.
	Credit int `koanf:"credit"`
	// ReceiptDelay is for how long receipts may be gathered into one write while a device keeps sending; 0
	// writes each as soon as it can.
	ReceiptDelay time.Duration `koanf:"receipt_delay"`
	// MaxConnections and MaxRequests bound open WebSocket connections and HTTP requests under way.
	MaxConnections int `koanf:"max_connections"`
	MaxRequests    int `koanf:"max_requests"`
	// MaxConnectionsPerAddress bounds those of MaxConnections that one IPv4 address has, or one IPv6 network of 64
	// bits, loopback excepted.
	MaxConnectionsPerAddress int `koanf:"max_connections_per_address"`
	// MaxConnectionsPerPrincipal bounds those that have signed in with the same key or as the same subject.
	MaxConnectionsPerPrincipal int `koanf:"max_connections_per_principal"`
	// MaxUnauthenticated bounds those that have yet to send credentials.
	MaxUnauthenticated int `koanf:"max_unauthenticated"`
	// AuthTimeout closes a connection that came without credentials and sends none.
	AuthTimeout time.Duration `koanf:"auth_timeout"`
	// Compression lets WebSocket clients compress messages (permessage-deflate).
	Compression bool `koanf:"compression"`
	// Templates name the device and metric of readings in formats that have neither.
	Templates wire.TemplatesConfig `koanf:"templates"`
	// HandshakeTimeout bounds writing the answer to an upgrade, and reading the body of a request.
	HandshakeTimeout time.Duration `koanf:"handshake_timeout"`
	// IdleTimeout closes a connection from which nothing came, not even a pong. A ping is sent after half
	// of it.
	IdleTimeout time.Duration `koanf:"idle_timeout"`
	// MessageTimeout closes a connection that takes longer to send one message.
	MessageTimeout time.Duration `koanf:"message_timeout"`
	// WriteTimeout closes a connection that takes no receipts.
	WriteTimeout time.Duration `koanf:"write_timeout"`
	// DrainTimeout bounds how long a stop waits for outstanding receipts.
	DrainTimeout time.Duration `koanf:"drain_timeout"`
	// Lateness is how old a reading may be and still count as live; older ones go to the backlog. 0: any age.
	Lateness time.Duration `koanf:"lateness"`
	// Limits, Backlog and Admission say how much is taken, and when it is refused.
	Limits    Limits    `koanf:"limits"`
	Backlog   Backlog   `koanf:"backlog"`
	Admission Admission `koanf:"admission"`
	// DedupeSessions is of how many device sessions the acknowledged seqs are remembered (a window of
	// 1,024 seqs, about 250 bytes, each).
	DedupeSessions int `koanf:"dedupe_sessions"`
}

// DefaultConfig is what an installation without configuration runs with.
func DefaultConfig() Config {
	return Config{
		MaxFrameBytes:   1 << 20,
		MaxPendingBytes: 256 << 20,
		MaxReadings:     telemetry.MaxReadingsPerRecord,
		MaxFuture:       10 * time.Minute,
		Credit:          64,
		ReceiptDelay:    20 * time.Millisecond,
		MaxConnections:  20_000,
		MaxRequests:     512,

		MaxConnectionsPerAddress:   4_096,
		MaxConnectionsPerPrincipal: 10_000,
		MaxUnauthenticated:         1_000,
		AuthTimeout:                5 * time.Second,
		Compression:                true,
		Templates:                  wire.DefaultTemplatesConfig(),

		HandshakeTimeout: 5 * time.Second,
		IdleTimeout:      time.Minute,
		MessageTimeout:   2 * time.Minute,
		WriteTimeout:     10 * time.Second,
		DrainTimeout:     5 * time.Second,
		DedupeSessions:   1 << 16,
		Lateness:         24 * time.Hour,
		Limits:           defaultLimits(),
		Backlog:          Backlog{Rate: 100_000, Burst: 200_000},
		Admission:        Admission{Slow: 5 * time.Second, Stop: 30 * time.Second},
	}
}

// Validate names every field that cannot work.
func (c Config) Validate() error {
	return errors.Join(
		within("max_frame_bytes", c.MaxFrameBytes, 64, 16<<20),
		within("max_pending_bytes", c.MaxPendingBytes, 2*c.MaxFrameBytes, 1<<40),
		within("max_readings", c.MaxReadings, 1, telemetry.MaxReadingsPerRecord),
		positive("max_future", c.MaxFuture),
		within("credit", c.Credit, 1, 1<<14),
		c.validateDelay(),
		within("max_connections", c.MaxConnections, 1, 1<<24),
		within("max_requests", c.MaxRequests, 1, 1<<20),
		within("max_connections_per_address", c.MaxConnectionsPerAddress, 1, 1<<24),
		within("max_connections_per_principal", c.MaxConnectionsPerPrincipal, 1, 1<<24),
		within("max_unauthenticated", c.MaxUnauthenticated, 1, 1<<24),
		positive("auth_timeout", c.AuthTimeout),
		joined.Prefixed("templates.", c.Templates.Validate()),
		positive("handshake_timeout", c.HandshakeTimeout),
		positive("idle_timeout", c.IdleTimeout),
		positive("message_timeout", c.MessageTimeout),
		positive("write_timeout", c.WriteTimeout),
		positive("drain_timeout", c.DrainTimeout),
		within("dedupe_sessions", c.DedupeSessions, 2, 1<<24),
		validateLateness(c.Lateness),
		c.Limits.validate(),
		c.Backlog.validate(),
		c.Admission.validate(),
	)
}

func (c Config) validateDelay() error {
	if c.ReceiptDelay < 0 || c.ReceiptDelay > time.Second {
		return fmt.Errorf("receipt_delay: must be between 0 and 1s, is %s", c.ReceiptDelay)
	}
	return nil
}

func within(name string, value, low, high int) error {
	if value < low || value > high {
		return fmt.Errorf("%s: must be between %d and %d, is %d", name, low, high, value)
	}
	return nil
}

func positive(name string, d time.Duration) error {
	if d <= 0 {
		return fmt.Errorf("%s: must be > 0, is %s", name, d)
	}
	return nil
}
