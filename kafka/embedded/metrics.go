package embedded

import (
	"fmt"

	"github.com/VictoriaMetrics/metrics"
)

// brokerMetrics exist before their first use.
type brokerMetrics struct {
	set          *metrics.Set
	trimmedBytes *metrics.Counter
	trimErrors   *metrics.Counter
	syncErrors   *metrics.Counter
	failures     *metrics.Counter
}

func newMetrics(set *metrics.Set, topics map[string]Retention) *brokerMetrics {
	if set == nil {
		set = metrics.NewSet()
	}
	m := &brokerMetrics{
		set:          set,
		trimmedBytes: set.GetOrCreateCounter("weir_embedded_trimmed_bytes_total"),
		trimErrors:   set.GetOrCreateCounter("weir_embedded_trim_errors_total"),
		syncErrors:   set.GetOrCreateCounter("weir_embedded_sync_errors_total"),
		failures:     set.GetOrCreateCounter("weir_embedded_failures_total"),
	}
	for topic := range topics {
		m.observe(topic, nil)
	}
	return m
}

// observe publishes what a bounded topic holds.
func (m *brokerMetrics) observe(topic string, logs []logState) {
	var bytes, batches int64
	for _, l := range logs {
		for _, s := range l.segments {
			bytes += s.bytes
			batches += s.batches
		}
	}
	m.set.GetOrCreateGauge(fmt.Sprintf("weir_embedded_log_bytes{topic=%q}", topic), nil).Set(float64(bytes))
	m.set.GetOrCreateGauge(fmt.Sprintf("weir_embedded_log_batches{topic=%q}", topic), nil).Set(float64(batches))
}
