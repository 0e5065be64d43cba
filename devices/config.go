package devices

import (
	"errors"
	"fmt"
	"time"
)

// Config bounds what is kept of devices and says when they count as away.
type Config struct {
	// ExpectedInterval is how often readings are expected from a device whose metadata does not say it. After three
	// times that without a reading a connected device is stale, one that sends over HTTP offline.
	ExpectedInterval time.Duration `koanf:"expected_interval"`
	// ReconnectGrace is for how long a device may be disconnected without being called offline, and the
	// shortest time between two presence records of one device.
	ReconnectGrace time.Duration `koanf:"reconnect_grace"`
	// PresenceWrites is how many presence records this process writes a second.
	PresenceWrites int `koanf:"presence_writes"`
	// PresenceRetention is for how long a device without metadata that is offline is remembered.
	PresenceRetention time.Duration `koanf:"presence_retention"`
	// MaxTracked is of how many devices health is kept, about 400 bytes each, and, when they are offline and have no
	// metadata, presence.
	MaxTracked int `koanf:"max_tracked"`
	// MaxPerConnection is for how many devices one connection keeps presence; readings of further ones are taken
	// all the same.
	MaxPerConnection int `koanf:"max_per_connection"`
}

// DefaultConfig is what an installation without configuration runs with.
func DefaultConfig() Config {
	return Config{
		ExpectedInterval:  5 * time.Minute,
		ReconnectGrace:    2 * time.Second,
		PresenceWrites:    1000,
		PresenceRetention: 30 * 24 * time.Hour,
		MaxTracked:        200_000,
		MaxPerConnection:  10_000,
	}
}

// Validate names every field that cannot work.
func (c Config) Validate() error {
	return errors.Join(
		between("expected_interval", c.ExpectedInterval, minInterval, maxInterval),
		between("reconnect_grace", c.ReconnectGrace, 0, time.Hour),
		within("presence_writes", c.PresenceWrites, 1, 1<<20),
		between("presence_retention", c.PresenceRetention, time.Hour, 10*365*24*time.Hour),
		within("max_tracked", c.MaxTracked, shardCount, 1<<24),
		within("max_per_connection", c.MaxPerConnection, 1, 1<<20),
	)
}

func within(name string, value, low, high int) error {
	if value < low || value > high {
		return fmt.Errorf("%s: must be between %d and %d, is %d", name, low, high, value)
	}
	return nil
}

func between(name string, value, low, high time.Duration) error {
	if value < low || value > high {
		return fmt.Errorf("%s: must be between %s and %s, is %s", name, low, high, value)
	}
	return nil
}
