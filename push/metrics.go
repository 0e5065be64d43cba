package push

import (
	"fmt"
	"sync/atomic"

	"github.com/VictoriaMetrics/metrics"

	"weir/telemetry"
	"weir/wire"
)

// frameKind is a value of the label of weir_push_frames_total.
type frameKind uint8

const (
	frameShared frameKind = iota
	framePrivate
	frameSnapshot
	frameControl
)

var frameKinds = [...]string{"shared", "private", "snapshot", "control"}

// refusedHandshake is the reason of connections that did not complete the WebSocket handshake.
const refusedHandshake = "handshake"

// meters are push's metrics. All exist from the start.
type meters struct {
	set *metrics.Set

	connections, subscriptions, series atomic.Int64
	away                               atomic.Int64
	views, viewRows                    atomic.Int64
	laggards, laggingRows, heldRows    atomic.Int64
	laggingBytes                       atomic.Int64 // of frames that were made of laggingRows
	losslessBytes, snapshotBytes       atomic.Int64
	overloaded                         atomic.Int64 // 1: it is

	updates, replays, gaps, overlaps, alerts *metrics.Counter
	conflatedView, conflatedLaggard          *metrics.Counter
	frames                                   [len(frameKinds)]*metrics.Counter
	rows, bytes, stalls, shed                *metrics.Counter
	readings, fellBehind, gatheredFrames     *metrics.Counter
	readBackRefused                          *metrics.Counter
	compressed                               *metrics.Counter            // bytes before
	refused                                  map[string]*metrics.Counter // connections, by reason
	closes                                   [len(closeReasons)]*metrics.Counter
	messages                                 *metrics.Counter
	messageErrors                            map[string]*metrics.Counter // by code
	undecodable                              *metrics.Counter
	fetchErrors, reloads                     *metrics.Counter
	readBacks, readBackBytes                 *metrics.Counter
	returns                                  map[string]*metrics.Counter // of subscriptions with a cursor, by what came of it

	deviceLatency, emitLatency, pingTime, appPingTime *metrics.Histogram
}

func newMeters(set *metrics.Set) *meters {
	m := &meters{
		set:              set,
		updates:          set.GetOrCreateCounter("weir_push_updates_total"),
		replays:          set.GetOrCreateCounter("weir_push_replays_total"),
		gaps:             set.GetOrCreateCounter("weir_push_gaps_total"),
		overlaps:         set.GetOrCreateCounter("weir_push_overlaps_total"),
		alerts:           set.GetOrCreateCounter("weir_push_alerts_total"),
		conflatedView:    set.GetOrCreateCounter(`weir_push_conflated_rows_total{where="view"}`),
		conflatedLaggard: set.GetOrCreateCounter(`weir_push_conflated_rows_total{where="laggard"}`),
		rows:             set.GetOrCreateCounter("weir_push_rows_total"),
		bytes:            set.GetOrCreateCounter("weir_push_sent_bytes_total"),
		compressed:       set.GetOrCreateCounter("weir_push_compressed_bytes_total"),
		shed:             set.GetOrCreateCounter("weir_push_shed_total"),
		stalls:           set.GetOrCreateCounter("weir_push_write_stalls_total"),
		readings:         set.GetOrCreateCounter("weir_push_readings_total"),
		fellBehind:       set.GetOrCreateCounter("weir_push_fell_behind_total"),
		gatheredFrames:   set.GetOrCreateCounter("weir_push_gathered_frames_total"),
		readBackRefused:  set.GetOrCreateCounter("weir_push_read_back_refused_total"),
		refused:          make(map[string]*metrics.Counter),
		messages:         set.GetOrCreateCounter("weir_push_messages_total"),
		messageErrors:    make(map[string]*metrics.Counter),
		returns:          make(map[string]*metrics.Counter),
		undecodable:      set.GetOrCreateCounter("weir_push_undecodable_records_total"),
		fetchErrors:      set.GetOrCreateCounter("weir_push_fetch_errors_total"),
		reloads:          set.GetOrCreateCounter("weir_push_reloads_total"),
		readBacks:        set.GetOrCreateCounter("weir_push_read_backs_total"),
		readBackBytes:    set.GetOrCreateCounter("weir_push_read_back_bytes_total"),
		deviceLatency:    set.GetOrCreateHistogram("weir_push_device_to_push_seconds"),
		emitLatency:      set.GetOrCreateHistogram("weir_push_emit_to_push_seconds"),
		pingTime:         set.GetOrCreateHistogram("weir_push_ping_seconds"),
		appPingTime:      set.GetOrCreateHistogram("weir_push_app_ping_seconds"),
	}
	for _, result := range []string{resumed, resyncTooOld, resyncEpoch, resyncInvalid} {
		m.returns[result] = set.GetOrCreateCounter(fmt.Sprintf("weir_push_returns_total{result=%q}", result))
	}
	for kind, name := range frameKinds {
		m.frames[kind] = set.GetOrCreateCounter(fmt.Sprintf("weir_push_frames_total{kind=%q}", name))
	}
	for r, info := range closeReasons {
		m.closes[r] = set.GetOrCreateCounter(fmt.Sprintf("weir_push_closes_total{reason=%q}", info.reason))
	}
	for _, reason := range []string{wire.CodeNotReady, wire.CodeDraining, wire.CodeOverloaded, wire.CodeTooManyConns, wire.CodeLimitAddress, wire.CodeLimitPrincipal, refusedHandshake} {
		m.refused[reason] = set.GetOrCreateCounter(fmt.Sprintf("weir_push_refused_total{reason=%q}", reason))
	}
	for _, info := range wire.Codes() {
		if ofMessages(info) {
			m.messageErrors[info.Code] = set.GetOrCreateCounter(fmt.Sprintf("weir_push_message_errors_total{code=%q}", info.Code))
		}
	}
	m.gauges(set)
	return m
}

// ofMessages reports whether a live client's message can be answered with a code.
func ofMessages(info wire.CodeInfo) bool {
	switch info.Code {
	case wire.CodeJSONSyntax, wire.CodeJSONUTF8, wire.CodeJSONDepth, wire.CodeOverloaded, wire.CodeInternal,
		wire.CodeForbidden, wire.CodeUnauthenticated, wire.CodeTokenInvalid, wire.CodeTokenExpired, wire.CodeTokenRevoked,
		wire.CodeLimitPrincipal:
		return true
	}
	return info.Scope == "message" || info.Scope == "path"
}

// messageError is the counter of a code. One that was not foreseen counts as internal.
func (m *meters) messageError(code string) *metrics.Counter {
	if counter := m.messageErrors[code]; counter != nil {
		return counter
	}
	return m.messageErrors[wire.CodeInternal]
}

func (m *meters) gauges(set *metrics.Set) {
	for _, g := range []struct {
		name  string
		value *atomic.Int64
		scale int
	}{
		{"weir_push_connections", &m.connections, 1},
		{"weir_push_away", &m.away, 1},
		{"weir_push_subscriptions", &m.subscriptions, 1},
		{"weir_push_views", &m.views, 1},
		{"weir_push_view_rows", &m.viewRows, 1},
		{"weir_push_series", &m.series, 1},
		{"weir_push_series_memory_bytes", &m.series, seriesBytes},
		{"weir_push_laggards", &m.laggards, 1},
		{"weir_push_laggard_rows", &m.laggingRows, 1},
		{"weir_push_held_rows", &m.heldRows, 1},
		{"weir_push_lossless_bytes", &m.losslessBytes, 1},
		{"weir_push_snapshot_bytes", &m.snapshotBytes, 1},
		{"weir_push_laggard_bytes", &m.laggingRows, laggardRowBytes},
		{"weir_push_laggard_frame_bytes", &m.laggingBytes, 1},
		{"weir_push_overloaded", &m.overloaded, 1},
	} {
		set.GetOrCreateGauge(g.name, func() float64 { return float64(g.value.Load() * int64(g.scale)) })
	}
}

// sent counts a frame that the kernel has taken.
func (m *meters) sent(kind frameKind, f *frame) {
	m.frames[kind].Inc()
	m.rows.Add(f.rows)
	m.bytes.Add(f.size())
}

// observe takes the age of a view's frame from the row that waited longest.
func (m *meters) observe(u *telemetry.Update, pushed int64) {
	if u.N > 0 {
		m.deviceLatency.Update(max(0, float64(pushed-u.LastTime)/1e6))
	}
	m.emitLatency.Update(max(0, float64(pushed-u.EmitTime)/1e6))
}

// lag makes the gauge of a tail: how many records of a partition it has yet to read.
func (m *meters) lag(topic string, partition int) *atomic.Int64 {
	lag := new(atomic.Int64)
	name := fmt.Sprintf("weir_push_lag_records{topic=%q,partition=\"%d\"}", topic, partition)
	m.set.GetOrCreateGauge(name, func() float64 { return float64(lag.Load()) })
	return lag
}
