package pipeline

import (
	"time"

	"weir/pipeline/rx"
	"weir/telemetry"
)

// stages are the operators of a partition's graph, each with the state it owns.
type stages struct {
	decode    *decode
	validate  *validate
	compute   *compute
	average   *average
	judge     *judge
	rules     *alerting
	summarise *summarise
	emit      *emit
}

// start builds the graph of a partition and starts it. The channel it returns closes when the source was
// closed and everything sent has been emitted.
//
//	fetch ─▶ decode ─▶ news? ─▶ validate ─▶ compute ─▶ average ─▶ detect ─▶ rules ─▶ summarise ─▶ emit ─▶ weir.updates
//	         dedupe,   replays, finite,     rates,     window.    detect.   alerts   one Update   alerts   weir.alerts
//	         series,   resends  late,       windows,   Average    Detector           per series   first    groups
//	         controls           filters     derived
//
// What a stage does to a series is in the treatment that comes with each reading (treat.go). What is in the batch
// beside records (flushes, barriers, questions) passes the same way and keeps its place among them.
func (s *stages) start(source *rx.Source[Batch], onPanic func(rx.Fault[Batch])) <-chan struct{} {
	timed := func(stage string, apply func(*Batch) *Batch) (string, func(*Batch) *Batch) {
		spent := s.emit.m.stages[stage]
		return stage, func(b *Batch) *Batch {
			started := time.Now()
			b = apply(b)
			spent.Add(time.Since(started).Seconds())
			return b
		}
	}
	return rx.From(source, rx.Options[Batch]{Buffer: 1, OnPanic: onPanic}).
		Map(timed("decode", s.decode.apply)).
		Filter("news", s.news).
		Map(timed("validate", s.validate.apply)).
		Map(timed("compute", s.compute.apply)).
		Map(timed("average", s.average.apply)).
		Map(timed("detect", s.judge.apply)).
		Map(timed("rules", s.rules.apply)).
		Map(timed("summarise", s.summarise.apply)).
		ForEach("emit", s.emit.apply)
}

// stageNames are those whose time is measured. emit mostly waits for the broker.
var stageNames = []string{"decode", "validate", "compute", "average", "detect", "rules", "summarise"}

// arm makes the stages ready for what was restored: every series has its rules, and timers are due when they were.
func (s *stages) arm(from *restored) {
	for _, d := range from.registry.devices {
		for _, of := range d.series {
			of.watch.treat = of.treat
			if of.watch.due != never {
				s.rules.timers.arm(of, of.watch.due)
			}
			if c := of.compute; c != nil {
				c.next = of.treat
				if c.due != never {
					s.compute.timers.arm(of, c.due)
				}
			}
		}
	}
	for _, alert := range from.open {
		if device, _, ok := telemetry.SplitSeries(alert.Series); ok {
			if d := from.registry.devices[device]; d != nil {
				d.note(alert)
			}
		}
	}
}

// news lets pass what changes anything: not a batch that a replay has brought again, and nothing else.
func (s *stages) news(b *Batch) bool {
	if b.kind != data {
		return true
	}
	for i := range b.records {
		if b.records[i].verdict&(replayed|duplicate) == 0 {
			return true
		}
	}
	s.emit.done(b)
	return false
}
