package bridge

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"weir/kafka"
	"weir/wire"
)

// runner is a bridge at work: a member of its group.
type runner struct {
	s      *Server
	name   string
	topic  string
	from   string
	log    *slog.Logger
	m      *instruments
	bridge atomic.Pointer[Bridge]
	pace   *rate.Limiter
	cancel context.CancelFunc
	ended  chan struct{}

	missing atomic.Bool
	held    atomic.Int64 // partitions that wait for the pipeline
	// known is how many partitions the topic had when it was found; -1: it was made after the bridge began to look.
	known int

	mu      sync.Mutex
	owned   map[int]*PlaceState
	failure string          // of the newest dead letter
	told    map[string]bool // kinds of dead letters that were logged of this version of the bridge
}

func (s *Server) begin(ctx context.Context, b *Bridge) *runner {
	r := &runner{
		s: s, name: b.Name, topic: b.Topic, from: b.From, log: s.log.With("bridge", b.Name, "topic", b.Topic),
		ended: make(chan struct{}), owned: make(map[int]*PlaceState), pace: rate.NewLimiter(rate.Inf, 1),
	}
	r.take(b)
	r.m = newInstruments(s.o.Metrics, r)
	ctx, r.cancel = context.WithCancel(ctx)
	go func() {
		defer close(r.ended)
		defer r.m.unregister()
		r.run(ctx)
	}()
	return r
}

// take has another version of the bridge carry on.
func (r *runner) take(b *Bridge) {
	limit := rate.Inf
	if b.Rate > 0 {
		limit = rate.Limit(b.Rate)
	}
	r.pace.SetLimit(limit)
	r.pace.SetBurst(max(1, b.Rate/10))
	r.bridge.Store(b)
	r.mu.Lock()
	r.told = make(map[string]bool)
	r.mu.Unlock()
}

// goesOnAs reports whether another version of the bridge can carry on where this one stands.
func (r *runner) goesOnAs(b *Bridge) bool { return r.topic == b.Topic && r.from == b.From }

// run is a member of the group while the topic is there.
func (r *runner) run(ctx context.Context) {
	for ctx.Err() == nil {
		partitions, err := r.find(ctx)
		if err != nil {
			return // asked to end
		}
		r.join(ctx, partitions)
	}
}

// find waits until the topic is there. What is in one that was made after the bridge began to look is all new.
func (r *runner) find(ctx context.Context) (partitions int, err error) {
	for {
		n, err := r.s.o.Client.Partitions(ctx, r.topic)
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
		switch reason := kafka.Classify(err); {
		case err == nil:
			if r.missing.Swap(false) {
				r.log.Info("the topic is there", "partitions", n)
			} else if r.known == 0 {
				r.known = n
			}
			return n, nil
		case reason != kafka.ReasonUnknownTopic:
			r.log.Warn("look for the topic", "reason", reason, "error", err)
		case !r.missing.Swap(true):
			r.log.Warn("there is no such topic (yet)", "looked_for_every", r.s.o.Config.LookAgain)
			r.known = -1
		}
		if !sleep(ctx, r.s.o.Config.LookAgain) {
			return 0, ctx.Err()
		}
	}
}

// join carries until ctx ends, or the topic is gone or has other partitions: a group learns of these when it is joined.
func (r *runner) join(ctx context.Context, partitions int) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var watch sync.WaitGroup
	watch.Go(func() {
		for sleep(ctx, r.s.o.Config.LookAgain) {
			n, err := r.s.o.Client.Partitions(ctx, r.topic)
			if err == nil && n != partitions || err != nil && kafka.Classify(err) == kafka.ReasonUnknownTopic {
				cancel()
			}
		}
	})
	defer watch.Wait()
	defer cancel()
	group, err := r.s.o.Client.NewGroup(kafka.GroupOptions{
		ID: GroupPrefix + r.name, Topic: r.topic, MemberName: r.s.o.MemberName, SessionTimeout: r.s.o.Config.SessionTimeout,
		ReleaseTimeout: releaseTimeout, Own: r.own,
	})
	if err == nil {
		err = group.Run(ctx)
	}
	if err != nil && ctx.Err() == nil {
		r.log.Error("the group is refused; trying again", "reason", kafka.Classify(err), "error", err)
		sleep(ctx, r.s.o.Config.LookAgain)
	}
}

func (r *runner) own(ctx context.Context, a *kafka.Assignment) error {
	p := r.s.newPlace(r, a)
	defer func() {
		r.mu.Lock()
		delete(r.owned, a.Partition)
		r.mu.Unlock()
	}()
	err := p.run(ctx)
	if err != nil && ctx.Err() == nil {
		r.m.retried.Inc()
	}
	return err
}

// stands notes where a partition stands.
func (r *runner) stands(partition int, next, end int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.owned[partition] = &PlaceState{Partition: partition, Next: next, Lag: max(0, end-next)}
}

func (r *runner) places() []PlaceState {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]PlaceState, 0, len(r.owned))
	for _, p := range r.owned {
		out = append(out, *p)
	}
	slices.SortFunc(out, func(a, b PlaceState) int { return cmp.Compare(a.Partition, b.Partition) })
	return out
}

func (r *runner) lag() (n int64) {
	for _, p := range r.places() {
		n += p.Lag
	}
	return n
}

// failed remembers a dead letter. The first of a kind is logged, which is a code and a setting, or a topic of them would fill the log:
// what is wrong may name what is in the record.
func (r *runner) failed(o Origin, why *wire.Error) {
	kind := why.Code + " " + why.Path
	r.mu.Lock()
	news := !r.told[kind]
	r.told[kind], r.failure = true, why.Error()
	r.mu.Unlock()
	if news {
		r.log.Warn("a record is a dead letter", "partition", o.Partition, "offset", o.Record.Offset, "cause", why)
	}
}

func (r *runner) state() State {
	b := r.bridge.Load()
	out := State{
		Name: r.name, Topic: r.topic, To: b.To, Group: GroupPrefix + r.name, Missing: r.missing.Load(), Partitions: r.places(),
		Records: make(map[string]uint64, verdicts),
	}
	for v := range verdicts {
		out.Records[v.String()] = r.m.records[v].Get()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	out.Failure = r.failure
	return out
}

// sleep reports whether ctx lasted.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
