package app

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// step undoes one thing that was begun.
type step struct {
	name string
	undo func() error
}

// stack undoes what was begun, the last first, once.
type stack struct {
	log     *slog.Logger
	timeout time.Duration // of each step

	mu    sync.Mutex
	steps []step
	done  bool
	err   error
}

// push adds a step. What was begun after the end is undone at once.
func (s *stack) push(name string, undo func() error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.done {
		s.err = errors.Join(s.err, s.run(step{name, undo}))
		return
	}
	s.steps = append(s.steps, step{name, undo})
}

// unwind runs the steps. One that fails or takes too long does not keep the others from running; one that
// takes too long is left behind. Calling it again returns the same.
func (s *stack) unwind() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.done {
		return s.err
	}
	s.done = true
	var errs []error
	for i := len(s.steps) - 1; i >= 0; i-- {
		st := s.steps[i]
		began := time.Now()
		if err := s.run(st); err != nil {
			s.log.Error("stop", "step", st.name, "error", err)
			errs = append(errs, fmt.Errorf("stop %s: %w", st.name, err))
			continue
		}
		s.log.Debug("stopped", "step", st.name, "took", time.Since(began))
	}
	s.err = errors.Join(errs...)
	return s.err
}

func (s *stack) run(st step) error {
	ended := make(chan error, 1)
	go func() { ended <- st.undo() }()
	timer := time.NewTimer(s.timeout)
	defer timer.Stop()
	select {
	case err := <-ended:
		return err
	case <-timer.C:
		return fmt.Errorf("not within %s", s.timeout)
	}
}
