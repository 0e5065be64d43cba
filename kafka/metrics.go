package kafka

import (
	"fmt"

	"github.com/VictoriaMetrics/metrics"
)

// clientMetrics are shared by all that is made from one client.
type clientMetrics struct {
	requests   *metrics.Counter
	records    *metrics.Counter
	bytes      *metrics.Counter
	buffered   *metrics.Gauge
	ack        *metrics.Histogram
	retries    map[string]*metrics.Counter // by reason
	failed     map[string]*metrics.Counter // records, by reason
	fetches    *metrics.Counter
	fetched    *metrics.Counter
	fetchBytes *metrics.Counter
	fetchError map[string]*metrics.Counter // by reason
	rebalances *metrics.Counter
	owned      *metrics.Gauge
	commits    *metrics.Counter
	commitFail map[string]*metrics.Counter // by reason
}

// reasons are the values of the label reason. Counters of all exist before the first error.
var reasons = []string{
	ReasonCanceled, ReasonTimeout, ReasonNetwork, ReasonFenced, ReasonInDoubt, ReasonTooLarge, ReasonClosed,
	ReasonRebalancing, ReasonOffsetRange, ReasonSequence, ReasonLeader, ReasonUnknownTopic, ReasonCoordinator,
	ReasonReplicas, ReasonStorage, ReasonThrottled, ReasonCorrupt, ReasonAuthorization, ReasonInvalid,
	ReasonPartitionCount, ReasonOther,
}

func newClientMetrics(set *metrics.Set) *clientMetrics {
	byReason := func(name string) map[string]*metrics.Counter {
		out := make(map[string]*metrics.Counter, len(reasons))
		for _, reason := range reasons {
			out[reason] = set.GetOrCreateCounter(fmt.Sprintf("%s{reason=%q}", name, reason))
		}
		return out
	}
	return &clientMetrics{
		requests:   set.GetOrCreateCounter("weir_kafka_produce_requests_total"),
		records:    set.GetOrCreateCounter("weir_kafka_produced_records_total"),
		bytes:      set.GetOrCreateCounter("weir_kafka_produced_bytes_total"),
		buffered:   set.GetOrCreateGauge("weir_kafka_produce_buffered_bytes", nil),
		ack:        set.GetOrCreateHistogram("weir_kafka_produce_ack_seconds"),
		retries:    byReason("weir_kafka_produce_retries_total"),
		failed:     byReason("weir_kafka_produce_failed_records_total"),
		fetches:    set.GetOrCreateCounter("weir_kafka_fetch_requests_total"),
		fetched:    set.GetOrCreateCounter("weir_kafka_fetched_records_total"),
		fetchBytes: set.GetOrCreateCounter("weir_kafka_fetched_bytes_total"),
		fetchError: byReason("weir_kafka_fetch_errors_total"),
		rebalances: set.GetOrCreateCounter("weir_kafka_group_generations_total"),
		owned:      set.GetOrCreateGauge("weir_kafka_group_owned_partitions", nil),
		commits:    set.GetOrCreateCounter("weir_kafka_group_commits_total"),
		commitFail: byReason("weir_kafka_group_commit_errors_total"),
	}
}
