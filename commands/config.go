package commands

import (
	"errors"
	"fmt"
	"time"
)

// Config bounds commands to devices.
type Config struct {
	// DefaultTTL is how long a command waits for its device when the operator does not say.
	DefaultTTL time.Duration `koanf:"default_ttl"`
	// MaxTTL is the longest time to live; not beyond what weir.messages retains.
	MaxTTL time.Duration `koanf:"max_ttl"`
	// MaxPerDevice is how many commands may wait for one device.
	MaxPerDevice int `koanf:"max_per_device"`
	// MaxBytes bounds the commands and results that one process holds.
	MaxBytes int `koanf:"max_bytes"`
}

// DefaultConfig is what an installation without configuration runs with.
func DefaultConfig() Config {
	return Config{DefaultTTL: time.Minute, MaxTTL: 24 * time.Hour, MaxPerDevice: 64, MaxBytes: 64 << 20}
}

// Validate names every field that cannot work.
func (c Config) Validate() error {
	var errs []error
	if c.DefaultTTL <= 0 || c.DefaultTTL > c.MaxTTL {
		errs = append(errs, fmt.Errorf("default_ttl: must be > 0 and at most max_ttl (%s), is %s", c.MaxTTL, c.DefaultTTL))
	}
	if c.MaxTTL <= 0 || c.MaxTTL > 7*24*time.Hour {
		errs = append(errs, fmt.Errorf("max_ttl: must be > 0 and at most 168h, is %s", c.MaxTTL))
	}
	if c.MaxPerDevice < 1 || c.MaxPerDevice > 1024 {
		errs = append(errs, fmt.Errorf("max_per_device: must be between 1 and 1024, is %d", c.MaxPerDevice))
	}
	if c.MaxBytes < 1<<20 || c.MaxBytes > 1<<40 {
		errs = append(errs, fmt.Errorf("max_bytes: must be between 1048576 and 1099511627776, is %d", c.MaxBytes))
	}
	return errors.Join(errs...)
}
