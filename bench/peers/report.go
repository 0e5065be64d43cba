package main

import (
	"fmt"
	"strings"
)

// report is a whole run, as it goes to the results.
type report struct {
	Commit     string    `json:"commit"`
	Command    string    `json:"command"`
	Date       string    `json:"date"`
	Machine    string    `json:"machine"`
	Readings   int       `json:"readings"`
	Devices    int       `json:"devices"`
	Metrics    int       `json:"metrics"`
	Batch      int       `json:"readings_per_record"`
	Partitions int       `json:"partitions"`
	Threads    int       `json:"kstreams_threads"`
	CacheBytes int       `json:"kstreams_cache_bytes"`
	Runs       []outcome `json:"runs"`
}

func (r *report) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Weir's pipeline beside Kafka Streams\n\nCommit %s, %s, %s.\n`%s`\n\n", r.Commit, r.Date, r.Machine, r.Command)
	fmt.Fprintf(&b, `%d readings of %d devices with %d metrics each, %d readings a record, %d partitions, preloaded into one Apache Kafka 4.3.1 on the
same machine; each program reads all of weir.readings, one after the other. "Warm" is the last two thirds of a run, "whole" all of it from the
first progress seen. CPU is user and system time in seconds per million readings.

| | output | readings/s warm (whole) | CPU-s per million warm: pipeline + broker | whole: pipeline + broker | RSS MiB at most | cores of others |
|---|---|---|---|---|---|---|
`, r.Readings, r.Devices, r.Metrics, r.Batch, r.Partitions)
	for i := range r.Runs {
		o := &r.Runs[i]
		fmt.Fprintf(&b, "| %s | %s | %.0f (%.0f) | %s | %s | %.0f | %.2f |\n", o.Who, o.Output, o.Warm.PerSecond, o.Whole.PerSecond,
			sum(o.Warm.CPU), sum(o.Whole.CPU), o.RSS["pipeline"], o.Others)
	}
	fmt.Fprintf(&b, `
- Kafka Streams 4.3.1, %d thread(s), in-memory store of the last 60 values of each series behind a record cache of %d MiB, at least once, commits
  every 30 s (its default). It decodes the same records, filters by range, and computes moving average and z-score; a series' state is read and
  put back once a record, not once a reading. All of that is its best case: without the cache each change goes to a changelog topic.
- Weir: a server process with the role of the pipeline only and the default configuration: de-duplication, moving average over a minute, detector,
  alerts, exactly once, checkpoints every 5 s. It tells several readings of a series in one row (count, sum, minimum, maximum, newest) when they
  come within one flush; the rows tell of all readings, which was counted after the run.
`, r.Threads, r.CacheBytes>>20)
	return b.String()
}

func sum(cpu map[string]float64) string {
	return fmt.Sprintf("%.3f + %.3f = **%.3f**", cpu["pipeline"], cpu["broker"], cpu["pipeline"]+cpu["broker"])
}
