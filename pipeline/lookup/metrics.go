package lookup

import (
	"context"
	"errors"
	"fmt"

	"github.com/VictoriaMetrics/metrics"
)

// counters of all look-ups. hits to negative are answers of the cache; full and leftAlone questions that were not asked.
type counters struct {
	lookups                       *metrics.Counter
	unreached, refused, timeout   *metrics.Counter
	hits, stale, misses, negative *metrics.Counter
	full, leftAlone               *metrics.Counter
}

func newCounters(set *metrics.Set) *counters {
	counter := func(what, label, value string) *metrics.Counter {
		return set.GetOrCreateCounter(fmt.Sprintf("weir_pipeline_enrich_%s_total{%s=%q}", what, label, value))
	}
	return &counters{
		lookups:   set.GetOrCreateCounter("weir_pipeline_enrich_lookups_total"),
		unreached: counter("failures", "reason", "transient"),
		refused:   counter("failures", "reason", "refused"),
		timeout:   counter("failures", "reason", "timeout"),
		hits:      counter("cache", "outcome", "hit"),
		stale:     counter("cache", "outcome", "stale"),
		misses:    counter("cache", "outcome", "miss"),
		negative:  counter("cache", "outcome", "negative"),
		full:      counter("shed", "reason", "queue_full"),
		leftAlone: counter("shed", "reason", "breaker_open"),
	}
}

// failure counts an attempt that came to nothing.
func (c *counters) failure(err error) {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		c.timeout.Inc()
	case isTransient(err):
		c.unreached.Inc()
	default:
		c.refused.Inc()
	}
}
