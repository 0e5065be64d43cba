package nodes

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"weir/kafka"
	"weir/kafka/table"
)

// refresh is how often lags are put together anew.
const refresh = 250 * time.Millisecond

// RegistryOptions are a Registry's dependencies.
type RegistryOptions struct {
	// Table is that of weir.nodes. It must not run yet.
	Table  *table.Table
	Client *kafka.Client
	// Group is the pipeline's consumer group, Partitions P.
	Group      string
	Partitions int
	// Local is the lag of this process's own pipeline, which needs no way through the topic; nil: it has none.
	Local   func() []PartitionLag
	Logger  *slog.Logger
	Metrics *metrics.Set
}

// Registry knows the processes and the lag of every partition. Its methods are safe for concurrent use.
type Registry struct {
	opts   RegistryOptions
	log    *slog.Logger
	asking *asking
	ready  <-chan struct{} // the table's

	mu    sync.Mutex
	nodes map[string]seen
	last  time.Time // when anybody was heard last
	lags  []PartitionLag
	known []bool

	deleted, unreadable *metrics.Counter
}

// seen is a process, when it was last heard of, by this process's clock, and since when its silence counts.
type seen struct {
	*Node
	at, silent time.Time
}

// NewRegistry watches the table.
func NewRegistry(o RegistryOptions) (*Registry, error) {
	if o.Table == nil || o.Client == nil || o.Group == "" || o.Partitions <= 0 {
		return nil, errors.New("nodes: a table, a client, the group and the number of partitions are required")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Metrics == nil {
		o.Metrics = metrics.NewSet()
	}
	r := &Registry{
		opts: o, log: o.Logger, ready: o.Table.Ready(), nodes: make(map[string]seen),
		lags: make([]PartitionLag, o.Partitions), known: make([]bool, o.Partitions),
		deleted:    o.Metrics.NewCounter(`weir_node_records_deleted_total`),
		unreadable: o.Metrics.NewCounter(`weir_node_records_unreadable_total`),
	}
	r.asking = newAsking(&r.opts)
	r.expose(o.Metrics)
	o.Table.Watch("", r.heard)
	return r, nil
}

func (r *Registry) expose(set *metrics.Set) {
	set.NewGauge(`weir_node_count`, func() float64 { return float64(len(r.Nodes())) })
	gauge := func(name string, of func(*PartitionLag) float64) {
		set.NewGauge(name, func() float64 {
			r.mu.Lock()
			defer r.mu.Unlock()
			most := 0.0
			for p := range r.lags {
				if r.known[p] {
					most = max(most, of(&r.lags[p]))
				}
			}
			return most
		})
	}
	gauge(`weir_node_lag_age_seconds_max`, func(p *PartitionLag) float64 { return float64(p.Age) / 1e6 })
	gauge(`weir_node_lag_records_max`, func(p *PartitionLag) float64 { return float64(p.Records) })
	set.NewGauge(`weir_node_partitions_unreported`, func() float64 { return float64(r.asking.unreported.Load()) })
}

// heard is called by the table.
func (r *Registry) heard(id string, value []byte) {
	if value == nil {
		r.mu.Lock()
		delete(r.nodes, id)
		r.mu.Unlock()
		return
	}
	node, err := decode(value)
	if err != nil {
		r.unreadable.Inc()
		r.log.Debug("node not understood", "id", id, "error", err)
		return
	}
	at, live := time.Now(), true
	select {
	case <-r.ready:
	default:
		live = false
		// Read back, not heard: its time is the writer's, which may be wrong, but is all there is.
		if written := time.UnixMicro(node.Time); written.Before(at) {
			at = written
		}
	}
	node.ID = id
	r.mu.Lock()
	defer r.mu.Unlock()
	if live {
		r.resumeLocked(at)
	}
	r.nodes[id] = seen{node, at, at}
}

// resumeLocked notes that somebody is heard. When nobody was for a while, it was the way that was silent, not the
// nodes: the silence of those that were there before counts from now on.
func (r *Registry) resumeLocked(now time.Time) {
	last := r.last
	r.last = now
	if last.IsZero() || now.Sub(last) < standstill {
		return
	}
	for id, n := range r.nodes {
		if last.Sub(n.silent) < Silence {
			n.silent = now
			r.nodes[id] = n
		}
	}
}

// Nodes lists the processes that are there, by id.
func (r *Registry) Nodes() []*Node {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	list := make([]*Node, 0, len(r.nodes))
	for _, n := range r.nodes {
		if now.Sub(n.silent) < Silence {
			list = append(list, n.Node)
		}
	}
	slices.SortFunc(list, func(a, b *Node) int { return strings.Compare(a.ID, b.ID) })
	return list
}

// Lag tells how far the pipeline is behind on a partition; false: it is not known.
func (r *Registry) Lag(partition int) (PartitionLag, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if partition < 0 || partition >= len(r.lags) {
		return PartitionLag{}, false
	}
	return r.lags[partition], r.known[partition]
}

// Run follows the processes until ctx ends. The table runs beside it.
func (r *Registry) Run(ctx context.Context) error {
	var ask sync.WaitGroup
	ask.Go(func() { r.asking.run(ctx) })
	defer ask.Wait()
	tick := time.NewTicker(refresh)
	defer tick.Stop()
	swept := time.Now()
	for {
		now := time.Now()
		r.gather(now)
		if now.Sub(swept) > forgotten/10 {
			swept = now
			r.sweep(ctx, now)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// gather puts together what is known of each partition: from its owner in this process, else from whoever reported
// it, else from the broker.
func (r *Registry) gather(now time.Time) {
	lags := make([]PartitionLag, r.opts.Partitions)
	known := make([]bool, r.opts.Partitions)
	take := func(p PartitionLag) {
		// A former owner may go on for a moment; the new one gets ahead of it.
		if i := p.Partition; i >= 0 && i < len(lags) && (!known[i] || p.Applied > lags[i].Applied) {
			lags[i], known[i] = p, true
		}
	}
	for _, n := range r.reported(now) {
		for _, p := range n.Partitions {
			p.Age += now.Sub(n.at).Microseconds() * min(p.Records, 1) // it has not become younger since
			take(p)
		}
	}
	if r.opts.Local != nil {
		for _, p := range r.opts.Local() {
			if p.Partition >= 0 && p.Partition < len(lags) {
				lags[p.Partition], known[p.Partition] = p, true
			}
		}
	}
	r.asking.complete(lags, known, now)
	r.mu.Lock()
	r.lags, r.known = lags, known
	r.mu.Unlock()
}

func (r *Registry) reported(now time.Time) []seen {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := make([]seen, 0, len(r.nodes))
	for _, n := range r.nodes {
		if now.Sub(n.at) < Silence {
			list = append(list, n)
		}
	}
	return list
}

// sweep deletes the records of processes that have been gone for long.
func (r *Registry) sweep(ctx context.Context, now time.Time) {
	var gone []string
	r.mu.Lock()
	for id, n := range r.nodes {
		if now.Sub(n.at) > forgotten {
			gone = append(gone, id)
		}
	}
	r.mu.Unlock()
	for _, id := range gone {
		r.deleted.Inc()
		r.opts.Table.PutAsync(ctx, id, nil, nil)
	}
}
