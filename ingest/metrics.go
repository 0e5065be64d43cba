package ingest

import (
	"fmt"

	"github.com/VictoriaMetrics/metrics"

	"weir/kafka"
	"weir/wire"
)

// latencyBuckets are upper bounds in seconds, from an embedded broker's acknowledgement to a device that is
// minutes late.
var latencyBuckets = []float64{.0005, .001, .002, .005, .01, .02, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 600}

// instruments are the counters of one Server, all created before their first use.
type instruments struct {
	framesWS, framesHTTP   *metrics.Counter
	bytes                  *metrics.Counter
	accepted, duplicates   *metrics.Counter
	deadLetters            *metrics.Counter
	receiptWrites          *metrics.Counter
	blockedCredit          *metrics.FloatCounter
	blockedProducer        *metrics.FloatCounter
	blockedPending         *metrics.FloatCounter
	receiptLatency         *metrics.PrometheusHistogram
	deviceLatency          *metrics.PrometheusHistogram
	opened                 *metrics.Counter
	panics                 *metrics.Counter
	refusedFull            *metrics.Counter
	refusedPending         *metrics.Counter
	refusedOrigin          *metrics.Counter
	refusedDraining        *metrics.Counter
	closedIdle, closedSlow *metrics.Counter
	closedUpload           *metrics.Counter
	closedProtocol         *metrics.Counter
	refusedHandshake       *metrics.Counter

	rejectedReadings map[string]*metrics.Counter // by code; "other" for a code the table does not know
	rejectedFrames   map[string]*metrics.Counter
	unstored         map[string]*metrics.Counter // by kafka.Classify's reason; "other" as above
}

func newInstruments(set *metrics.Set, s *Server) *instruments {
	m := &instruments{
		framesWS:         set.NewCounter(`weir_ingest_frames_total{transport="websocket"}`),
		framesHTTP:       set.NewCounter(`weir_ingest_frames_total{transport="http"}`),
		bytes:            set.NewCounter(`weir_ingest_received_bytes_total`),
		accepted:         set.NewCounter(`weir_ingest_readings_accepted_total`),
		duplicates:       set.NewCounter(`weir_ingest_readings_duplicate_total`),
		deadLetters:      set.NewCounter(`weir_ingest_dead_letters_total`),
		receiptWrites:    set.NewCounter(`weir_ingest_receipt_writes_total`),
		blockedCredit:    set.NewFloatCounter(`weir_ingest_blocked_seconds_total{by="credit"}`),
		blockedProducer:  set.NewFloatCounter(`weir_ingest_blocked_seconds_total{by="producer"}`),
		blockedPending:   set.NewFloatCounter(`weir_ingest_blocked_seconds_total{by="pending_bytes"}`),
		receiptLatency:   set.NewPrometheusHistogramExt(`weir_ingest_receipt_seconds`, latencyBuckets),
		deviceLatency:    set.NewPrometheusHistogramExt(`weir_ingest_device_latency_seconds`, latencyBuckets),
		opened:           set.NewCounter(`weir_ingest_connections_opened_total`),
		panics:           set.NewCounter(`weir_ingest_panics_total`),
		refusedFull:      set.NewCounter(`weir_ingest_refused_total{reason="full"}`),
		refusedPending:   set.NewCounter(`weir_ingest_refused_total{reason="pending_bytes"}`),
		refusedOrigin:    set.NewCounter(`weir_ingest_refused_total{reason="origin"}`),
		refusedDraining:  set.NewCounter(`weir_ingest_refused_total{reason="draining"}`),
		refusedHandshake: set.NewCounter(`weir_ingest_refused_total{reason="handshake"}`),
		closedIdle:       set.NewCounter(`weir_ingest_closed_total{reason="idle"}`),
		closedSlow:       set.NewCounter(`weir_ingest_closed_total{reason="slow"}`),
		closedUpload:     set.NewCounter(`weir_ingest_closed_total{reason="slow_upload"}`),
		closedProtocol:   set.NewCounter(`weir_ingest_closed_total{reason="protocol"}`),
		rejectedReadings: make(map[string]*metrics.Counter),
		rejectedFrames:   make(map[string]*metrics.Counter),
		unstored:         make(map[string]*metrics.Counter),
	}
	for _, code := range inputCodes() {
		m.rejectedReadings[code] = set.NewCounter(fmt.Sprintf(`weir_ingest_readings_rejected_total{code=%q}`, code))
		m.rejectedFrames[code] = set.NewCounter(fmt.Sprintf(`weir_ingest_frames_rejected_total{code=%q}`, code))
	}
	for _, reason := range unstoredReasons {
		m.unstored[reason] = set.NewCounter(fmt.Sprintf(`weir_ingest_frames_unstored_total{reason=%q}`, reason))
	}
	set.NewGauge(`weir_ingest_connections`, func() float64 { return float64(s.connections.Load()) })
	set.NewGauge(`weir_ingest_requests`, func() float64 { return float64(s.requests.Load()) })
	set.NewGauge(`weir_ingest_inflight_frames`, func() float64 { return float64(s.inflight.Load()) })
	set.NewGauge(`weir_ingest_pending_bytes`, func() float64 { return float64(s.pending.taken.Load()) })
	set.NewGauge(`weir_ingest_known_sessions`, func() float64 { return float64(s.sessions.len()) })
	return m
}

// unstoredReasons are those of kafka.Classify that producing can end with.
var unstoredReasons = []string{
	kafka.ReasonTimeout, kafka.ReasonInDoubt, kafka.ReasonNetwork, kafka.ReasonCanceled, kafka.ReasonClosed,
	kafka.ReasonFenced, kafka.ReasonTooLarge, kafka.ReasonStorage, kafka.ReasonReplicas, kafka.ReasonAuthorization,
	kafka.ReasonOther,
}

// inputCodes are the codes a device's input can be refused with, and "other" for what the table lacks.
func inputCodes() []string {
	codes := []string{kafka.ReasonOther}
	for _, c := range wire.Codes() {
		if c.Scope == "frame" || c.Scope == "reading" || c.Scope == "path" {
			codes = append(codes, c.Code)
		}
	}
	return codes
}

func byCode(counters map[string]*metrics.Counter, code string) *metrics.Counter {
	if c := counters[code]; c != nil {
		return c
	}
	return counters[kafka.ReasonOther]
}
