package bridge

import (
	"fmt"

	"github.com/VictoriaMetrics/metrics"
)

// instruments are of one bridge. Its counters stay when it ends: it may come back.
type instruments struct {
	set     *metrics.Set
	records [verdicts]*metrics.Counter
	lost    *metrics.Counter // offsets that retention or damage took
	retried *metrics.Counter // begun anew because Kafka did not take something
	gauges  []string
}

func newInstruments(set *metrics.Set, r *runner) *instruments {
	m := &instruments{set: set}
	label := fmt.Sprintf("{bridge=%q}", r.name)
	for v := range verdicts {
		m.records[v] = set.GetOrCreateCounter(fmt.Sprintf("weir_bridge_records_total{bridge=%q,outcome=%q}", r.name, v))
	}
	m.lost = set.GetOrCreateCounter("weir_bridge_records_lost_total" + label)
	m.retried = set.GetOrCreateCounter("weir_bridge_retries_total" + label)
	for name, value := range map[string]func() float64{
		"weir_bridge_lag":           func() float64 { return float64(r.lag()) },
		"weir_bridge_partitions":    func() float64 { return float64(len(r.places())) },
		"weir_bridge_topic_missing": func() float64 { return truth(r.missing.Load()) },
		"weir_bridge_held":          func() float64 { return float64(r.held.Load()) },
	} {
		set.NewGauge(name+label, value)
		m.gauges = append(m.gauges, name+label)
	}
	return m
}

// unregister ends the gauges.
func (m *instruments) unregister() {
	for _, g := range m.gauges {
		m.set.UnregisterMetric(g)
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
