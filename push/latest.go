package push

import (
	"context"
	"errors"
	"fmt"

	"weir/kafka"
	"weir/telemetry"
	"weir/wire"
)

// latest is what weir.latest says of a partition.
type latest struct {
	updates map[string]telemetry.Update
	alerts  map[string]telemetry.Alert
	marker  wire.Marker
	marked  bool
	// fence is that of the marker's writer. Beyond the marker it had fenced the topics, so what older ones
	// write there is not to be read. A newer fence, seen in weir.latest itself, says less: its owner may
	// have fenced weir.updates only after its predecessor's last records.
	fence int64
}

// readLatest reads a partition of weir.latest to its present end. Its beginning may move meanwhile, when
// the partition's owner rewrites what is old; then the reading begins anew.
func (src *source) readLatest(ctx context.Context, partition int, names intern) (*latest, error) {
	for {
		ranges, err := src.kafka.Offsets(ctx, wire.TopicLatest)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", wire.TopicLatest, err)
		}
		l := &latest{updates: make(map[string]telemetry.Update), alerts: make(map[string]telemetry.Alert)}
		var fence kafka.FenceFilter
		r := ranges[partition]
		err = src.kafka.ReadRange(ctx, wire.TopicLatest, partition, r.First, r.End, func(rec *kafka.Record) error {
			if !fence.Accept(rec) {
				return nil
			}
			if err := l.take(rec, names); err != nil {
				src.hub.m.undecodable.Inc()
				src.log.Warn("record skipped", "topic", wire.TopicLatest, "partition", partition, "offset", rec.Offset, "error", err)
			}
			return nil
		})
		var moved *kafka.ErrOffsetOutOfRange
		if errors.As(err, &moved) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", wire.TopicLatest, err)
		}
		return l, nil
	}
}

// take applies one record. A later record of a key replaces the earlier one, a tombstone removes it.
func (l *latest) take(rec *kafka.Record, names intern) error {
	kind, name := wire.ParseLatestKey(rec.Key)
	switch kind {
	case wire.LatestMarker:
		if rec.Value == nil {
			return nil
		}
		m, err := wire.DecodeMarker(rec.Value)
		if err == nil {
			l.marker, l.marked = m, true
			l.fence, _ = kafka.FenceNumber(rec)
		}
		return err
	case wire.LatestSeries:
		if rec.Value == nil {
			delete(l.updates, name)
			return nil
		}
		us, err := wire.DecodeUpdateBatch(rec.Value, nil, names.string)
		for i := range us {
			l.updates[us[i].Series] = us[i]
		}
		return err
	case wire.LatestAlert:
		if rec.Value == nil {
			delete(l.alerts, name)
			return nil
		}
		a, err := wire.DecodeAlert(rec.Value)
		if err == nil {
			l.alerts[a.ID] = a
		}
		return err
	}
	return nil
}

func (l *latest) updateList() []telemetry.Update {
	out := make([]telemetry.Update, 0, len(l.updates))
	for _, u := range l.updates {
		out = append(out, u)
	}
	return out
}

func (l *latest) alertList() []telemetry.Alert {
	out := make([]telemetry.Alert, 0, len(l.alerts))
	for _, a := range l.alerts {
		out = append(out, a)
	}
	return out
}
