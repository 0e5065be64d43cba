package commands

import (
	"fmt"

	"github.com/VictoriaMetrics/metrics"
)

// instruments are the counters of a Hub, all created before their first use.
type instruments struct {
	given, handed, dropped, malformed, unstored *metrics.Counter
	finished                                    map[Status]*metrics.Counter
}

func newInstruments(set *metrics.Set, h *Hub) instruments {
	m := instruments{
		given:     set.NewCounter(`weir_commands_given_total`),
		handed:    set.NewCounter(`weir_commands_handed_total`),
		dropped:   set.NewCounter(`weir_commands_dropped_total`),
		malformed: set.NewCounter(`weir_commands_malformed_total`),
		unstored:  set.NewCounter(`weir_commands_unstored_total`),
		finished:  make(map[Status]*metrics.Counter),
	}
	for _, s := range []Status{Done, Failed, Expired} {
		m.finished[s] = set.NewCounter(fmt.Sprintf(`weir_commands_finished_total{status=%q}`, s))
	}
	held := func(f func(*state) int) func() float64 {
		return func() float64 {
			h.mu.Lock()
			defer h.mu.Unlock()
			return float64(f(h.state))
		}
	}
	set.NewGauge(`weir_commands_held`, held(func(s *state) int { return s.entries }))
	set.NewGauge(`weir_commands_held_bytes`, held(func(s *state) int { return s.bytes }))
	set.NewGauge(`weir_commands_attached`, func() float64 { return float64(h.devices.Load()) })
	return m
}
