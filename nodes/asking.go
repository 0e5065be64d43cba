package nodes

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"weir/kafka"
	"weir/wire"
)

const (
	// askEvery is how often the broker is asked for partitions that nobody reports.
	askEvery = Beat
	// answerLasts is for how long an answer counts.
	answerLasts = Silence
)

// asking learns from the broker how far the pipeline's group is behind on the partitions that nobody reports.
type asking struct {
	client     *kafka.Client
	group      string
	partitions int
	log        *slog.Logger

	unreported atomic.Int64 // how many partitions there are to ask for

	mu       sync.Mutex
	wanted   []bool
	answers  []PartitionLag
	answered []time.Time
}

func newAsking(o *RegistryOptions) *asking {
	return &asking{
		client: o.Client, group: o.Group, partitions: o.Partitions, log: o.Logger,
		wanted: make([]bool, o.Partitions), answers: make([]PartitionLag, o.Partitions), answered: make([]time.Time, o.Partitions),
	}
}

// complete fills in what the broker has answered for the partitions that are not known, and notes them.
func (a *asking) complete(lags []PartitionLag, known []bool, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	missing := int64(0)
	for p := range lags {
		a.wanted[p] = !known[p]
		if known[p] {
			continue
		}
		missing++
		if since := now.Sub(a.answered[p]); since < answerLasts {
			lags[p], known[p] = a.answers[p], true
			if lags[p].Records > 0 {
				lags[p].Age += since.Microseconds()
			}
		}
	}
	a.unreported.Store(missing)
}

func (a *asking) run(ctx context.Context) {
	tick := time.NewTicker(askEvery)
	defer tick.Stop()
	for {
		if a.unreported.Load() > 0 {
			if err := a.ask(ctx); err != nil && ctx.Err() == nil {
				a.log.Debug("lag not learnt from the broker", "error", err)
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (a *asking) ask(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, askEvery)
	defer cancel()
	ranges, err := a.client.Offsets(ctx, wire.TopicReadings)
	if err != nil {
		return err
	}
	committed, err := a.client.Committed(ctx, a.group, wire.TopicReadings, len(ranges))
	if err != nil {
		return err
	}
	var errs []error
	for p := range min(len(ranges), a.partitions) {
		a.mu.Lock()
		wanted := a.wanted[p]
		a.mu.Unlock()
		if wanted {
			errs = append(errs, a.answer(ctx, p, ranges[p], committed[p]))
		}
	}
	return errors.Join(errs...)
}

// answer takes what is known of a partition, with the age of its first record that is not committed.
func (a *asking) answer(ctx context.Context, partition int, held kafka.OffsetRange, committed int64) error {
	lag := PartitionLag{Partition: partition, Applied: max(committed, held.First), End: held.End}
	lag.Records = max(0, lag.End-lag.Applied)
	if lag.Records > 0 {
		err := a.client.ReadRange(ctx, wire.TopicReadings, partition, lag.Applied, lag.Applied+1, func(r *kafka.Record) error {
			lag.Age = max(0, time.Since(time.UnixMilli(r.Time)).Microseconds())
			lag.Bytes = lag.Records * int64(len(r.Key)+len(r.Value))
			return nil
		})
		if err != nil {
			return err
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.answers[partition], a.answered[partition] = lag, time.Now()
	return nil
}
