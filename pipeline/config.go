package pipeline

import (
	"errors"
	"fmt"
	"time"

	"weir/pipeline/window"
)

// Config of the pipeline.
type Config struct {
	// FlushPeriod is the least time between two flushes of a partition. A flush after a longer silence
	// goes out at once.
	FlushPeriod time.Duration `koanf:"flush_period"`
	// CheckpointPeriod bounds what an owner that takes over has to read and apply anew.
	CheckpointPeriod time.Duration `koanf:"checkpoint_period"`
	// Lateness is how far, in source time, a reading may lie behind the newest of its device and still
	// count, where the plan does not say; an older one is late.
	Lateness time.Duration `koanf:"lateness"`
	// MaxSeriesPerDevice bounds the record batch that a device's state is written in.
	MaxSeriesPerDevice int `koanf:"max_series_per_device"`
	// FetchBytes bounds a batch, FetchWait how long a fetch waits for the first record.
	FetchBytes int           `koanf:"fetch_bytes"`
	FetchWait  time.Duration `koanf:"fetch_wait"`
	// InFlight is how many batches a partition may hold, from fetched to emitted.
	InFlight int `koanf:"in_flight"`
	// StopTimeout bounds the last flush and checkpoint of an owner that is asked to stop.
	StopTimeout time.Duration `koanf:"stop_timeout"`
	// SessionTimeout and RebalanceTimeout are the consumer group's.
	SessionTimeout   time.Duration `koanf:"session_timeout"`
	RebalanceTimeout time.Duration `koanf:"rebalance_timeout"`
	// CompactAbove is the size of a partition of weir.state or weir.latest from which its owner considers
	// rewriting it. It means something only with Options.Trimmer.
	CompactAbove int64 `koanf:"compact_above"`
	// AcceptLoss makes an owner go on although what its predecessor emitted since its last checkpoint was deleted
	// before it could be read back, or the plan in force is not understood. Intervals may then go out twice, and the
	// plan that is wanted takes the other's place; without it such a partition stands still.
	AcceptLoss bool `koanf:"accept_loss"`
	// EvictAfter is how long a device is idle before its state leaves memory; it is read back when the device is heard
	// again. 0: never.
	EvictAfter time.Duration `koanf:"evict_after"`
	// DropAfter is how long a device is idle before it is deleted, as if somebody had asked for it. 0: never.
	DropAfter time.Duration `koanf:"drop_after"`
	// Average sets the moving average.
	Average window.Config `koanf:"average"`
}

// DefaultConfig is what suits most installations.
func DefaultConfig() Config {
	return Config{
		FlushPeriod:        10 * time.Millisecond,
		CheckpointPeriod:   5 * time.Second,
		Lateness:           5 * time.Minute,
		MaxSeriesPerDevice: 500,
		FetchBytes:         256 << 10,
		FetchWait:          500 * time.Millisecond,
		InFlight:           4,
		StopTimeout:        5 * time.Second,
		SessionTimeout:     10 * time.Second,
		RebalanceTimeout:   10 * time.Second,
		CompactAbove:       8 << 20,
		EvictAfter:         time.Hour,
		DropAfter:          30 * 24 * time.Hour,
		Average:            window.DefaultConfig(),
	}
}

// largestSeriesState bounds the records of one series in weir.state, and so how many of them fit into one
// record batch of 1 MiB, which is what brokers take by default.
const largestSeriesState = 2 << 10

// minSession is the default of Kafka's group.min.session.timeout.ms.
const minSession = 6 * time.Second

// Validate names every field that is wrong.
func (c *Config) Validate() error {
	var errs []error
	positive := func(name string, d time.Duration) {
		if d <= 0 {
			errs = append(errs, fmt.Errorf("%s: must be > 0", name))
		}
	}
	positive("flush_period", c.FlushPeriod)
	positive("checkpoint_period", c.CheckpointPeriod)
	positive("lateness", c.Lateness)
	positive("fetch_wait", c.FetchWait)
	positive("stop_timeout", c.StopTimeout)
	positive("rebalance_timeout", c.RebalanceTimeout)
	if c.MaxSeriesPerDevice < 1 || c.MaxSeriesPerDevice > (1<<20)/largestSeriesState {
		errs = append(errs, fmt.Errorf("max_series_per_device: must be between 1 and %d", (1<<20)/largestSeriesState))
	}
	if c.SessionTimeout < minSession {
		errs = append(errs, fmt.Errorf("session_timeout: must be >= %s, which is the least that brokers take", minSession))
	}
	if c.FetchBytes < 1<<10 || c.FetchBytes > 16<<20 {
		errs = append(errs, errors.New("fetch_bytes: must be between 1 KiB and 16 MiB"))
	}
	if c.InFlight < 1 || c.InFlight > 64 {
		errs = append(errs, errors.New("in_flight: must be between 1 and 64"))
	}
	if c.CompactAbove < 0 {
		errs = append(errs, errors.New("compact_above: must be >= 0"))
	}
	if c.EvictAfter < 0 {
		errs = append(errs, errors.New("evict_after: must be >= 0 (0: never)"))
	}
	if c.DropAfter < 0 || c.DropAfter > 0 && c.DropAfter <= c.EvictAfter {
		errs = append(errs, errors.New("drop_after: must be longer than evict_after, or 0 (never)"))
	}
	if err := c.Average.Validate(); err != nil {
		errs = append(errs, fmt.Errorf("average.%w", err))
	}
	return errors.Join(errs...)
}
