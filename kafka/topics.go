package kafka

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	kafkago "github.com/segmentio/kafka-go"
)

const (
	// Compacted topics are read from the start at every restore, so segments are small enough and old
	// enough to be compacted soon.
	compactSegmentBytes = 64 << 20
	compactMaxLag       = 10 * time.Minute
	compactDirtyRatio   = 0.2
	// MaxMessageBytes is the largest record batch that topics made here take.
	MaxMessageBytes = 4 << 20
)

// TopicSpec says how a topic is to be.
type TopicSpec struct {
	Name              string
	Partitions        int
	Compact           bool          // keep the newest record per key, else delete by age and size
	Retention         time.Duration // 0: the broker's default; negative: for ever; not for compacted topics
	RetentionBytes    int64         // per partition; 0: the broker's default
	ReplicationFactor int           // 0: the broker's default
}

// EnsureTopics creates the topics that are missing. It refuses one that exists with another number of
// partitions, naming it: records of a key would change their partition. Other settings of topics that
// exist are left as they are.
func (c *Client) EnsureTopics(ctx context.Context, specs []TopicSpec) error {
	if err := c.retry(ctx, func() error { return c.createMissing(ctx, specs) }); err != nil {
		return fmt.Errorf("create topics: %w", err)
	}
	for i := range specs {
		if err := c.checkTopic(ctx, &specs[i]); err != nil {
			return err
		}
	}
	return nil
}

// createMissing asks only for what is not there, as making topics may be forbidden.
func (c *Client) createMissing(ctx context.Context, specs []TopicSpec) error {
	var req kafkago.CreateTopicsRequest
	for i := range specs {
		_, err := c.topic(ctx, specs[i].Name)
		switch {
		case err == nil:
		case Classify(err) == ReasonUnknownTopic:
			req.Topics = append(req.Topics, specs[i].config())
		default:
			return err
		}
	}
	if len(req.Topics) == 0 {
		return nil
	}
	res, err := c.api.CreateTopics(ctx, &req)
	if err != nil {
		return err
	}
	for topic, err := range res.Errors {
		if err != nil && !errors.Is(err, kafkago.TopicAlreadyExists) {
			return fmt.Errorf("%s: %w", topic, err)
		}
	}
	return nil
}

// checkTopic waits until the topic is known everywhere and led, and compares its number of partitions.
func (c *Client) checkTopic(ctx context.Context, spec *TopicSpec) error {
	err := c.retry(ctx, func() error {
		t, err := c.topic(ctx, spec.Name)
		if Classify(err) == ReasonUnknownTopic { // it is there, but the news is under way
			return fmt.Errorf("%w: %w", kafkago.LeaderNotAvailable, err)
		}
		if err != nil {
			return err
		}
		if n := len(t.Partitions); n != spec.Partitions {
			return fmt.Errorf("%w: %d instead of %d", ErrPartitionCount, n, spec.Partitions)
		}
		for i := range t.Partitions {
			if p := &t.Partitions[i]; p.Leader.Host == "" {
				return kafkago.LeaderNotAvailable
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("topic %s: %w", spec.Name, err)
	}
	return nil
}

func (s *TopicSpec) config() kafkago.TopicConfig {
	out := kafkago.TopicConfig{Topic: s.Name, NumPartitions: s.Partitions, ReplicationFactor: s.ReplicationFactor}
	if out.ReplicationFactor == 0 {
		out.ReplicationFactor = -1
	}
	set := func(name, value string) {
		out.ConfigEntries = append(out.ConfigEntries, kafkago.ConfigEntry{ConfigName: name, ConfigValue: value})
	}
	set("max.message.bytes", strconv.Itoa(MaxMessageBytes))
	if s.Compact {
		set("cleanup.policy", "compact")
		set("segment.bytes", strconv.Itoa(compactSegmentBytes))
		set("max.compaction.lag.ms", millis(compactMaxLag))
		set("min.cleanable.dirty.ratio", strconv.FormatFloat(compactDirtyRatio, 'g', -1, 64))
		return out
	}
	set("cleanup.policy", "delete")
	switch {
	case s.Retention > 0:
		set("retention.ms", millis(s.Retention))
	case s.Retention < 0:
		set("retention.ms", "-1")
	}
	if s.RetentionBytes != 0 {
		set("retention.bytes", strconv.FormatInt(s.RetentionBytes, 10))
	}
	return out
}

func millis(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }
