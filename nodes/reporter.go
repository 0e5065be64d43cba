package nodes

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"weir/kafka"
	"weir/kafka/table"
	"weir/wire"
)

// leaveTimeout bounds how long a stop takes to say that the process is gone.
const leaveTimeout = time.Second

// ReporterOptions are a Reporter's dependencies.
type ReporterOptions struct {
	// Table is that of weir.nodes.
	Table  *table.Table
	Client *kafka.Client
	// Self is this process; its Time and Partitions are filled in.
	Self Node
	// Lag is the pipeline's; nil: the process has none.
	Lag     func() []PartitionLag
	Logger  *slog.Logger
	Metrics *metrics.Set
}

// Reporter tells the others about this process.
type Reporter struct {
	opts   ReporterOptions
	log    *slog.Logger
	failed *metrics.Counter
	beats  *metrics.Counter
}

// NewReporter checks the options.
func NewReporter(o ReporterOptions) (*Reporter, error) {
	if o.Table == nil || o.Client == nil || o.Self.ID == "" {
		return nil, errors.New("nodes: a table, a client and the node's id are required")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Metrics == nil {
		o.Metrics = metrics.NewSet()
	}
	return &Reporter{opts: o, log: o.Logger,
		beats:  o.Metrics.NewCounter(`weir_node_reports_total`),
		failed: o.Metrics.NewCounter(`weir_node_reports_failed_total`)}, nil
}

// Run reports until ctx ends, and then takes the process off the list.
func (r *Reporter) Run(ctx context.Context) error {
	beat := time.NewTicker(Beat)
	defer beat.Stop()
	for {
		r.report(ctx)
		select {
		case <-beat.C:
		case <-ctx.Done():
			r.leave(ctx)
			return nil
		}
	}
}

func (r *Reporter) report(ctx context.Context) {
	self := r.opts.Self
	self.Time = time.Now().UnixMicro()
	self.Partitions = r.partitions(ctx)
	value, err := encode(&self)
	if err != nil {
		r.failed.Inc()
		r.log.Error("not reported", "error", err)
		return
	}
	r.beats.Inc()
	wait, cancel := context.WithTimeout(ctx, Beat) // for room in the producer's buffer
	defer cancel()
	r.opts.Table.PutAsync(wait, self.ID, value, func(err error) {
		if err != nil && ctx.Err() == nil {
			r.failed.Inc()
			r.log.Debug("not reported", "error", err)
		}
	})
}

// partitions is the pipeline's lag, with the ends of the log as of now: an owner that stands still does not see them
// move.
func (r *Reporter) partitions(ctx context.Context) []PartitionLag {
	if r.opts.Lag == nil {
		return []PartitionLag{}
	}
	list := r.opts.Lag()
	if len(list) == 0 {
		return []PartitionLag{}
	}
	ctx, cancel := context.WithTimeout(ctx, Beat/2)
	defer cancel()
	ranges, err := r.opts.Client.Offsets(ctx, wire.TopicReadings)
	if err != nil {
		return list
	}
	for i := range list {
		if p := &list[i]; p.Partition < len(ranges) {
			p.reach(ranges[p.Partition].End)
		}
	}
	return list
}

// reach moves the end of the log.
func (p *PartitionLag) reach(end int64) {
	if end <= p.End {
		return
	}
	if p.Records > 0 {
		p.Bytes = p.Bytes / p.Records * (end - p.Applied)
	}
	p.End, p.Records = end, end-p.Applied
}

// leave deletes the process's record. If that fails, the others notice by its silence.
func (r *Reporter) leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTimeout)
	defer cancel()
	done := make(chan struct{})
	r.opts.Table.PutAsync(ctx, r.opts.Self.ID, nil, func(error) { close(done) })
	select {
	case <-done:
	case <-ctx.Done():
	}
}
