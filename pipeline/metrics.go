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
	invalid    [whys]*metrics.Counter
	// undecided counts filters that came to no decision, underived values that came to no number.
	undecided *metrics.Counter
	underived *metrics.Counter
	// gaps counts windows that closed because their device fell silent; missed readings that came after theirs had
	// closed; ungrouped partials for groups that are no more.
	gaps      *metrics.Counter
	missed    *metrics.Counter
	ungrouped *metrics.Counter
	// partialsAgain counts partials that came twice.
	partialsAgain *metrics.Counter
	plans         *metrics.Counter
	// evictions counts devices that left memory, wakes those that came back, wakesLost those of them whose state was not
	// found, dropped devices that were deleted because nothing was heard of them.
	evictions, wakes, wakesLost, dropped *metrics.Counter
	wakeTime                             *metrics.Histogram
	// stateBytes are what the last checkpoint wrote of a series on average, by part.
	stateBytes map[string]*metrics.Gauge
	// adopted counts alerts that go on although the state they were in is lost.
	adopted *metrics.Counter
	ticks   *metrics.Counter
	surplus *metrics.Counter
	// lost counts records of weir.readings that were deleted unread or cannot be read.
	lost        *metrics.Counter
	deadLetters map[string]*metrics.Counter
	panics      *metrics.Counter
	transitions map[telemetry.Phase]*metrics.Counter
	stages      map[string]*metrics.FloatCounter

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
	// oversized counts checkpoints of devices with too much state for one batch.
	oversized *metrics.Counter
}

func newCounters(set *metrics.Set) *counters {
	counter := func(what string) *metrics.Counter { return set.GetOrCreateCounter("weir_pipeline_" + what) }
	histogram := func(what string) *metrics.Histogram { return set.GetOrCreateHistogram("weir_pipeline_" + what) }
	c := &counters{
		readings:      counter("readings_total"),
		replayed:      counter("replayed_records_total"),
		duplicates:    counter("duplicates_total"),
		deleted:       counter("devices_deleted_total"),
		forgotten:     counter("sequences_out_of_window_total"),
		late:          counter("late_total"),
		undecided:     counter("filters_undecided_total"),
		underived:     counter("underived_total"),
		gaps:          counter("windows_closed_by_silence_total"),
		missed:        counter("group_readings_missed_total"),
		partialsAgain: counter("partials_again_total"),
		ungrouped:     counter("partials_without_group_total"),
		plans:         counter("plans_total"),
		evictions:     counter("evictions_total"),
		wakes:         counter("wakes_total"),
		wakesLost:     counter("wakes_lost_total"),
		dropped:       counter("devices_dropped_total"),
		wakeTime:      histogram("wake_seconds"),
		adopted:       counter("alerts_adopted_total"),
		ticks:         counter("ticks_total"),
		surplus:       counter("surplus_readings_total"),
		lost:          counter("lost_records_total"),
		deadLetters:   deadLetterCounters(counter),
		panics:        counter("panics_total"),
		flushes:       counter("flushes_total"),
		rows:          counter("rows_total"),
		merged:        counter("merged_readings_total"),
		fetched:       histogram(`hop_seconds{hop="kafka"}`),
		applied:       histogram(`hop_seconds{hop="pipeline"}`),
		stored:        histogram(`hop_seconds{hop="emit"}`),
		checkpoints:   histogram("checkpoint_seconds"),
		pauses:        histogram("checkpoint_pause_seconds"),
		restores:      histogram("restore_seconds"),
		commitErrors:  counter("commit_errors_total"),
		layouts:       counter("unknown_layouts_total"),
		skipped:       counter("skipped_records_total"),
		compactions:   counter("compactions_total"),
		oversized:     counter("state_oversized_total"),
		transitions:   make(map[telemetry.Phase]*metrics.Counter),
		stages:        make(map[string]*metrics.FloatCounter),
	}
	c.stateBytes = make(map[string]*metrics.Gauge)
	for _, part := range []string{"average", "detector", "rules", "compute", "rest"} {
		c.stateBytes[part] = set.GetOrCreateGauge(fmt.Sprintf("weir_pipeline_state_bytes{part=%q}", part), nil)
	}
	for w := notFinite; w < whys; w++ {
		c.invalid[w] = counter(fmt.Sprintf("invalid_total{reason=%q}", whyNames[w]))
	}
	for _, phase := range []telemetry.Phase{telemetry.Firing, telemetry.Acknowledged, telemetry.Flapping, telemetry.Resolved} {
		c.transitions[phase] = counter(fmt.Sprintf("alerts_total{phase=%q}", phase))
	}
	for _, stage := range stageNames {
		c.stages[stage] = set.GetOrCreateFloatCounter(fmt.Sprintf("weir_pipeline_stage_seconds_total{stage=%q}", stage))
	}
	return c
}

// encoded tells what the series of a checkpoint took.
func (c *counters) encoded(z *stateSizes) {
	if z.series == 0 {
		return
	}
	rest := z.all - z.average - z.detector - z.rules - z.compute
	for part, n := range map[string]int{
		"average": z.average, "detector": z.detector, "rules": z.rules, "compute": z.compute, "rest": rest,
	} {
		c.stateBytes[part].Set(float64(n) / float64(z.series))
	}
	*z = stateSizes{}
}

// transition counts one of an alert.
func (c *counters) transition(phase telemetry.Phase) { c.transitions[phase].Inc() }

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
	// asleep are evicted devices, asleepSeries their series.
	asleep, asleepSeries *metrics.Gauge
}

func newGauges(set *metrics.Set, partition int) *gauges {
	g := &gauges{set: set}
	gauge := func(what string) *metrics.Gauge {
		name := fmt.Sprintf("weir_pipeline_%s{partition=%q}", what, strconv.Itoa(partition))
		g.names = append(g.names, name)
		return set.GetOrCreateGauge(name, nil)
	}
	g.lag, g.series, g.devices = gauge("lag_records"), gauge("series"), gauge("devices")
	g.asleep, g.asleepSeries = gauge("evicted_devices"), gauge("evicted_series")
	return g
}

func (g *gauges) registered(r *registry) {
	g.asleep.Set(float64(len(r.asleep)))
	g.asleepSeries.Set(float64(r.asleepSeries))
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
