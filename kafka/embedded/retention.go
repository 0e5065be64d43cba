package embedded

import (
	"context"
	"errors"
	"math"
	"time"
)

// Retention bounds what a topic keeps. Only whole segments go, oldest first, and a partition's newest
// segment never does, so a topic may exceed a bound by one segment per partition. Zero: no bound.
type Retention struct {
	// Age is measured from the last append to a segment (time of ingest, not of the record).
	Age time.Duration
	// Bytes is the sum over the topic's partitions.
	Bytes int64
	// Batches bounds memory: the broker keeps about 80 bytes for each record batch of the topic.
	Batches int64
}

// Floor returns the lowest offset of a partition that somebody still needs: it and what follows is never
// trimmed. An error, or an offset below 0 ("unknown"), keeps the partition as it is.
type Floor func(ctx context.Context, topic string, partition int) (int64, error)

// NoFloor is for topics nobody has to have read: bounds alone decide.
func NoFloor(context.Context, string, int) (int64, error) { return math.MaxInt64, nil }

// SetFloor begins trimming: before it is called nothing goes, whatever the bounds.
func (b *Broker) SetFloor(f Floor) { b.floor.Store(&f) }

// logState is what planning needs of a partition: its segments in order and its floor.
type logState struct {
	segments []segment
	floor    int64
}

// plan returns for each partition how many of its oldest segments go.
func plan(logs []logState, r Retention, now time.Time) []int {
	cut := make([]int, len(logs))
	// removable: the oldest segment left of a partition, if it is not the newest and nobody needs it.
	removable := func(i int) (segment, bool) {
		l, n := logs[i], cut[i]
		if n+1 >= len(l.segments) || l.segments[n+1].base > l.floor {
			return segment{}, false
		}
		return l.segments[n], true
	}
	var bytes, batches int64
	for i, l := range logs {
		for _, s := range l.segments {
			bytes += s.bytes
			batches += s.batches
		}
		for r.Age > 0 {
			s, ok := removable(i)
			if !ok || now.Sub(s.modified) < r.Age {
				break
			}
			cut[i]++
			bytes, batches = bytes-s.bytes, batches-s.batches
		}
	}
	for r.Bytes > 0 && bytes > r.Bytes || r.Batches > 0 && batches > r.Batches {
		oldest, at := segment{}, -1
		for i := range logs {
			if s, ok := removable(i); ok && (at < 0 || s.modified.Before(oldest.modified)) {
				oldest, at = s, i
			}
		}
		if at < 0 {
			break
		}
		cut[at]++
		bytes, batches = bytes-oldest.bytes, batches-oldest.batches
	}
	return cut
}

// trimmer applies the bounds every interval until ctx ends.
func (b *Broker) trimmer(ctx context.Context, interval time.Duration) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			b.trim(ctx)
		}
	}
}

// trim applies the bounds once.
func (b *Broker) trim(ctx context.Context) {
	floor := b.floor.Load()
	for topic, r := range b.retention {
		if err := b.trimTopic(ctx, topic, r, floor); err != nil && ctx.Err() == nil {
			b.metrics.trimErrors.Inc()
			b.log.Warn("cannot trim", "topic", topic, "error", err)
		}
	}
}

func (b *Broker) trimTopic(ctx context.Context, topic string, r Retention, floor *Floor) error {
	logs, errs := b.logStates(ctx, topic, floor)
	b.metrics.observe(topic, logs)
	if floor == nil {
		return nil
	}
	for p, n := range plan(logs, r, time.Now()) {
		if n == 0 {
			continue
		}
		if err := b.DeleteRecords(ctx, topic, p, logs[p].segments[n].base); err != nil {
			errs = append(errs, err)
			continue
		}
		for _, s := range logs[p].segments[:n] {
			b.metrics.trimmedBytes.Add(int(s.bytes))
		}
	}
	return errors.Join(errs...)
}

// logStates looks at a topic's files; a partition it cannot know the floor of has floor -1.
func (b *Broker) logStates(ctx context.Context, topic string, floor *Floor) ([]logState, []error) {
	logs := make([]logState, b.partitions(topic))
	var errs []error
	for p := range logs {
		segs, err := listSegments(partitionDir(b.dir, topic, p))
		logs[p] = logState{segments: segs, floor: -1}
		if err == nil && floor != nil {
			logs[p].floor, err = (*floor)(ctx, topic, p)
		}
		if err != nil {
			logs[p].floor = -1
			errs = append(errs, err)
		}
	}
	return logs, errs
}

// partitions is 0 for a topic that does not exist.
func (b *Broker) partitions(topic string) int {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.closed {
		return 0
	}
	return len(b.cluster.PartitionInfos(topic))
}
