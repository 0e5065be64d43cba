// Package table keeps a compacted topic as a map in memory: every process that has a Table of a topic sees the
// same keys and values, a few milliseconds apart. Registries that are read often and written seldom (devices,
// credentials, nodes) live in one.
//
// A value is valid until its key is written anew; nobody may change it. Writers in one process share one Table,
// as it is what may rewrite the topic on a broker that does not compact.
package table

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"golang.org/x/sync/semaphore"

	"weir/kafka"
)

// Options of a Table.
type Options struct {
	Client     *kafka.Client
	Producer   *kafka.Producer
	Topic      string
	Partitions int
	// Trimmer bounds the topic where the broker does not compact it; nil where it does.
	Trimmer kafka.Trimmer
	// CompactAbove is how many bytes of keys and values a partition holds before it may be rewritten;
	// default 4 MiB.
	CompactAbove int64
	// CompactEvery is how often that is looked at; default 10 s.
	CompactEvery time.Duration
	Logger       *slog.Logger
	Metrics      *metrics.Set
}

const (
	defaultCompactAbove = 4 << 20
	// compactRatio is how many records a partition holds for each live one before it is rewritten.
	compactRatio        = 4
	defaultCompactEvery = 10 * time.Second
	fetchWait           = 5 * time.Second
	// shared and alone are how much of writing is taken by a writer, and for rewriting.
	shared, alone = 1, math.MaxInt64
)

// Table is a compacted topic in memory. Its methods are safe for concurrent use.
type Table struct {
	opts     Options
	log      *slog.Logger
	watchers []watcher

	// writing is held shared by writers until their record is acknowledged, and alone while the topic is
	// rewritten: no old value may follow a newer one.
	writing *semaphore.Weighted
	lost    *metrics.Counter

	mu      sync.RWMutex
	values  map[string][]byte
	parts   []part
	changed chan struct{} // closed and made anew when something was applied
	ready   chan struct{}
	loading int // partitions that have not been read to where they ended at the start
}

type part struct {
	next    int64 // the next offset to be applied
	live    int   // keys with a value
	records int   // since the log's beginning, about
	bytes   int64
}

type watcher struct {
	prefix string
	fn     func(key string, value []byte)
}

// New makes a Table. It is empty until Run has loaded it.
func New(o Options) *Table {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.CompactAbove == 0 {
		o.CompactAbove = defaultCompactAbove
	}
	if o.CompactEvery == 0 {
		o.CompactEvery = defaultCompactEvery
	}
	if o.Metrics == nil {
		o.Metrics = metrics.NewSet()
	}
	return &Table{
		opts: o, log: o.Logger.With("topic", o.Topic), values: make(map[string][]byte), writing: semaphore.NewWeighted(alone),
		lost:  o.Metrics.NewCounter(fmt.Sprintf(`weir_table_lost_records_total{topic=%q}`, o.Topic)),
		parts: make([]part, o.Partitions), changed: make(chan struct{}), ready: make(chan struct{}), loading: o.Partitions,
	}
}

// Watch has fn called for every change of a key that begins with prefix, those of the loading included; value is
// nil when the key was deleted. Changes of one key come in order. fn must not block, nor write to the Table. To
// be called before Run.
func (t *Table) Watch(prefix string, fn func(key string, value []byte)) {
	t.watchers = append(t.watchers, watcher{prefix, fn})
}

// Run loads the topic and follows it until ctx ends.
func (t *Table) Run(ctx context.Context) error {
	ends, err := t.opts.Client.Offsets(ctx, t.opts.Topic)
	if err != nil {
		if ctx.Err() != nil {
			return nil //nolint:nilerr // asked to end
		}
		return fmt.Errorf("table %s: %w", t.opts.Topic, err)
	}
	var all sync.WaitGroup
	for p := range t.opts.Partitions {
		all.Go(func() { t.follow(ctx, p, ends[p]) })
	}
	if t.opts.Trimmer != nil {
		all.Go(func() { t.compactUntil(ctx) })
	}
	all.Wait()
	return nil
}

// Ready is closed when all that was there at the start has been read.
func (t *Table) Ready() <-chan struct{} { return t.ready }

// Get returns the value of key.
func (t *Table) Get(key string) ([]byte, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	v, ok := t.values[key]
	return v, ok
}

// Range calls fn for the keys that begin with prefix, in order, until it returns false. fn may write.
func (t *Table) Range(prefix string, fn func(key string, value []byte) bool) {
	t.mu.RLock()
	keys := make([]string, 0, 16)
	for k := range t.values {
		if strings.HasPrefix(k, prefix) {
			keys = append(keys, k)
		}
	}
	t.mu.RUnlock()
	sort.Strings(keys)
	for _, k := range keys {
		if v, ok := t.Get(k); ok && !fn(k, v) {
			return
		}
	}
}

// Put writes a value, waits until it is acknowledged, and until this Table shows it.
func (t *Table) Put(ctx context.Context, key string, value []byte) error {
	if value == nil {
		value = []byte{}
	}
	return t.write(ctx, key, value)
}

// Delete removes a key, as Put writes one.
func (t *Table) Delete(ctx context.Context, key string) error { return t.write(ctx, key, nil) }

func (t *Table) write(ctx context.Context, key string, value []byte) error {
	p := kafka.PartitionFor(key, t.opts.Partitions)
	if err := t.writing.Acquire(ctx, shared); err != nil {
		return fmt.Errorf("write %s: %w", t.opts.Topic, err)
	}
	base, err := t.opts.Producer.ProduceSync(ctx, t.opts.Topic, p, []kafka.Record{t.record(key, value)})
	t.writing.Release(shared)
	if err != nil {
		return fmt.Errorf("write %s: %w", t.opts.Topic, err)
	}
	if base < 0 { // the broker only confirmed a retry; it is somewhere before the end
		ends, err := t.opts.Client.Offsets(ctx, t.opts.Topic)
		if err != nil {
			return fmt.Errorf("write %s: %w", t.opts.Topic, err)
		}
		base = ends[p].End - 1
	}
	return t.await(ctx, p, base)
}

// PutAsync writes a value, or deletes the key if it is nil, without waiting for the acknowledgement; done, which may
// be nil, is called once with the outcome. While the topic is rewritten, or the producer has no room, it waits until
// ctx ends.
func (t *Table) PutAsync(ctx context.Context, key string, value []byte, done func(error)) {
	if done == nil {
		done = func(error) {}
	}
	if err := t.writing.Acquire(ctx, shared); err != nil {
		done(fmt.Errorf("write %s: %w", t.opts.Topic, err))
		return
	}
	p := kafka.PartitionFor(key, t.opts.Partitions)
	err := t.opts.Producer.Produce(ctx, t.opts.Topic, p, []kafka.Record{t.record(key, value)}, func(_ int64, err error) {
		t.writing.Release(shared)
		done(err)
	})
	if err != nil {
		t.writing.Release(shared)
		done(err)
	}
}

func (t *Table) record(key string, value []byte) kafka.Record {
	return kafka.Record{Time: time.Now().UnixMilli(), Key: []byte(key), Value: value}
}

// await waits until the record at offset has been applied.
func (t *Table) await(ctx context.Context, partition int, offset int64) error {
	for {
		t.mu.RLock()
		done, changed := t.parts[partition].next > offset, t.changed
		t.mu.RUnlock()
		if done {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("write %s: stored, but not read back yet: %w", t.opts.Topic, ctx.Err())
		}
	}
}

// follow applies a partition from its beginning on. What retention has removed was copied to the end before. It also
// goes past what is damaged, or the Table would stand still for good: keys written there keep the value they had.
func (t *Table) follow(ctx context.Context, partition int, there kafka.OffsetRange) {
	Follow(ctx, FollowOptions{
		Client: t.opts.Client, Topic: t.opts.Topic, Partition: partition, There: there, MaxWait: fetchWait, Logger: t.opts.Logger,
		Loaded: t.loaded,
		Apply:  func(f *kafka.Fetch, next int64) { t.apply(partition, f.Records, next) },
		Lost:   func(n, next int64, err error) { t.passOver(partition, n, next, err) },
	})
}

func (t *Table) passOver(partition int, n, next int64, err error) {
	t.lost.Add(int(n))
	t.log.Error("records lost to damage in the log, going on behind", "partition", partition, "error", err)
	t.apply(partition, nil, next)
}

func (t *Table) apply(partition int, records []kafka.Record, next int64) {
	if len(records) == 0 && t.parts[partition].next == next {
		return
	}
	for i := range records {
		t.applyOne(partition, &records[i])
	}
	t.mu.Lock()
	t.parts[partition].next = next
	close(t.changed)
	t.changed = make(chan struct{})
	t.mu.Unlock()
}

func (t *Table) applyOne(partition int, r *kafka.Record) {
	if r.Key == nil || string(r.Key) == kafka.FenceKey {
		return
	}
	key := string(r.Key)
	var value []byte
	if r.Value != nil {
		value = append(make([]byte, 0, len(r.Value)), r.Value...)
	}
	t.mu.Lock()
	part := &t.parts[partition]
	part.records++
	part.bytes += int64(len(r.Key) + len(r.Value))
	_, had := t.values[key]
	if value == nil {
		delete(t.values, key)
		if had {
			part.live--
		}
	} else {
		t.values[key] = value
		if !had {
			part.live++
		}
	}
	t.mu.Unlock()
	for _, w := range t.watchers {
		if strings.HasPrefix(key, w.prefix) {
			w.fn(key, value)
		}
	}
}

func (t *Table) loaded() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.loading--; t.loading == 0 {
		close(t.ready)
	}
}

// compactUntil rewrites partitions that hold several times more records than there are keys.
func (t *Table) compactUntil(ctx context.Context) {
	select {
	case <-t.ready:
	case <-ctx.Done():
		return
	}
	tick := time.NewTicker(t.opts.CompactEvery)
	defer tick.Stop()
	for {
		for p := range t.opts.Partitions {
			if err := t.compact(ctx, p); err != nil && ctx.Err() == nil {
				t.log.Warn("not compacted", "partition", p, "error", err)
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (t *Table) compact(ctx context.Context, partition int) error {
	t.mu.RLock()
	p := t.parts[partition]
	t.mu.RUnlock()
	if p.bytes < t.opts.CompactAbove || p.records < compactRatio*(p.live+1) {
		return nil
	}
	if err := t.writing.Acquire(ctx, alone); err != nil {
		return err
	}
	defer t.writing.Release(alone)
	// A reader that was behind the cut would miss the tombstones that vanish with it.
	ends, err := t.opts.Client.Offsets(ctx, t.opts.Topic)
	if err != nil {
		return err
	}
	if err := t.await(ctx, partition, ends[partition].End-1); err != nil {
		return err
	}
	t.mu.RLock()
	before := t.parts[partition]
	t.mu.RUnlock()
	result, err := t.opts.Client.CopyForward(ctx, kafka.CopyForwardOptions{
		Topic: t.opts.Topic, Partition: partition, Producer: t.opts.Producer, Trimmer: t.opts.Trimmer,
	})
	if err != nil {
		return err
	}
	t.mu.Lock()
	t.parts[partition].records -= before.records // what follow has counted meanwhile are copies, and newer records
	t.parts[partition].bytes -= before.bytes
	t.mu.Unlock()
	t.log.Debug("compacted", "partition", partition, "read", result.Read, "kept", result.Copied)
	return nil
}
