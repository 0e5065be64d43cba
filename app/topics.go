package app

import (
	"context"
	"fmt"
	"time"

	"weir/config"
	"weir/kafka"
	"weir/kafka/embedded"
	"weir/wire"
)

// ensureTopics makes the topics that are missing and returns into how many partitions they are divided.
func ensureTopics(ctx context.Context, client *kafka.Client, c *config.Config) (int, error) {
	partitions := c.Partitions
	if partitions == 0 {
		var err error
		if partitions, err = existingPartitions(ctx, client); err != nil {
			return 0, fmt.Errorf("look for topics: %w", err)
		}
	}
	if err := client.EnsureTopics(ctx, topicSpecs(c, partitions)); err != nil {
		return 0, fmt.Errorf("partitions: %w", err)
	}
	return partitions, nil
}

// foreseenPartitions is what ensureTopics will find or make, told before there is a broker to ask: as the data
// directory remembers them, or as they are made in a new one.
func foreseenPartitions(c *config.Config, remembered identity) int {
	switch {
	case remembered.Partitions > 0:
		return remembered.Partitions
	case c.Partitions > 0:
		return c.Partitions
	default:
		return config.DefaultPartitions
	}
}

// existingPartitions asks the cluster, which may still be starting, and falls back to the default for a new one.
func existingPartitions(ctx context.Context, client *kafka.Client) (int, error) {
	for {
		n, err := client.Partitions(ctx, wire.TopicReadings)
		switch {
		case err == nil:
			return n, nil
		case kafka.Classify(err) == kafka.ReasonUnknownTopic:
			return config.DefaultPartitions, nil
		case ctx.Err() != nil || !kafka.Retriable(err):
			return 0, err
		}
		pause(ctx, connectPause)
	}
}

// connectPause is between two attempts to reach a cluster.
const connectPause = 250 * time.Millisecond

func topicSpecs(c *config.Config, partitions int) []kafka.TopicSpec {
	var specs []kafka.TopicSpec
	for _, t := range wire.TopicSpecs() {
		spec := kafka.TopicSpec{
			Name: t.Name, Partitions: partitions, Compact: t.Compact, ReplicationFactor: c.Kafka.ReplicationFactor}
		if keep := c.Retention.Of(t.Name); keep != nil {
			spec.Retention, spec.RetentionBytes = keep.Age, keep.Bytes
		}
		specs = append(specs, spec)
	}
	return specs
}

// maxBatches bounds the embedded broker's memory, some 80 bytes for each record batch kept. At 100 batches a
// second and partition it is reached within hours, long before a day is over.
const maxBatches = 1 << 20

// embeddedRetention is the retention of an embedded broker, which counts bytes per topic.
func embeddedRetention(c *config.Config, partitions int) map[string]embedded.Retention {
	retention := make(map[string]embedded.Retention)
	for _, t := range wire.TopicSpecs() {
		if keep := c.Retention.Of(t.Name); keep != nil {
			retention[t.Name] = embedded.Retention{
				Age: keep.Age, Bytes: keep.Bytes * int64(partitions), Batches: maxBatches}
		}
	}
	return retention
}
