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
	framesMQTT             *metrics.Counter
	bytes                  *metrics.Counter
	accepted, duplicates   *metrics.Counter
	late                   *metrics.Counter
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
	refusedAddress         *metrics.Counter
	refusedStranger        *metrics.Counter
	refusedProtocol        *metrics.Counter

	compressedWS, compressedHTTP *metrics.Counter
	expelled                     map[string]*metrics.Counter // connections, by code
	refusedMessages              map[string]*metrics.Counter // with a type, by code

	rejectedReadings map[string]*metrics.Counter // by code; "other" for a code the table does not know
	rejectedFrames   map[string]*metrics.Counter
	limited          [levels]*metrics.Counter
	lagging          *metrics.Counter

	unstored map[string]*metrics.Counter // by kafka.Classify's reason; "other" as above
}

func newInstruments(set *metrics.Set, s *Server) *instruments {
	m := &instruments{
		framesWS:         set.NewCounter(`weir_ingest_frames_total{transport="websocket"}`),
		framesHTTP:       set.NewCounter(`weir_ingest_frames_total{transport="http"}`),
		framesMQTT:       set.NewCounter(`weir_ingest_frames_total{transport="mqtt"}`),
		bytes:            set.NewCounter(`weir_ingest_received_bytes_total`),
		accepted:         set.NewCounter(`weir_ingest_readings_accepted_total`),
		duplicates:       set.NewCounter(`weir_ingest_readings_duplicate_total`),
		late:             set.NewCounter(`weir_ingest_readings_late_total`),
		lagging:          set.NewCounter(`weir_ingest_admission_refused_frames_total`),
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
		refusedAddress:   set.NewCounter(`weir_ingest_refused_total{reason="address"}`),
		refusedStranger:  set.NewCounter(`weir_ingest_refused_total{reason="unauthenticated"}`),
		refusedProtocol:  set.NewCounter(`weir_ingest_refused_total{reason="subprotocol"}`),
		compressedWS:     set.NewCounter(`weir_ingest_compressed_frames_total{transport="websocket"}`),
		compressedHTTP:   set.NewCounter(`weir_ingest_compressed_frames_total{transport="http"}`),
		expelled:         make(map[string]*metrics.Counter),
		refusedMessages:  make(map[string]*metrics.Counter),
		closedIdle:       set.NewCounter(`weir_ingest_closed_total{reason="idle"}`),
		closedSlow:       set.NewCounter(`weir_ingest_closed_total{reason="slow"}`),
		closedUpload:     set.NewCounter(`weir_ingest_closed_total{reason="slow_upload"}`),
		closedProtocol:   set.NewCounter(`weir_ingest_closed_total{reason="protocol"}`),
		rejectedReadings: make(map[string]*metrics.Counter),
		rejectedFrames:   make(map[string]*metrics.Counter),
		unstored:         make(map[string]*metrics.Counter),
	}
	m.countByCode(set)
	gauges(set, s)
	return m
}

// countByCode makes the counters that there is one of for each code, reason or limit.
func (m *instruments) countByCode(set *metrics.Set) {
	for _, code := range inputCodes() {
		m.rejectedReadings[code] = set.NewCounter(fmt.Sprintf(`weir_ingest_readings_rejected_total{code=%q}`, code))
		m.rejectedFrames[code] = set.NewCounter(fmt.Sprintf(`weir_ingest_frames_rejected_total{code=%q}`, code))
	}
	for _, code := range expelCodes {
		m.expelled[code] = set.NewCounter(fmt.Sprintf(`weir_ingest_closed_total{reason=%q}`, code))
	}
	for _, code := range messageCodes {
		m.refusedMessages[code] = set.NewCounter(fmt.Sprintf(`weir_ingest_messages_refused_total{code=%q}`, code))
	}
	for _, reason := range unstoredReasons {
		m.unstored[reason] = set.NewCounter(fmt.Sprintf(`weir_ingest_frames_unstored_total{reason=%q}`, reason))
	}
	for level, name := range levelNames {
		m.limited[level] = set.NewCounter(fmt.Sprintf(`weir_ingest_limited_frames_total{limit=%q}`, name))
	}
}

// gauges shows what the server holds at present.
func gauges(set *metrics.Set, s *Server) {
	set.NewGauge(`weir_ingest_admission_pressure`, func() float64 {
		pressure, _ := s.admission.highest()
		return float64(pressure) / fullPressure
	})
	set.NewGauge(`weir_ingest_admission_stopped_partitions`, func() float64 {
		_, stopped := s.admission.highest()
		return float64(stopped)
	})
	for lane, name := range laneNames {
		taken := &s.shares[lane].taken
		set.NewGauge(fmt.Sprintf(`weir_ingest_unacknowledged_bytes{lane=%q}`, name), func() float64 { return float64(taken.Load()) })
	}
	set.NewGauge(`weir_ingest_known_buckets`, func() float64 { return float64(s.knownBuckets()) })
	set.NewGauge(`weir_ingest_connections`, func() float64 { return float64(s.connections.Load()) })
	set.NewGauge(`weir_ingest_connections_unauthenticated`, func() float64 { return float64(s.strangers.Load()) })
	set.NewGauge(`weir_ingest_connection_addresses`, func() float64 { return float64(s.addresses.holders()) })
	set.NewGauge(`weir_ingest_connection_principals`, func() float64 { return float64(s.principals.holders()) })
	set.NewGauge(`weir_ingest_requests`, func() float64 { return float64(s.requests.Load()) })
	set.NewGauge(`weir_ingest_inflight_frames`, func() float64 { return float64(s.inflight.Load()) })
	set.NewGauge(`weir_ingest_pending_bytes`, func() float64 { return float64(s.pending.taken.Load()) })
	set.NewGauge(`weir_ingest_known_sessions`, func() float64 { return float64(s.sessions.len()) })
}

// unstoredReasons are those of kafka.Classify that producing can end with.
var unstoredReasons = []string{
	kafka.ReasonTimeout, kafka.ReasonInDoubt, kafka.ReasonNetwork, kafka.ReasonCanceled, kafka.ReasonClosed,
	kafka.ReasonFenced, kafka.ReasonTooLarge, kafka.ReasonStorage, kafka.ReasonReplicas, kafka.ReasonAuthorization,
	kafka.ReasonOther,
}

// expelCodes are those with which connections are closed for who the client is, messageCodes those that messages with
// a type are refused with; "other" for the rest.
var (
	expelCodes = []string{
		wire.CodeUnauthenticated, wire.CodeAuthTimeout, wire.CodeTokenInvalid, wire.CodeTokenExpired, wire.CodeTokenRevoked,
		wire.CodeForbidden, wire.CodeLimitPrincipal, wire.CodeInternal, kafka.ReasonOther,
	}
	messageCodes = []string{
		wire.CodeJSONSyntax, wire.CodeFrameTooLarge, wire.CodeMessageType, wire.CodeNotFound, wire.CodeFieldMissing,
		wire.CodeFieldType, wire.CodeForbidden, wire.CodeDeviceMissing, kafka.ReasonOther,
	}
)

// inputCodes are the codes a device's input can be refused with, and "other" for what the table lacks.
func inputCodes() []string {
	codes := []string{kafka.ReasonOther, wire.CodeForbidden}
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
