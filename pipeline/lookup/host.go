package lookup

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/failsafe-go/failsafe-go/retrypolicy"

	"weir/pipeline/plan"
)

const (
	// maxWaiting bounds the queue of a host, atOnce how many questions it gets at once.
	maxWaiting = 1024
	atOnce     = 2

	maxAttempts  = 3
	firstBackoff = 200 * time.Millisecond
	lastBackoff  = 2 * time.Second

	// A host of which failThreshold of the last failWindow attempts failed is left alone for rest.
	failThreshold = 5
	failWindow    = 10
	rest          = 30 * time.Second
)

// errLeftAlone: the host fails, and is not asked at present.
var errLeftAlone = circuitbreaker.ErrOpen

type answer = map[string]string

// host is somebody who is asked. waiting and active are guarded by Lookups.mu.
type host struct {
	name    string
	waiting []*job
	active  int
	breaker circuitbreaker.CircuitBreaker[answer]
	tries   failsafe.Executor[answer]
}

// job is a look-up that waits or is under way.
type job struct {
	lookup *plan.Lookup
	entry  *entry
	host   *host
}

func (l *Lookups) newHost(name string) *host {
	h := &host{name: name}
	h.breaker = circuitbreaker.NewBuilder[answer]().
		WithFailureThresholdRatio(failThreshold, failWindow).
		WithDelay(rest).
		HandleIf(func(_ answer, err error) bool { return isTransient(err) }).
		OnStateChanged(func(e circuitbreaker.StateChangedEvent) {
			l.log.Warn("circuit breaker of a host that is asked about devices", "host", name, "state", e.NewState.String(), "before", e.OldState.String())
		}).
		Build()
	retry := retrypolicy.NewBuilder[answer]().
		WithMaxAttempts(maxAttempts).
		WithBackoff(firstBackoff, lastBackoff).
		WithJitterFactor(0.25).
		HandleIf(func(_ answer, err error) bool { return isTransient(err) }).
		ReturnLastFailure().
		Build()
	h.tries = failsafe.With[answer](retry, h.breaker)
	l.set.GetOrCreateGauge(fmt.Sprintf("weir_pipeline_enrich_breaker{host=%q}", name), func() float64 {
		return states[h.breaker.State()]
	})
	return h
}

// states are the values of the gauge.
var states = map[circuitbreaker.State]float64{
	circuitbreaker.ClosedState: 0, circuitbreaker.HalfOpenState: 1, circuitbreaker.OpenState: 2,
}

// rest is for how long the host is left alone still.
func (h *host) rest() time.Duration { return max(h.breaker.RemainingDelay(), time.Second) }

// begin has a question asked. The caller has the lock.
func (l *Lookups) begin(x *plan.Lookup, e *entry) {
	u, err := url.Parse(e.key.url)
	if err != nil { // the plan was checked, and devices are escaped
		e.failed, e.again = true, time.Now().Add(askAgain)
		return
	}
	h := l.hosts[u.Host]
	if h == nil {
		h = l.newHost(u.Host)
		l.hosts[u.Host] = h
	}
	switch {
	case h.breaker.IsOpen() && h.breaker.RemainingDelay() > 0:
		l.m.leftAlone.Inc()
		e.again = time.Now().Add(h.rest())
		return
	case len(h.waiting) == maxWaiting:
		l.m.full.Inc()
		return
	}
	e.asked = true
	h.waiting = append(h.waiting, &job{lookup: x, entry: e, host: h})
	if h.active < atOnce {
		h.active++
		l.all.Go(func() { l.serve(h) })
	}
}

// serve asks a host until nothing waits for it.
func (l *Lookups) serve(h *host) {
	for {
		l.mu.Lock()
		if len(h.waiting) == 0 || l.closed {
			h.active--
			l.mu.Unlock()
			return
		}
		j := h.waiting[0]
		h.waiting[0] = nil
		h.waiting = h.waiting[1:]
		l.mu.Unlock()
		labels, err := l.look(j)
		l.ended(j, labels, err)
	}
}

// look asks, and asks again when there is hope.
func (l *Lookups) look(j *job) (answer, error) {
	labels, err := j.host.tries.WithContext(l.work).GetWithExecution(func(exec failsafe.Execution[answer]) (answer, error) {
		l.m.lookups.Inc()
		ctx, cancel := context.WithTimeout(exec.Context(), j.lookup.Timeout)
		defer cancel()
		labels, err := l.get(ctx, j.entry.key)
		if err != nil {
			l.m.failure(err)
		}
		return labels, err
	})
	if errors.Is(err, errLeftAlone) {
		l.m.leftAlone.Inc()
	}
	return labels, err
}
