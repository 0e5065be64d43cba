package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// ownership is a partition held by this member, with the goroutine that calls Own.
type ownership struct {
	partition int
	turn      int // grows with each that is taken
	ctx       context.Context
	cancel    context.CancelFunc
	done      chan struct{} // closed when the goroutine has ended
}

// Assignment is a partition handed to Own.
type Assignment struct {
	Topic     string
	Partition int
	Committed int64 // the group's committed offset, -1 if there is none

	group *Group
	held  *ownership
}

// Commit stores offset, that of the next record to read, for the group, until Own has returned: nobody else
// is given the partition before. ErrRebalancing is retriable: the group is changing hands, and Own's ctx ends
// if the partition is lost. When ctx ends first the offset may still be stored.
func (a *Assignment) Commit(ctx context.Context, offset int64) error {
	err := a.commit(ctx, offset)
	m := a.group.client.metrics
	if err != nil {
		m.commitFail[Classify(err)].Inc()
		return fmt.Errorf("commit %s/%d: %w", a.Topic, a.Partition, err)
	}
	m.commits.Inc()
	return nil
}

// commit lets one partition commit at a time: goroutines that wait for different answers on one of kafka-go's
// connections spin until their own is next.
func (a *Assignment) commit(ctx context.Context, offset int64) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case a.group.committing <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	outcome := a.group.commitOffset(a.held, offset)
	select {
	case err := <-outcome:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// commitOffset sends a commit for a partition that is held, in the present generation. The request, which
// cannot be interrupted, gives the token back when it ends.
func (g *Group) commitOffset(held *ownership, offset int64) <-chan error {
	outcome := make(chan error, 1)
	g.mu.Lock()
	defer g.mu.Unlock()
	generation := g.generation
	if generation == nil || g.owned[held.partition] != held {
		<-g.committing
		outcome <- ErrRebalancing
		return outcome
	}
	g.holders.Go(func() { // held, so its own goroutine has not ended, and Run waits
		defer func() { <-g.committing }()
		err := generation.CommitOffsets(map[string]map[int]int64{g.opts.Topic: {held.partition: offset}})
		if err != nil && (Classify(err) == ReasonRebalancing || g.current() != generation) {
			err = errors.Join(ErrRebalancing, err) // or the generation ended under the request
		}
		outcome <- err
	})
	return outcome
}

// resumeAfter is how long a call of Own must have lasted for its end not to count as a failed start.
const resumeAfter = 30 * time.Second

// take starts to own a partition, unless it is owned already.
func (g *Group) take(ctx context.Context, partition int, committed int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if o := g.owned[partition]; o != nil && o.ctx.Err() == nil {
		return
	}
	before := g.owned[partition] // of an expired session; it must end first
	g.turns++
	o := &ownership{partition: partition, turn: g.turns, done: make(chan struct{})}
	o.ctx, o.cancel = context.WithCancel(ctx)
	g.owned[partition] = o
	g.client.metrics.owned.Inc()
	g.holders.Go(func() { g.hold(o, before, committed) })
}

// hold calls Own until the partition is lost.
func (g *Group) hold(o, before *ownership, committed int64) {
	defer g.dropped(o)
	if before != nil {
		<-before.done
	}
	pause := newBackOff()
	for o.ctx.Err() == nil {
		a := &Assignment{Topic: g.opts.Topic, Partition: o.partition, Committed: committed, group: g, held: o}
		began := time.Now()
		err := g.opts.Own(o.ctx, a)
		if o.ctx.Err() != nil {
			return
		}
		if time.Since(began) > resumeAfter {
			pause.Reset()
		}
		g.log.Warn("owning ended, beginning anew", "partition", o.partition, "reason", Classify(err), "error", err)
		if !sleep(o.ctx, pause.NextBackOff()) {
			return
		}
		if committed, err = g.committed(o.ctx, o.partition); err != nil {
			g.log.Warn("read committed offset", "partition", o.partition, "error", err)
			committed = a.Committed
		}
	}
}

func (g *Group) committed(ctx context.Context, partition int) (int64, error) {
	all, err := g.client.Committed(ctx, g.opts.ID, g.opts.Topic, partition+1)
	if err != nil {
		return -1, err
	}
	return all[partition], nil
}

// dropped forgets an ownership whose goroutine ends.
func (g *Group) dropped(o *ownership) {
	o.cancel()
	g.mu.Lock()
	if g.owned[o.partition] == o {
		delete(g.owned, o.partition)
	}
	g.mu.Unlock()
	g.client.metrics.owned.Dec()
	close(o.done)
}

// release ends ownerships and waits for them, all together for at most ReleaseTimeout. One that does not
// end is no longer claimed: its successor relies on the fence.
func (g *Group) release(list []*ownership) {
	for _, o := range list {
		o.cancel()
	}
	timer := time.NewTimer(g.opts.ReleaseTimeout)
	defer timer.Stop()
	for _, o := range list {
		select {
		case <-o.done:
		case <-timer.C:
			g.log.Error("partition not released in time", "partition", o.partition)
			g.abandon(list)
			return
		}
	}
}

// abandon forgets those of list that still run.
func (g *Group) abandon(list []*ownership) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, o := range list {
		if g.owned[o.partition] == o {
			delete(g.owned, o.partition)
		}
	}
}

func (g *Group) all() []*ownership {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := make([]*ownership, 0, len(g.owned))
	for _, o := range g.owned {
		out = append(out, o)
	}
	return out
}
