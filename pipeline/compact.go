package pipeline

import (
	"context"

	"weir/kafka"
	"weir/wire"
)

// compactRatio is how many records a partition of a compacted topic may hold per live one before its owner
// rewrites it.
const compactRatio = 4

// logSize follows how much a partition of a compacted topic holds.
type logSize struct {
	records int
	bytes   int64
}

func (l *logSize) add(records ...kafka.Record) {
	l.records += len(records)
	for i := range records {
		l.bytes += int64(len(records[i].Key) + len(records[i].Value))
	}
}

// compactor bounds weir.state and weir.latest of a partition on a broker that does not compact them.
// Copying is done between checkpoints, by the owner, so that no old value can follow a newer one.
type compactor struct {
	state, latest logSize
}

// wrote notes a checkpoint.
func (x *compactor) wrote(c *checkpoint) {
	x.state.add(c.state...)
	x.latest.add(c.latest...)
	x.latest.records++ // the marker
}

// compact rewrites what holds several times more records than there are live ones.
func (o *owner) compact(ctx context.Context, x *compactor, c *checkpoint) error {
	if o.trimmer == nil {
		return nil
	}
	if err := o.rewrite(ctx, wire.TopicState, &x.state, c.devicesN+c.seriesN); err != nil {
		return err
	}
	return o.rewrite(ctx, wire.TopicLatest, &x.latest, c.seriesN+1)
}

func (o *owner) rewrite(ctx context.Context, topic string, size *logSize, live int) error {
	if size.records < compactRatio*live || size.bytes < o.config.CompactAbove {
		return nil
	}
	options := kafka.CopyForwardOptions{
		Topic: topic, Partition: o.partition, Producer: o.producer, Headers: o.headers, Trimmer: o.trimmer,
	}
	if topic == wire.TopicState { // stubs say where the state of devices is
		moving := &movingTrimmer{Trimmer: o.trimmer, places: &o.places, moved: make(map[int64]int64)}
		options.Trimmer, options.Moved = moving, moving.note
	}
	result, err := o.client.CopyForward(ctx, options)
	if err != nil {
		return err
	}
	o.m.compactions.Inc()
	o.log.Debug("compacted", "topic", topic, "read", result.Read, "kept", result.Copied, "bytes", result.Bytes)
	*size = logSize{records: result.Copied, bytes: result.Bytes}
	return nil
}
