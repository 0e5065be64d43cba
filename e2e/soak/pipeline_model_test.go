//go:build soak

package soak

import (
	"weir/kafka"
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

// newSequential makes the model of a partition. It is whole when averages, detectors and alerts are part of it.
func newSequential(partition, partitions int, out outcome) (model sequential, whole bool, err error) {
	return newNaiveModel(partition, partitions, out), false, nil
}
