package device

import (
	"context"
	"fmt"
	"slices"
)

// waiter waits for a series to reach a version.
type waiter struct {
	series  string
	version Version
	done    chan error
}

// WaitFor waits until what Next returns, or has returned, holds the version of a series, or ctx ends. So a program sees what
// it wrote itself: the version is in the answer to its write. Series that are out of a filtered view are not told.
func (s *Subscription) WaitFor(ctx context.Context, series string, version Version) error {
	w := &waiter{series: series, version: version, done: make(chan error, 1)}
	l := s.live
	l.mu.Lock()
	t := s.tracks[series]
	switch {
	case t != nil && t.known && t.version >= version:
		l.mu.Unlock()
		return nil
	case s.err != nil:
		defer l.mu.Unlock()
		return s.err
	case !s.follows(series):
		l.mu.Unlock()
		return fmt.Errorf("live: %s is not followed by this subscription", series)
	}
	s.waiters = append(s.waiters, w)
	l.mu.Unlock()
	select {
	case err := <-w.done:
		return err
	case <-ctx.Done():
		l.mu.Lock()
		defer l.mu.Unlock()
		s.waiters = slices.DeleteFunc(s.waiters, func(other *waiter) bool { return other == w })
		return ctx.Err()
	}
}

// reachedLocked wakes those who wait for a version of the series.
func (s *Subscription) reachedLocked(t *track) {
	if len(s.waiters) == 0 {
		return
	}
	s.waiters = slices.DeleteFunc(s.waiters, func(w *waiter) bool {
		there := w.series == t.series && w.version <= t.version
		if there {
			w.done <- nil
		}
		return there
	})
}
