package pipeline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/VictoriaMetrics/metrics"

	"weir/kafka"
	"weir/wire"
)

// Group is the consumer group whose members share the partitions of weir.readings.
const Group = "weir-pipeline"

// Options of a Pipeline.
type Options struct {
	Client *kafka.Client
	Config Config
	// Trimmer bounds weir.state and weir.latest where the broker does not compact them itself; nil where it
	// does.
	Trimmer kafka.Trimmer
	// Plans tells what pipelines are declared; nil: whatever is in force stays.
	Plans Plans
	// Enricher adds to alerts what is known elsewhere; nil: nothing is.
	Enricher Enricher
	// MemberName is what Kafka's tools call this process.
	MemberName string
	Logger     *slog.Logger
	Metrics    *metrics.Set
}

// Pipeline is one member of the group: it owns some partitions and runs a graph for each.
type Pipeline struct {
	client   *kafka.Client
	config   Config
	trimmer  kafka.Trimmer
	plans    Plans
	enricher Enricher
	member   string
	log      *slog.Logger
	metrics  *metrics.Set
	m        *counters
	// hook is for tests.
	hook func(partition int, point string) error

	mu sync.Mutex
	// group is this process's membership, nil while it does not run.
	group membership
	// owned holds the newest owner of each partition. One whose end took too long may return after its
	// successor has begun.
	owned map[int]*owner
}

// membership is what a pipeline asks its kafka.Group.
type membership interface {
	Joined() (owned int, joined bool)
}

// New checks the options. The topics must exist when Run is called.
func New(o Options) (*Pipeline, error) {
	if o.Client == nil {
		return nil, errors.New("pipeline: client is missing")
	}
	if err := o.Config.Validate(); err != nil {
		return nil, err
	}
	set := o.Metrics
	if set == nil {
		set = metrics.NewSet()
	}
	return &Pipeline{
		client: o.Client, config: o.Config, trimmer: o.Trimmer, plans: o.Plans, enricher: o.Enricher, member: o.MemberName,
		log: orDiscard(o.Logger), metrics: set, m: newCounters(set),
		owned: make(map[int]*owner),
	}, nil
}

// Run joins the group and processes the partitions it is given until ctx ends. It then flushes, writes a
// last checkpoint of each, and leaves the group.
func (p *Pipeline) Run(ctx context.Context) error {
	group, err := p.client.NewGroup(kafka.GroupOptions{
		ID: Group, Topic: wire.TopicReadings, MemberName: p.member,
		SessionTimeout: p.config.SessionTimeout, RebalanceTimeout: p.config.RebalanceTimeout,
		ReleaseTimeout: p.config.StopTimeout + p.config.StopTimeout/2,
		Own:            p.own,
	})
	if err != nil {
		return fmt.Errorf("pipeline: %w", err)
	}
	p.join(group)
	defer p.join(nil)
	if err := group.Run(ctx); err != nil {
		return fmt.Errorf("pipeline: %w", err)
	}
	return nil
}

func (p *Pipeline) join(group membership) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.group = group
}

func (p *Pipeline) own(ctx context.Context, a *kafka.Assignment) error {
	return p.newOwner(a.Partition, a.Committed, a.Commit).run(ctx)
}

// Ready reports whether this process is a member of the group and has restored all partitions it owns. A
// spare member, which owns none, is ready to take over.
func (p *Pipeline) Ready() bool {
	p.mu.Lock()
	group := p.group
	p.mu.Unlock()
	if group == nil {
		return false
	}
	owned, joined := group.Joined()
	return joined && len(p.Owned()) == owned
}

// Owned lists the partitions that this process owns and has restored, in no order.
func (p *Pipeline) Owned() []int {
	p.mu.Lock()
	defer p.mu.Unlock()
	var list []int
	for partition, o := range p.owned {
		if o.restored {
			list = append(list, partition)
		}
	}
	return list
}

// begin makes o the owner of its partition as far as this process is concerned; end undoes that, unless another
// has begun since.
func (p *Pipeline) begin(o *owner) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.owned[o.partition] = o
	o.gauges = newGauges(p.metrics, o.partition)
}

func (p *Pipeline) end(o *owner) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.owned[o.partition] == o {
		delete(p.owned, o.partition)
		o.gauges.unregister()
	}
}

func (p *Pipeline) ready(o *owner) {
	p.mu.Lock()
	defer p.mu.Unlock()
	o.restored = true
}
