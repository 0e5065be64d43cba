package embedded

import (
	"errors"
	"time"
)

// Config is what an operator may set.
type Config struct {
	// SegmentBytes is the size at which a partition's log begins a new file, unless its topic has a
	// segment.bytes of its own. Disk space is given back by whole files.
	SegmentBytes int64 `koanf:"segment_bytes"`
	// SyncPeriod is how often written data is made durable against a power cut, which takes at most what
	// was written since.
	SyncPeriod time.Duration `koanf:"sync_period"`
	// TrimPeriod is how often topics are held to their bounds.
	TrimPeriod time.Duration `koanf:"trim_period"`
}

// DefaultConfig suits a machine with a few GB.
func DefaultConfig() Config {
	return Config{SegmentBytes: 8 << 20, SyncPeriod: time.Second, TrimPeriod: 10 * time.Second}
}

// Validate names the fields that cannot be used.
func (c Config) Validate() error {
	var errs []error
	if c.SegmentBytes < 4096 {
		errs = append(errs, errors.New("segment_bytes: must be at least 4096"))
	}
	if c.SyncPeriod <= 0 {
		errs = append(errs, errors.New("sync_period: must be > 0"))
	}
	if c.TrimPeriod <= 0 {
		errs = append(errs, errors.New("trim_period: must be > 0"))
	}
	return errors.Join(errs...)
}
