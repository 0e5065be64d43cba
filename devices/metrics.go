package devices

import (
	"fmt"

	"github.com/VictoriaMetrics/metrics"
)

// instruments are the counters of one Registry, all created before their first use.
type instruments struct {
	conns                *metrics.Counter
	written, writeErrors *metrics.Counter
	metaWrites, deleted  *metrics.Counter
	untracked            *metrics.Counter
	unattached           *metrics.Counter
	unreadable           *metrics.Counter
	wills, willsDropped  *metrics.Counter
	shed                 *metrics.Counter
}

func newInstruments(set *metrics.Set, r *Registry) *instruments {
	m := &instruments{
		conns:        set.NewCounter(`weir_devices_connections`),
		written:      set.NewCounter(`weir_devices_presence_writes_total`),
		writeErrors:  set.NewCounter(`weir_devices_presence_write_errors_total`),
		metaWrites:   set.NewCounter(`weir_devices_metadata_writes_total`),
		deleted:      set.NewCounter(`weir_devices_deleted_total`),
		untracked:    set.NewCounter(`weir_devices_untracked_total{reason="full"}`),
		unattached:   set.NewCounter(`weir_devices_untracked_total{reason="connection"}`),
		unreadable:   set.NewCounter(`weir_devices_unreadable_records_total`),
		shed:         set.NewCounter(`weir_devices_presence_shed_total`),
		wills:        set.NewCounter(`weir_devices_wills_total`),
		willsDropped: set.NewCounter(`weir_devices_wills_dropped_total`),
	}
	set.NewGauge(`weir_devices_tracked`, func() float64 { return float64(r.shards.len()) })
	set.NewGauge(`weir_devices_metadata`, func() float64 { return float64(r.metas()) })
	set.NewGauge(`weir_devices_wills_waiting`, func() float64 { return float64(len(r.wills)) })
	for s := Online; s <= Offline; s++ {
		set.NewGauge(fmt.Sprintf(`weir_devices_presence{state=%q}`, s), func() float64 { return float64(r.countState(s)) })
	}
	return m
}

// countState is how many devices, of all instances, were last said to be in a state.
func (r *Registry) countState(s State) (n int) {
	r.known.RLock()
	defer r.known.RUnlock()
	for _, p := range r.known.conns {
		if p.state == s {
			n++
		}
	}
	return n
}
