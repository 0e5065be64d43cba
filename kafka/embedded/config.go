package embedded

import (
	"errors"
)

// Config is what an operator may set.
type Config struct {
	// SegmentBytes is the size at which a partition's log begins a new file. Disk space is given back by
	// whole files.
	SegmentBytes int64 `koanf:"segment_bytes"`
}

// DefaultConfig suits a machine of a few GB.
func DefaultConfig() Config {
	return Config{SegmentBytes: 8 << 20}
}

// Validate names the fields that cannot be used.
func (c Config) Validate() error {
	var errs []error
	if c.SegmentBytes < 4096 {
		errs = append(errs, errors.New("segment_bytes: must be at least 4096"))
	}
	return errors.Join(errs...)
}
