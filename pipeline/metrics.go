package pipeline

import (
	"fmt"
	"log/slog"
	"strconv"

	"github.com/VictoriaMetrics/metrics"

	"weir/telemetry"
	"weir/wire"
)

// counters of all partitions of a pipeline.
type counters struct {
	readings   *metrics.Counter
	replayed   *metrics.Counter
	duplicates *metrics.Counter
	deleted    *metrics.Counter
	forgotten  *metrics.Counter
	late       *metrics.Counter
	invalid    *metrics.Counter
	surplus    *metrics.Counter
	// lost counts records of weir.readings that were deleted unread or cannot be read.
	lost        *metrics.Counter
	deadLetters map[string]*metrics.Counter
	panics      *metrics.Counter
	transitions map[telemetry.Phase]*metrics.Counter

	flushes *metrics.Counter
	rows    *metrics.Counter
	merged  *metrics.Counter

	// Hops: from ingest to a fetched batch; from there to the flush; from there to the acknowledgement.
	fetched *metrics.Histogram
	applied *metrics.Histogram
	stored  *metrics.Histogram

	checkpoints  *metrics.Histogram
	pauses       *metrics.Histogram
	restores     *metrics.Histogram
	commitErrors *metrics.Counter
	layouts      *metrics.Counter
	skipped      *metrics.Counter
	compactions  *metrics.Counter
}

func newCounters(set *metrics.Set) *counters {
	counter := func(what string) *metrics.Counter { return set.GetOrCreateCounter("weir_pipeline_" + what) }
	histogram := func(what string) *metrics.Histogram { return set.GetOrCreateHistogram("weir_pipeline_" + what) }
	return &counters{
		readings:    counter("readings_total"),
		replayed:    counter("replayed_records_total"),
		duplicates:  counter("duplicates_total"),
		deleted:     counter("devices_deleted_total"),
		forgotten:   counter("sequences_out_of_window_total"),
		late:        counter("late_total"),
		invalid:     counter("invalid_total"),
		surplus:     counter("surplus_readings_total"),
		lost:        counter("lost_records_total"),
		deadLetters: deadLetterCounters(counter),
		panics:      counter("panics_total"),
		transitions: map[telemetry.Phase]*metrics.Counter{
			telemetry.Firing:   counter(`alerts_total{phase="firing"}`),
			telemetry.Resolved: counter(`alerts_total{phase="resolved"}`),
		},
		flushes:      counter("flushes_total"),
		rows:         counter("rows_total"),
		merged:       counter("merged_readings_total"),
		fetched:      histogram(`hop_seconds{hop="kafka"}`),
		applied:      histogram(`hop_seconds{hop="pipeline"}`),
		stored:       histogram(`hop_seconds{hop="emit"}`),
		checkpoints:  histogram("checkpoint_seconds"),
		pauses:       histogram("checkpoint_pause_seconds"),
		restores:     histogram("restore_seconds"),
		commitErrors: counter("commit_errors_total"),
		layouts:      counter("unknown_layouts_total"),
		skipped:      counter("skipped_records_total"),
		compactions:  counter("compactions_total"),
	}
}

// deadLetterCounters has one for each code that a record can be refused with.
func deadLetterCounters(counter func(string) *metrics.Counter) map[string]*metrics.Counter {
	all := make(map[string]*metrics.Counter)
	for _, c := range wire.Codes() {
		if c.Scope == "record" || c.Scope == "path" {
			all[c.Code] = counter(fmt.Sprintf("dead_letters_total{code=%q}", c.Code))
		}
	}
	return all
}

// buried counts a dead letter.
func (c *counters) buried(code string) {
	if counter := c.deadLetters[code]; counter != nil {
		counter.Inc()
		return
	}
	c.deadLetters[wire.CodeRecordMalformed].Inc()
}

// flushed counts a flush of rows that stand for that many readings, the oldest waiting for so long (µs).
func (c *counters) flushed(rows int, readings uint64, waited int64) {
	c.flushes.Inc()
	c.rows.Add(rows)
	c.merged.Add(int(readings) - rows)
	c.applied.Update(float64(waited) / 1e6)
}

// gauges of one partition, which exist while it is owned.
type gauges struct {
	set             *metrics.Set
	names           []string
	lag             *metrics.Gauge
	series, devices *metrics.Gauge
}

func newGauges(set *metrics.Set, partition int) *gauges {
	g := &gauges{set: set}
	gauge := func(what string) *metrics.Gauge {
		name := fmt.Sprintf("weir_pipeline_%s{partition=%q}", what, strconv.Itoa(partition))
		g.names = append(g.names, name)
		return set.GetOrCreateGauge(name, nil)
	}
	g.lag, g.series, g.devices = gauge("lag_records"), gauge("series"), gauge("devices")
	return g
}

func (g *gauges) registered(r *registry) {
	g.series.Set(float64(r.seriesN))
	g.devices.Set(float64(len(r.devices)))
}

func (g *gauges) unregister() {
	for _, name := range g.names {
		g.set.UnregisterMetric(name)
	}
}

// orDiscard returns log, or one that discards.
func orDiscard(log *slog.Logger) *slog.Logger {
	if log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return log
}
