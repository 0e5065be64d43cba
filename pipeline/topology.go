package pipeline

import "weir/pipeline/rx"

// stages are the operators of a partition's graph, each with the state it owns.
type stages struct {
	decode    *decode
	validate  *validate
	compute   *compute
	average   *average
	judge     *judge
	rules     *rules
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
	return rx.From(source, rx.Options[Batch]{Buffer: 1, OnPanic: onPanic}).
		Map("decode", s.decode.apply).
		Filter("news", s.news).
		Map("validate", s.validate.apply).
		Map("compute", s.compute.apply).
		Map("average", s.average.apply).
		Map("detect", s.judge.apply).
		Map("rules", s.rules.apply).
		Map("summarise", s.summarise.apply).
		ForEach("emit", s.emit.apply)
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
