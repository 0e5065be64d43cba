package pipeline

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"weir/kafka"
	"weir/wire"
)

// TestOwnersThatCrashAndSleepCountEveryReadingOnce runs owners of one partition on a real broker, kills
// them at random points, lets others sleep there and wake as zombies after their successors have begun, and
// compares all that is left with what a single undisturbed pass over the readings gives.
func TestOwnersThatCrashAndSleepCountEveryReadingOnce(t *testing.T) {
	duration := 3 * time.Second
	if testing.Short() {
		duration = time.Second
	}
	for seed := uint64(1); seed <= 3; seed++ {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 1)
			c := &chaos{w: w, rng: rand.New(rand.NewPCG(seed, 0)), committed: -1, wake: make(chan struct{})}
			fleet := newFleet(seed)
			c.storm(fleet, duration)
			c.settle(fleet)
			fleet.end = c.committed
			fleet.check(t, w)
			t.Logf("%d owners, %d crashed, %d slept; %d records, %d readings, %d alerts, %d with a metric too many, %d deletions, %d controls",
				c.generation, c.crashed, c.slept, fleet.records, fleet.readings, len(fleet.transitions), len(fleet.refused), fleet.deletions, fleet.controls)
		})
	}
}

var errCrash = errors.New("crash")

// chaos hands the partition from owner to owner, as a group would, only worse.
type chaos struct {
	w      *world
	owners sync.WaitGroup
	// metrics, if not nil, are those of owners that evict devices all the time.
	metrics *metrics.Set

	mu         sync.Mutex
	rng        *rand.Rand
	generation int
	committed  int64
	crashed    int
	slept      int
	calm       bool
	wake       chan struct{} // closed and replaced to wake those that sleep
	stops      []context.CancelFunc
}

// assign makes a new owner; the former one is not told.
func (c *chaos) assign() (ended chan error) {
	c.mu.Lock()
	c.generation++
	mine, committed := c.generation, c.committed
	c.mu.Unlock()
	client := c.w.newClient()
	config := testConfig()
	config.CheckpointPeriod = 7 * time.Millisecond
	config.FlushPeriod = time.Millisecond
	config.CompactAbove = 64 << 10
	config.MaxSeriesPerDevice = fleetSeries
	set := metrics.NewSet()
	if c.metrics != nil {
		config.EvictAfter, set = time.Millisecond, c.metrics
	}
	p, err := New(Options{Client: client, Config: config, Metrics: set, Trimmer: c.w.broker, Logger: testLogger(c.w.t)})
	if err != nil {
		c.w.t.Fatal(err)
	}
	p.hook = func(_ int, point string) error { return c.at(client, point) }
	owner := p.newOwner(0, committed, func(_ context.Context, offset int64) error {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.generation != mine {
			return errors.New("another generation")
		}
		c.committed = offset
		return nil
	})
	ctx, stop := context.WithCancel(context.Background())
	c.stops = append(c.stops, stop)
	ended = make(chan error, 1)
	c.owners.Go(func() { ended <- owner.run(ctx) })
	return ended
}

// at decides what happens to an owner at a point of the protocol.
func (c *chaos) at(client *kafka.Client, point string) error {
	c.mu.Lock()
	x, wake := c.rng.Float64(), c.wake
	if point == "batch" || point == "emit "+wire.TopicUpdates {
		x = min(x*5, 1) // these points come often
	}
	switch {
	case c.calm:
	case x < 0.01:
		c.crashed++
		c.mu.Unlock()
		client.Close() // nothing that is buffered arrives
		return errCrash
	case x < 0.02:
		c.crashed++
		c.mu.Unlock()
		return errCrash
	case x < 0.04:
		c.slept++
		c.mu.Unlock()
		<-wake
		return nil
	}
	c.mu.Unlock()
	return nil
}

func (c *chaos) random(n int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.rng.IntN(n)
}

// awake wakes those that sleep.
func (c *chaos) awake() {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.wake)
	c.wake = make(chan struct{})
}

func (c *chaos) storm(f *fleet, duration time.Duration) {
	over, cancel := context.WithTimeout(context.Background(), duration)
	defer cancel()
	var sending sync.WaitGroup
	sending.Go(func() {
		for over.Err() == nil {
			f.send(c.w)
		}
	})
	ended := c.assign()
	for over.Err() == nil {
		select {
		case <-ended:
			ended = c.assign()
		case <-time.After(time.Duration(5+c.random(60)) * time.Millisecond):
			switch c.random(4) {
			case 0:
				ended = c.assign() // the former one goes on, or sleeps
			case 1:
				c.awake()
			}
		}
	}
	sending.Wait()
}

// settle lets a last owner finish undisturbed, with the zombies awake.
func (c *chaos) settle(f *fleet) {
	c.mu.Lock()
	c.calm = true
	c.mu.Unlock()
	ended := c.assign()
	c.awake()
	c.w.await("a checkpoint contains all readings", func() bool {
		select {
		case <-ended: // somebody who was late to acquire has fenced it
			ended = c.assign()
		default:
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.committed > f.last
	})
	for _, stop := range c.stops {
		stop()
	}
	c.owners.Wait()
}
