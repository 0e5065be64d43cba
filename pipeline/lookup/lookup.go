// Package lookup asks others what they know of a device, for the labels of its alerts.
//
// [Lookups.Ask] answers at once, from a cache: with what is known, or that it is not known yet or could not be had. It
// begins a look-up when there is none that is fresh. So nobody ever waits for an answer, and an answer that is no longer
// fresh is given until there is another.
//
//	Ask ──▶ cache ──▶ queue of the host ──▶ retry ──▶ circuit breaker ──▶ GET
//	          ▲                                                            │
//	          └──────────────────────── answer or failure ◀────────────────┘
//
// # What is bounded
//
// The cache, in bytes: the answers asked for longest ago go first. The queue of each host, of which at most two are
// asked at once: what finds it full is dropped, counted, and asked again with the next alert. The time of an attempt, by the
// plan, and attempts, at three. While a host fails it is left alone, but for a try now and then. An answer, at 64 KiB and
// 32 labels.
//
// What could not be had although all was tried is told to Options.Failed, once per device and hour, and asked again after a
// minute at the earliest.
//
// # Goroutines
//
// A host that is asked has one or two, which end when its queue is empty. Run ends them all.
package lookup

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"weir/pipeline/plan"
)

const (
	// maxCached bounds the cache, in bytes.
	maxCached = 16 << 20
	// askAgain is how long after a failure the next attempt is at the earliest.
	askAgain = time.Minute
	// tellAgain is how long a failure that was told is not told again.
	tellAgain = time.Hour
)

// State says how far an answer can be relied on.
type State uint8

const (
	// Known: these are the labels, if any.
	Known State = iota
	// Pending: there is no answer yet.
	Pending
	// Failed: there is none to be had at present.
	Failed
)

// Failure is a look-up that failed for good.
type Failure struct {
	Device, Host string
	Cause        error
}

// Options of Lookups.
type Options struct {
	// Failed is told of failures, from a goroutine of its own host: it may wait, but not for long.
	Failed func(context.Context, Failure)
	// Transport is nil but in tests.
	Transport http.RoundTripper
	Logger    *slog.Logger
	Metrics   *metrics.Set
}

// Lookups asks and remembers answers. It is safe for concurrent use.
type Lookups struct {
	client *http.Client
	failed func(context.Context, Failure)
	log    *slog.Logger
	set    *metrics.Set
	m      *counters

	work context.Context
	stop context.CancelFunc
	all  sync.WaitGroup

	mu     sync.Mutex
	closed bool
	cache  cache
	hosts  map[string]*host
}

// New starts nothing.
func New(o Options) *Lookups {
	l := &Lookups{failed: o.Failed, log: o.Logger, set: o.Metrics, hosts: make(map[string]*host)}
	if l.log == nil {
		l.log = slog.New(slog.DiscardHandler)
	}
	if l.set == nil {
		l.set = metrics.NewSet()
	}
	if l.failed == nil {
		l.failed = func(context.Context, Failure) {}
	}
	l.client = newClient(o.Transport)
	l.m = newCounters(l.set)
	l.cache.init()
	l.set.GetOrCreateGauge("weir_pipeline_enrich_cache_bytes", func() float64 {
		l.mu.Lock()
		defer l.mu.Unlock()
		return float64(l.cache.bytes)
	})
	l.work, l.stop = context.WithCancel(context.Background())
	return l
}

// Run waits until ctx ends, and then for the look-ups that are under way to be given up. After that Ask tells what
// it knows, and asks nobody.
func (l *Lookups) Run(ctx context.Context) error {
	<-ctx.Done()
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.stop()
	l.all.Wait()
	l.client.CloseIdleConnections()
	return nil
}

// Ask is what is known of a device. It never waits. The caller must not change the labels.
func (l *Lookups) Ask(x *plan.Lookup, device string) (labels map[string]string, state State) {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.cache.get(key{x.URL(device), x.Prefix, x.HeadersFile})
	e.device = device
	switch {
	case e.answered && now.Before(e.again):
		l.m.hits.Inc()
	case e.answered:
		l.m.stale.Inc()
	case e.failed:
		l.m.negative.Inc()
	default:
		l.m.misses.Inc()
	}
	if !e.asked && !now.Before(e.again) && !l.closed {
		l.begin(x, e)
	}
	switch {
	case e.answered:
		return e.labels, Known
	case e.failed:
		return nil, Failed
	}
	return nil, Pending
}

// ended notes what came of a look-up. The caller does not have the lock.
func (l *Lookups) ended(j *job, labels map[string]string, err error) {
	now := time.Now()
	l.mu.Lock()
	e := j.entry
	e.asked = false
	tell := false
	switch {
	case err == nil:
		e.answered, e.failed, e.labels, e.again = true, false, labels, now.Add(j.lookup.Cache)
	case errors.Is(err, errLeftAlone):
		// It is pending, or stale, until the host can be asked again.
		e.again = now.Add(j.host.rest())
	case l.closed:
	default:
		e.failed, e.again = true, now.Add(askAgain)
		if tell = now.Sub(e.told) >= tellAgain; tell {
			e.told = now
		}
	}
	l.cache.resize(e)
	l.mu.Unlock()
	if tell {
		l.log.Warn("nothing learned of a device", "device", e.device, "host", j.host.name, "error", err)
		l.failed(l.work, Failure{Device: e.device, Host: j.host.name, Cause: err})
	}
}
