package alerts

import (
	"context"
	"sync"

	"weir/telemetry"
	"weir/wire"
)

// waiter collects the transitions of an alert until the one comes that is waited for.
type waiter struct {
	mu   sync.Mutex
	news []telemetry.Alert
	more chan struct{} // has a place for one word that there are some
}

func newWaiter() *waiter { return &waiter{more: make(chan struct{}, 1)} }

func (w *waiter) take(a *telemetry.Alert) {
	w.mu.Lock()
	w.news = append(w.news, *a)
	w.mu.Unlock()
	select {
	case w.more <- struct{}{}:
	default:
	}
}

// wait returns the alert as it is once the command has been applied; nil when ctx ends before. A command that comes
// after the alert's end is applied to nothing.
func (w *waiter) wait(ctx context.Context, one *repeat, by string) (*telemetry.Alert, int64, *wire.Error) {
	for {
		w.mu.Lock()
		news := w.news
		w.news = nil
		w.mu.Unlock()
		for i := range news {
			a := &news[i]
			switch {
			case one.causes(a, by):
				return a, one.offset, nil
			case a.Phase == telemetry.Resolved:
				return nil, one.offset, wire.NewError(wire.CodeAlertResolved, "id")
			}
		}
		select {
		case <-w.more:
		case <-ctx.Done():
			return nil, one.offset, nil
		}
	}
}

// causes reports whether a transition is the command's, or a later one: the partition's owner has passed the command.
func (r *repeat) causes(a *telemetry.Alert, by string) bool {
	if r.offset >= 0 {
		return a.Version >= telemetry.VersionOf(r.offset, 0)
	}
	return a.Reason == r.reason && (a.Marked == nil || r.reason != telemetry.Acked || a.Marked.By == by)
}
