package push

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"weir/kafka"
	"weir/telemetry"
	"weir/wire"
)

// tail follows one topic of one partition and hands what it reads to the hub.
type tail struct {
	*source
	topic     string
	partition int
	log       *slog.Logger
	lag       *atomic.Int64
	names     intern
	startEnd  int64 // what was there at the start
	caught    bool
	fence     kafka.FenceFilter
	stop      context.CancelFunc
	at        int64 // what comes next; guarded by source.mu

	updates []telemetry.Update
	alerts  []telemetry.Alert
	kept    []stored
}

// followPartition loads a partition and then runs its tails, until ctx ends or one of them fails.
func (src *source) followPartition(ctx context.Context, p int, ends map[string][]kafka.OffsetRange) error {
	names := make(intern)
	l, err := src.readLatest(ctx, p, names)
	if err != nil {
		return orStopped(ctx, err)
	}
	src.hub.load(l.updateList())
	src.hub.loadAlerts(p, l.alertList())

	tails, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	for _, topic := range []string{wire.TopicUpdates, wire.TopicAlerts} {
		t := &tail{
			source: src, topic: topic, partition: p, startEnd: ends[topic][p].End,
			log: src.log.With("topic", topic, "partition", p), lag: src.hub.m.lag(topic, p), names: make(intern),
		}
		from := t.after(l, ends[topic][p])
		src.hub.begin(topic, p, from)
		reading := t.register(tails)
		wg.Go(func() {
			if err := t.run(reading, from); err != nil {
				cancel(err)
			}
		})
	}
	wg.Wait()
	return orStopped(ctx, context.Cause(tails))
}

// register lets source.finish know the tail.
func (t *tail) register(ctx context.Context) context.Context {
	t.mu.Lock()
	defer t.mu.Unlock()
	ctx, t.stop = context.WithCancel(ctx)
	t.tails = append(t.tails, t)
	return ctx
}

// passed notes what comes next, and reports whether the tail is at its end, should there be one.
func (t *tail) passed(next int64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.at = next
	return t.doneLocked()
}

func (t *tail) doneLocked() bool { return t.ends != nil && t.at >= t.ends[t.topic][t.partition].End }

// after returns where to go on after latest: at its marker, within what the log has. From there on only
// the marker's writer and its successors are heard.
func (t *tail) after(l *latest, log kafka.OffsetRange) int64 {
	from := log.First
	if l.marked {
		fenced := kafka.FenceRecord(l.fence)
		t.fence.Accept(&fenced)
		from = l.marker.Updates
		if t.topic == wire.TopicAlerts {
			from = l.marker.Alerts
		}
	}
	return min(max(from, log.First), log.End)
}

// run follows the log from an offset. When retention has overtaken it, it begins anew at latest.
func (t *tail) run(ctx context.Context, from int64) error {
	for {
		err := t.follow(ctx, from)
		var gone *kafka.ErrOffsetOutOfRange
		switch {
		case ctx.Err() != nil:
			return nil //nolint:nilerr // whatever it was, the end was wanted
		case !errors.As(err, &gone):
			return err
		case gone.Offset > gone.End:
			return fmt.Errorf("%s ends at %d, before what was read (%d): it was made anew, restart", t.topic, gone.End, gone.Offset)
		}
		t.hub.m.reloads.Inc()
		t.log.Warn("log was trimmed before it was read; beginning anew at latest", "offset", gone.Offset, "first", gone.First)
		if from, err = t.reload(ctx, gone); err != nil {
			return orStopped(ctx, err)
		}
	}
}

// reload takes from latest what the log does not have any more. Series that moved meanwhile show a gap,
// and their views resync; for alerts there is no such check, so all do.
func (t *tail) reload(ctx context.Context, gone *kafka.ErrOffsetOutOfRange) (int64, error) {
	l, err := t.readLatest(ctx, t.partition, t.names)
	if err != nil {
		return 0, err
	}
	from := t.after(l, kafka.OffsetRange{First: gone.First, End: gone.End})
	if t.topic == wire.TopicUpdates {
		t.hub.window.begin(t.topic, t.partition, from)
		t.hub.apply(t.partition, l.updateList(), from)
		return from, nil
	}
	t.hub.begin(t.topic, t.partition, from) // nobody comes back to before
	t.hub.loadAlerts(t.partition, l.alertList())
	t.hub.resyncAll(resyncLog)
	return from, nil
}

func (t *tail) follow(ctx context.Context, from int64) error {
	in := t.kafka.NewTail(kafka.TailOptions{
		Topic: t.topic, Partition: t.partition, Offset: from, MaxBytes: t.cfg.FetchMaxBytes, MaxWait: t.cfg.FetchMaxWait,
	})
	defer func() { _ = in.Close() }()
	for {
		if !t.caught && in.Offset() >= t.startEnd {
			t.caught = true
			t.caughtUp()
		}
		if t.passed(in.Offset()) {
			return nil
		}
		f, err := in.Next(ctx)
		if ctx.Err() != nil {
			return nil
		}
		var gone *kafka.ErrOffsetOutOfRange
		switch {
		case errors.As(err, &gone):
			return err
		case err != nil:
			t.failed(ctx, err)
			continue
		}
		t.lag.Store(max(0, f.HighWatermark-in.Offset()))
		t.take(f.Records, in.Offset())
	}
}

// retryPause is how long a tail waits after an error that Kafka's client does not retry by itself.
const retryPause = time.Second

func (t *tail) failed(ctx context.Context, err error) {
	t.hub.m.fetchErrors.Inc()
	t.log.Error("fetch failed; trying again", "error", err)
	select {
	case <-ctx.Done():
	case <-time.After(retryPause):
	}
}

// take decodes records and applies them in one step; next is the offset after them. They are in the window before
// they are applied.
func (t *tail) take(records []kafka.Record, next int64) {
	t.updates, t.alerts, t.kept = t.updates[:0], t.alerts[:0], t.kept[:0]
	records = slices.DeleteFunc(records, func(r kafka.Record) bool { return !t.fence.Accept(&r) })
	for i := range records {
		t.kept = append(t.kept, stored{records[i].Offset, records[i].Value})
	}
	t.hub.window.add(t.topic, t.partition, t.kept, next)
	for i := range records {
		r := &records[i]
		if wire.IsControl(r.Value) && t.topic == wire.TopicUpdates {
			t.control(r)
			continue
		}
		if err := t.decode(r); err != nil {
			t.hub.m.undecodable.Inc()
			t.log.Warn("record skipped", "offset", r.Offset, "error", err)
		}
	}
	if t.topic == wire.TopicUpdates {
		t.hub.apply(t.partition, t.updates, next)
		return
	}
	t.hub.alerts(t.partition, t.alerts, next)
}

// control applies what was read before it, and then the record.
func (t *tail) control(r *kafka.Record) {
	c, err := wire.DecodeControl(r.Value)
	if err != nil {
		t.hub.m.undecodable.Inc()
		t.log.Warn("record skipped", "offset", r.Offset, "error", err)
		return
	}
	t.hub.apply(t.partition, t.updates, r.Offset)
	t.updates = t.updates[:0]
	if c.Kind == wire.ControlDeleteDevice {
		t.hub.forget(t.partition, c.Device, c.Version, r.Offset+1)
	}
}

func (t *tail) decode(r *kafka.Record) error {
	if t.topic == wire.TopicUpdates {
		us, err := wire.DecodeUpdateBatch(r.Value, t.updates, t.names.string)
		if err == nil {
			t.updates = us
		}
		return err
	}
	a, err := wire.DecodeAlert(r.Value)
	if err == nil {
		t.alerts = append(t.alerts, a)
	}
	return err
}
