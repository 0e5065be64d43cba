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
	name := func(of string) string { return fmt.Sprintf(`weir_bridge_%s{bridge=%q}`, of, r.name) }
	for v := range verdicts {
		m.records[v] = set.GetOrCreateCounter(fmt.Sprintf(`weir_bridge_records_total{bridge=%q,outcome=%q}`, r.name, v))
	}
	m.lost = set.GetOrCreateCounter(name("records_lost_total"))
	m.retried = set.GetOrCreateCounter(name("retries_total"))
	for of, value := range map[string]func() float64{
		"lag":           func() float64 { return float64(r.lag()) },
		"partitions":    func() float64 { return float64(len(r.places())) },
		"topic_missing": func() float64 { return truth(r.missing.Load()) },
		"held":          func() float64 { return float64(r.held.Load()) },
	} {
		set.UnregisterMetric(name(of)) // of one of the name that ended
		set.NewGauge(name(of), value)
		m.gauges = append(m.gauges, name(of))
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
