package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	kafkago "github.com/segmentio/kafka-go"
)

// GroupOptions of a Group. Zero durations mean the defaults named.
type GroupOptions struct {
	ID         string // of the group
	Topic      string
	MemberName string // shown by Kafka's tools; default the client's id

	SessionTimeout    time.Duration // after so long without a heartbeat a member is dead (default 10 s)
	HeartbeatInterval time.Duration // also bounds how soon a member learns of a rebalance (default 1 s)
	RebalanceTimeout  time.Duration // how long the group waits for a member to join again (default 10 s)
	ReleaseTimeout    time.Duration // how long Own has to return when its partition is lost (default 5 s)

	// Own is called in its own goroutine for every partition that this member gets. ctx ends when the
	// partition is lost, or Run's ctx ends; Own must then return. A partition that stays here over a
	// rebalance keeps its call. If Own returns while the group still holds the partition, it is called anew,
	// with back-off and a fresh Committed.
	Own func(ctx context.Context, a *Assignment) error
}

const (
	defaultSessionTimeout    = 10 * time.Second
	defaultHeartbeatInterval = time.Second
	defaultRebalanceTimeout  = 10 * time.Second
	defaultReleaseTimeout    = 5 * time.Second
	maxCoordinatorTimeout    = 3 * time.Second
	rejoinPause              = 250 * time.Millisecond
)

func (o *GroupOptions) setDefaults() error {
	setDefault(&o.SessionTimeout, defaultSessionTimeout)
	setDefault(&o.HeartbeatInterval, defaultHeartbeatInterval)
	setDefault(&o.RebalanceTimeout, defaultRebalanceTimeout)
	setDefault(&o.ReleaseTimeout, defaultReleaseTimeout)
	var errs []error
	if o.ID == "" {
		errs = append(errs, errors.New("id: must not be empty"))
	}
	if o.Topic == "" {
		errs = append(errs, errors.New("topic: must not be empty"))
	}
	if o.Own == nil {
		errs = append(errs, errors.New("own: must be set"))
	}
	if o.HeartbeatInterval < 0 || o.SessionTimeout < 3*o.HeartbeatInterval {
		errs = append(errs, errors.New("session_timeout: must be at least 3 heartbeat intervals"))
	}
	if o.RebalanceTimeout < 0 || o.ReleaseTimeout < 0 {
		errs = append(errs, errors.New("rebalance_timeout, release_timeout: must be > 0"))
	}
	return errors.Join(errs...)
}

func setDefault(d *time.Duration, value time.Duration) {
	if *d == 0 {
		*d = value
	}
}

// coordinatorTimeout bounds one request to the coordinator, so that a silent one is noticed within a session.
func (o *GroupOptions) coordinatorTimeout() time.Duration {
	return min(o.SessionTimeout/3, maxCoordinatorTimeout)
}

// Group is a member of a consumer group on one topic.
type Group struct {
	client *Client
	opts   GroupOptions
	log    *slog.Logger

	holders    sync.WaitGroup // goroutines that call Own
	committing chan struct{}  // one token: held over a commit

	mu         sync.Mutex
	generation *kafkago.Generation // nil while the group rebalances
	last       int32               // id of the newest generation seen
	joined     bool                // a generation was applied, and the session has not expired since
	owned      map[int]*ownership
	turns      int         // how many partitions were taken so far
	claimed    []int       // what the last join said we run
	ended      time.Time   // when the last generation did
	expiry     *time.Timer // runs while there is no generation, nil otherwise
}

// NewGroup returns a group's member; Run joins.
func (c *Client) NewGroup(opts GroupOptions) (*Group, error) {
	if err := opts.setDefaults(); err != nil {
		return nil, fmt.Errorf("kafka group: %w", err)
	}
	if opts.MemberName == "" {
		opts.MemberName = c.opts.ClientID
	}
	return &Group{
		client: c, opts: opts, log: c.log.With("group", opts.ID, "topic", opts.Topic),
		owned: make(map[int]*ownership), committing: make(chan struct{}, 1),
	}, nil
}

// Run joins the group and owns partitions until ctx ends. It then ends its Own calls, waits for them up to
// ReleaseTimeout, and leaves the group, so that others take over at once. It returns when all has ended: nil,
// or why the coordinator refuses this member.
func (g *Group) Run(ctx context.Context) error {
	member, err := kafkago.NewConsumerGroup(g.config())
	if err != nil {
		return fmt.Errorf("kafka group %s: %w", g.opts.ID, err)
	}
	err = g.follow(ctx, member)
	g.release(g.all())
	err = errors.Join(err, member.Close()) // leaves
	g.stopExpiry()
	g.holders.Wait()
	if err != nil {
		return fmt.Errorf("kafka group %s: %w", g.opts.ID, err)
	}
	return nil
}

// follow applies generations until ctx ends, or the coordinator refuses this member for good.
func (g *Group) follow(ctx context.Context, member *kafkago.ConsumerGroup) error {
	for ctx.Err() == nil {
		generation, err := member.Next(ctx)
		switch reason := Classify(err); {
		case err == nil:
			g.apply(ctx, generation)
		case ctx.Err() != nil:
		case reason == ReasonInvalid || reason == ReasonAuthorization:
			return fmt.Errorf("join: %w", err)
		default: // the consumer group pauses by itself
			g.failedToJoin(err)
			g.log.Warn("join group", "reason", reason, "error", err)
		}
	}
	return nil
}

func (g *Group) config() kafkago.ConsumerGroupConfig {
	return kafkago.ConsumerGroupConfig{
		ID:                g.opts.ID,
		Brokers:           g.client.opts.Brokers,
		Topics:            []string{g.opts.Topic},
		Dialer:            &kafkago.Dialer{ClientID: g.opts.MemberName, DialFunc: g.client.opts.Dial, Timeout: dialTimeout},
		GroupBalancers:    []kafkago.GroupBalancer{&balancer{topic: g.opts.Topic, claim: g.claim}},
		HeartbeatInterval: g.opts.HeartbeatInterval,
		SessionTimeout:    g.opts.SessionTimeout,
		RebalanceTimeout:  g.opts.RebalanceTimeout,
		JoinGroupBackoff:  rejoinPause,
		Timeout:           g.opts.coordinatorTimeout(),
		ErrorLogger: kafkago.LoggerFunc(func(format string, args ...any) {
			g.log.Debug("consumer group", "event", fmt.Sprintf(format, args...))
		}),
	}
}

// claim tells the group what this member runs: at every join.
func (g *Group) claim() claim {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.claimed = g.claimed[:0]
	for p := range g.owned {
		g.claimed = append(g.claimed, p)
	}
	slices.SortFunc(g.claimed, func(a, b int) int { return cmp.Compare(g.owned[a].turn, g.owned[b].turn) })
	return claim{generation: g.last, partitions: slices.Clone(g.claimed)}
}

// apply brings what is owned in line with a new generation.
func (g *Group) apply(ctx context.Context, generation *kafkago.Generation) {
	assigned := make(map[int]int64)
	for _, a := range generation.Assignments[g.opts.Topic] {
		assigned[a.ID] = max(a.Offset, -1) // kafka-go puts FirstOffset where nothing is committed
	}
	rejoin := make(chan struct{})
	g.begin(generation, rejoin)

	var lost []*ownership
	g.mu.Lock()
	for p, o := range g.owned {
		if _, ok := assigned[p]; !ok {
			lost = append(lost, o)
		}
	}
	g.mu.Unlock()
	g.log.Info("group generation", "generation", generation.ID, "assigned", len(assigned), "lost", len(lost))
	for _, o := range lost {
		o.cancel()
	}
	for p, committed := range assigned {
		g.take(ctx, p, committed)
	}
	g.mu.Lock()
	g.joined = true
	g.mu.Unlock()
	g.release(lost)
	if g.withheld(assigned) {
		close(rejoin)
	}
}

// begin makes generation the current one until it ends: by a rebalance, a failure, or rejoin.
func (g *Group) begin(generation *kafkago.Generation, rejoin <-chan struct{}) {
	g.client.metrics.rebalances.Inc()
	g.mu.Lock()
	g.generation, g.last = generation, generation.ID
	g.stopExpiryLocked()
	g.mu.Unlock()
	// This function's return ends the generation, so it must not return earlier than meant.
	generation.Start(func(ctx context.Context) {
		select {
		case <-ctx.Done():
		case <-rejoin:
		}
		g.end(generation)
	})
}

// end notes that there is no generation. The coordinator keeps a member that has joined again until it has
// heard of all others, or given them up: for as long as a rebalance may take, whatever our session.
func (g *Group) end(generation *kafkago.Generation) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.generation != generation {
		return
	}
	g.generation, g.ended = nil, time.Now()
	g.expireAfterLocked(g.opts.RebalanceTimeout + g.opts.SessionTimeout)
}

// failedToJoin decides how long our partitions are still ours, unless that has passed. Where the coordinator
// only asks to join once more it has us as a member; else it may have heard of us last by the heartbeat
// before the one that ended the generation, and a session after that others own them.
func (g *Group) failedToJoin(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.expiry == nil:
	case errors.Is(err, kafkago.RebalanceInProgress):
		g.expireAfterLocked(g.opts.RebalanceTimeout + g.opts.SessionTimeout)
	default:
		left := g.opts.SessionTimeout - g.opts.HeartbeatInterval - g.opts.coordinatorTimeout()
		g.expireAfterLocked(time.Until(g.ended.Add(left)))
	}
}

func (g *Group) expireAfterLocked(d time.Duration) {
	g.stopExpiryLocked()
	generation := g.last
	g.expiry = time.AfterFunc(d, func() { g.expire(generation) })
}

func (g *Group) stopExpiry() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.stopExpiryLocked()
}

func (g *Group) stopExpiryLocked() {
	if g.expiry != nil {
		g.expiry.Stop()
		g.expiry = nil
	}
}

// expire gives up all partitions: the session is over, and nobody told us.
func (g *Group) expire(generation int32) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.generation != nil || g.last != generation {
		return
	}
	g.expiry = nil
	if len(g.owned) > 0 {
		g.log.Warn("group session expired", "generation", generation, "lost", len(g.owned))
	}
	g.joined = false
	for _, o := range g.owned {
		o.cancel()
	}
}

// Joined reports whether this is a member of the group, and how many partitions it owns. A spare member
// owns none.
func (g *Group) Joined() (owned int, joined bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.owned), g.joined
}

// withheld reports whether the group waits for us: we claimed a partition, did not get it, and have let go.
func (g *Group) withheld(assigned map[int]int64) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.ContainsFunc(g.claimed, func(p int) bool {
		_, kept := assigned[p]
		return !kept
	})
}

// current returns the generation to commit with, nil during a rebalance.
func (g *Group) current() *kafkago.Generation {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.generation
}
