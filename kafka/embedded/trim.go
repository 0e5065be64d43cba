package embedded

import (
	"context"
	"fmt"
)

// DeleteRecords makes a partition's log begin at offset before. Its last batch always stays: kfake restores
// the end of a log from its records, so an empty one would begin at 0 again. An offset that is already gone
// is no error. Disk space is given back by whole segments.
func (b *Broker) DeleteRecords(ctx context.Context, topic string, partition int, before int64) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.closed {
		return ErrClosed
	}
	b.trimMu.Lock()
	defer b.trimMu.Unlock()
	if err := b.deleteLocked(topic, int32(partition), before); err != nil {
		return fmt.Errorf("delete records of topic %s partition %d: %w", topic, partition, err)
	}
	return nil
}

func (b *Broker) deleteLocked(topic string, partition int32, before int64) error {
	t, p := b.cluster.TopicInfo(topic), b.cluster.PartitionInfo(topic, partition)
	if t == nil || p == nil {
		return ErrUnknownPartition
	}
	before = min(before, p.HighWatermark-1)
	if before <= p.LogStartOffset {
		return nil
	}
	if b.journal != nil {
		// The journal may only claim what is durable.
		if err := b.syncer.partition(partitionDir(b.dir, topic, int(partition))); err != nil {
			return err
		}
		b.journal.set(journalEntry{Topic: topic, ID: t.TopicID[:], Partition: partition, Start: before, End: p.HighWatermark})
		if err := b.journal.write(); err != nil {
			return err
		}
	}
	return b.cluster.DeleteRecords(topic, partition, before)
}
