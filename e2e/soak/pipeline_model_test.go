//go:build soak

package soak

import (
	"weir/kafka"
	"weir/pipeline"
	"weir/telemetry"
	"weir/wire"
)

// outcome takes what the sequential model says.
type outcome struct {
	Update  func(*telemetry.Update)
	Alert   func(*telemetry.Alert)
	Partial func(*wire.Control)
	Deleted func(*wire.Control)
}

// sequential is the graph of a partition as one pass over its readings in this process, without broker and crash. What
// follows from the records is out when Feed returns.
type sequential interface {
	Feed(records []kafka.Record, next int64) error
}

// newSequential makes the model of a partition.
func newSequential(partition, partitions int, out outcome) (sequential, error) {
	config := pipeline.DefaultConfig()
	config.Lateness = streamLateness
	return pipeline.NewReplay(pipeline.ReplayOptions{
		Config: config, Partition: partition, Partitions: partitions,
		Update: out.Update, Alert: out.Alert, Deleted: out.Deleted,
		Partial: func(_ int, c *wire.Control) { out.Partial(c) },
	})
}
