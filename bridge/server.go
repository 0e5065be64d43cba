package bridge

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"weir/kafka"
)

// GroupPrefix and a bridge's name are the consumer group that its processes share.
const GroupPrefix = "weir-bridge-"

// Producer stores records; *kafka.Producer is one.
type Producer interface {
	Produce(ctx context.Context, topic string, partition int, recs []kafka.Record, done func(base int64, err error)) error
}

// Options are a Server's dependencies.
type Options struct {
	Config   Config
	Client   *kafka.Client
	Producer Producer
	// Partitions is into how many Weir's topics are divided.
	Partitions int
	// Held reports that a partition of weir.readings takes nothing for the moment, because the pipeline is behind; nil: never.
	Held func(partition int) bool
	// Labels gives the numbers that a metric's texts stand for; nil: none.
	Labels func(device, metric string) map[string]float64
	// Lateness is from which age on readings go to the backlog, as those that ingest takes; MaxFuture how far ahead they may
	// be.
	Lateness, MaxFuture time.Duration
	// MemberName is what Kafka's tools call this process.
	MemberName string
	Logger     *slog.Logger
	Metrics    *metrics.Set
}

// Server runs bridges.
type Server struct {
	o   Options
	log *slog.Logger

	wanted  atomic.Pointer[Plan]
	changed chan struct{}

	mu      sync.Mutex
	runners []*runner // in the order of the plan
}

// New makes a Server. It does nothing before Run.
func New(o Options) (*Server, error) {
	if err := o.Config.Validate(); err != nil {
		return nil, err
	}
	if o.Client == nil || o.Producer == nil || o.Partitions <= 0 {
		return nil, errors.New("bridge: a client, a producer and the number of partitions are required")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Metrics == nil {
		o.Metrics = metrics.NewSet()
	}
	if o.Held == nil {
		o.Held = func(int) bool { return false }
	}
	return &Server{o: o, log: o.Logger, changed: make(chan struct{}, 1)}, nil
}

// Apply has Run follow another plan: what is new begins, what is gone ends, and what has changed goes on where it is.
func (s *Server) Apply(p *Plan) {
	s.wanted.Store(p)
	select {
	case s.changed <- struct{}{}:
	default: // one waits already
	}
}

// Run carries records until ctx ends.
func (s *Server) Run(ctx context.Context) error {
	defer s.follow(context.WithoutCancel(ctx), &Plan{})
	for {
		if p := s.wanted.Load(); p != nil {
			s.follow(ctx, p)
		}
		select {
		case <-s.changed:
		case <-ctx.Done():
			return nil
		}
	}
}

// follow ends the runners that a plan does not have and begins those that are missing.
func (s *Server) follow(ctx context.Context, p *Plan) {
	s.mu.Lock()
	before := s.runners
	s.mu.Unlock()
	kept := make(map[string]*runner)
	var ending []*runner
	for _, r := range before {
		if b := p.Find(r.name); b != nil && r.goesOnAs(b) {
			r.take(b)
			kept[r.name] = r
			continue
		}
		r.cancel()
		ending = append(ending, r)
	}
	for _, r := range ending {
		<-r.ended
	}
	now := make([]*runner, 0, len(p.bridges))
	for _, b := range p.bridges {
		r := kept[b.Name]
		if r == nil {
			r = s.begin(ctx, b)
		}
		now = append(now, r)
	}
	s.mu.Lock()
	s.runners = now
	s.mu.Unlock()
}

// PlaceState is where a partition that this process carries stands.
type PlaceState struct {
	Partition int   `json:"partition"`
	Next      int64 `json:"next"`
	Lag       int64 `json:"lag"`
}

// State is how a bridge fares in this process.
type State struct {
	Name  string `json:"name"`
	Topic string `json:"topic"`
	To    string `json:"to"`
	Group string `json:"group"`
	// Missing says that the topic is not there.
	Missing bool `json:"topic_missing"`
	// Partitions are those that this process carries; others may carry others.
	Partitions []PlaceState `json:"partitions"`
	// Records counts by what became of them since the process began.
	Records map[string]uint64 `json:"records"`
	// Failure is why the newest dead letter is one.
	Failure string `json:"newest_failure,omitempty"`
}

// State tells of all bridges.
func (s *Server) State() []State {
	s.mu.Lock()
	runners := s.runners
	s.mu.Unlock()
	out := make([]State, len(runners))
	for i, r := range runners {
		out[i] = r.state()
	}
	return out
}
