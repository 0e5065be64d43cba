package pipeline

import "context"

// lane is one topic that emit writes to, with at most one call on its way. Were there two, the first could
// fail and the second be stored, and readers would see a hole in the chain that nobody could close.
type lane struct {
	slot chan struct{}
	// end is the offset after the newest record acknowledged. It belongs to whoever holds the slot.
	end int64
}

func newLane(end int64) *lane { return &lane{slot: make(chan struct{}, 1), end: end} }

// enter waits until the call before is acknowledged.
func (l *lane) enter(ctx context.Context) error {
	select {
	case l.slot <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// leave ends a call that stored n records from base on. A call that failed never leaves.
func (l *lane) leave(base int64, n int) {
	if base < 0 {
		// The broker only confirmed a retry. Nobody but this owner writes to the partition.
		base = l.end
	}
	l.end = base + int64(n)
	<-l.slot
}

// settled waits until all calls are acknowledged and returns the offset after them.
func (l *lane) settled(ctx context.Context) (end int64, err error) {
	if err := l.enter(ctx); err != nil {
		return 0, err
	}
	end = l.end
	<-l.slot
	return end, nil
}
