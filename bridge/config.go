package bridge

import (
	"errors"
	"fmt"
	"time"
)

// Config of the bridges of a process.
type Config struct {
	// File declares the bridges. It is read again when it changes. Empty: bridges.yaml in the data directory, if it is there.
	File string `koanf:"file"`
	// InFlight is how many records of a partition are carried before their place in the topic is stored: so many at most are
	// carried again after a crash.
	InFlight int `koanf:"in_flight"`
	// FetchBytes bounds what is fetched of a partition at once.
	FetchBytes int `koanf:"fetch_bytes"`
	// LookAgain is how often a topic is looked for that is not there, and whether one that is has other partitions.
	LookAgain time.Duration `koanf:"look_again"`
	// SessionTimeout is the consumer groups': after how long without a sign of life a process's partitions go to others.
	SessionTimeout time.Duration `koanf:"session_timeout"`
}

// DefaultConfig is what an installation without configuration runs with.
func DefaultConfig() Config {
	return Config{InFlight: 256, FetchBytes: 256 << 10, LookAgain: 10 * time.Second, SessionTimeout: 10 * time.Second}
}

// minSession is the default of Kafka's group.min.session.timeout.ms.
const minSession = 6 * time.Second

// maxInFlight keeps the readings of one record within the numbers of a session that the pipeline tells apart (1,024).
const maxInFlight = 512

// Validate names every field that cannot work.
func (c Config) Validate() error {
	var errs []error
	if c.InFlight < 1 || c.InFlight > maxInFlight {
		errs = append(errs, fmt.Errorf("in_flight: must be between 1 and %d, is %d", maxInFlight, c.InFlight))
	}
	if c.FetchBytes < 1<<10 || c.FetchBytes > 16<<20 {
		errs = append(errs, fmt.Errorf("fetch_bytes: must be between 1024 and 16777216, is %d", c.FetchBytes))
	}
	if c.LookAgain < 100*time.Millisecond || c.LookAgain > time.Hour {
		errs = append(errs, fmt.Errorf("look_again: must be between 100ms and 1h, is %s", c.LookAgain))
	}
	if c.SessionTimeout < minSession {
		errs = append(errs, fmt.Errorf("session_timeout: must be >= %s, which is the least that brokers take", minSession))
	}
	return errors.Join(errs...)
}
