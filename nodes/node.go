package nodes

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// version is the layout of a Node's record.
const version = 1

const (
	// Beat is how often a process reports.
	Beat = 2 * time.Second
	// Silence is after how long without a report a process counts as gone.
	Silence = 10 * time.Second
	// standstill is for how long nobody at all is heard until that is blamed on the way to them.
	standstill = 2 * Beat
	// forgotten is after how long the record of a process that is gone is deleted.
	forgotten = 10 * time.Minute
)

// PartitionLag is how far the pipeline is behind on a partition of weir.readings.
type PartitionLag struct {
	Partition int `json:"partition"`
	// Applied is the next offset to be applied, End the end of the log.
	Applied int64 `json:"applied"`
	End     int64 `json:"end"`
	// Records and Bytes lie between them; Bytes is an estimate.
	Records int64 `json:"lag_records"`
	Bytes   int64 `json:"lag_bytes"`
	// Age is how long the oldest of them has been in the log, µs.
	Age int64 `json:"lag_age_us"`
}

// Node is a process of Weir.
type Node struct {
	ID      string   `json:"id"`
	Roles   []string `json:"roles"`
	Address string   `json:"address,omitempty"`
	Version string   `json:"version,omitempty"`
	// Started is when the process did, Time when it reported, µs.
	Started int64 `json:"started_us"`
	Time    int64 `json:"time_us"`
	// Partitions are those whose pipeline it owns.
	Partitions []PartitionLag `json:"partitions"`
}

// record is a Node as in the topic.
type record struct {
	Layout int `json:"v"`
	Node
}

var errLayout = errors.New("unknown layout")

func encode(n *Node) ([]byte, error) {
	text, err := json.Marshal(record{version, *n})
	if err != nil {
		return nil, fmt.Errorf("encode node: %w", err)
	}
	return text, nil
}

func decode(text []byte) (*Node, error) {
	var r record
	if err := json.Unmarshal(text, &r); err != nil {
		return nil, fmt.Errorf("decode node: %w", err)
	}
	if r.Layout != version {
		return nil, fmt.Errorf("decode node: %w %d", errLayout, r.Layout)
	}
	return &r.Node, nil
}
