package pipeline

import (
	"maps"
	"slices"

	"weir/pipeline/rule"
	"weir/telemetry"
)

// watchState is what a series' rules remember of it.
type watchState struct {
	rule.Watch
	// treat is the treatment that its rules are of: nil before the first reading.
	treat *treatment
	// due is when its first timer is (processing time, µs), or earlier; armed when it is in the stage's timers.
	due   int64
	armed bool
	// open: it is in the device's list of those with open alerts.
	open bool
	frozen
}

func (w *watchState) marshalAppend(dst []byte) []byte {
	if w.frozen != nil {
		return append(dst, w.frozen...)
	}
	if w.Empty() {
		return dst
	}
	return w.MarshalAppend(dst)
}

// rules is the stage that turns readings, ticks and commands into transitions of alerts.
type rules struct {
	partition int
	timers    *timers
	silences  silences
	// told are the newest versions of alerts that a predecessor has emitted since its last checkpoint: a replay
	// makes these transitions again, and they are not to be emitted twice. open are the alerts that readers take for
	// open. Both are nil once the replay has passed all of that.
	told map[string]telemetry.Version
	open map[string]*telemetry.Alert

	subject rule.Subject
	out     []rule.Transition
	m       *counters
}

func (s *rules) apply(b *Batch) *Batch {
	switch b.kind {
	case look:
		s.inspect(b.looked)
	case settled:
		s.settle(b)
	}
	b.each("rules", fresh, func(r *record) {
		switch {
		case r.tick > 0:
			s.tick(b, r)
		case r.plan != nil:
			s.replan(b, r)
		case r.control != nil && r.control.Kind == wire.ControlSilence:
			s.silences.put(r.control.Silence, r.control.Time)
		case r.deleted:
			for _, of := range r.buried {
				s.bury(b, r, of)
			}
		case r.control != nil && r.control.Kind == wire.ControlAlert:
			s.command(b, r)
		default:
			readings := b.of(r)
			for i := range readings {
				s.reading(b, r, &readings[i])
			}
		}
	})
	return b
}

// on makes of what the stage works on.
func (s *rules) on(of *series, treat *treatment) *rule.Watch {
	w := &of.watch
	if w.frozen != nil {
		if err := w.Unmarshal(w.frozen.take()); err != nil {
			s.m.layouts.Inc()
		}
	}
	w.treat = treat
	s.subject.Series, s.subject.Unit, s.subject.Tags, s.subject.Rules = of.name, treat.Unit, treat.Tags, treat.Rules
	s.subject.Others = treat.others
	return &w.Watch
}

func (s *rules) reading(b *Batch, r *record, x *reading) {
	if x.fate == silent {
		return
	}
	w := s.on(x.series, x.treat)
	if x.fate != counted {
		w.LateOrInvalid(x.fate == late)
		return
	}
	s.out = w.Observe(&s.subject, &rule.Observation{
		Version: x.version, Time: x.time, Ingest: r.ingest, Value: x.value,
		Avg: x.avg, Lo: x.lo, Hi: x.hi, Score: x.score, Rate: x.rate,
		State: x.state, Onset: x.onset, Clear: x.clear, Head: x.head.String(),
	}, s.out[:0])
	if len(s.out) > 0 || !x.series.watch.armed && len(x.treat.Rules) > 0 {
		s.took(b, x.series)
	}
}

// took hands on the transitions of a series, and arms its timer.
func (s *rules) took(b *Batch, of *series) {
	for i := range s.out {
		s.tell(b, of, &s.out[i])
	}
	w := &of.watch
	if w.due = w.Due(&s.subject); w.due != never && !w.armed {
		w.armed = true
		s.timers.arm(of, w.due)
	}
}

// tick lets timers be due. A device whose state contains the tick has heard it.
func (s *rules) tick(b *Batch, r *record) {
	version := telemetry.VersionOf(r.offset, 0)
	for _, of := range s.timers.take(r.tick) {
		w := &of.watch
		w.armed = false
		if w.treat == nil {
			continue
		}
		s.on(of, w.treat)
		s.out = s.out[:0]
		if r.offset > of.device.contained {
			before := w.Offline(&s.subject)
			s.out = w.Tick(&s.subject, version, r.tick, s.out)
			if len(s.out) > 0 {
				b.touched = append(b.touched, of)
			}
			if !before && w.Offline(&s.subject) {
				b.silent = append(b.silent, reading{series: of, treat: w.treat, version: version, time: r.tick, fate: silent, state: telemetry.Offline})
			}
		}
		s.took(b, of)
	}
}

// replan has the rules end that are no more.
func (s *rules) replan(b *Batch, r *record) {
	for i, of := range r.treated {
		if r.offset <= of.device.contained || of.watch.treat == nil && of.watch.frozen == nil {
			of.watch.treat = r.treatments[i]
			continue
		}
		w := s.on(of, r.treatments[i])
		s.out = w.Rules(&s.subject, telemetry.VersionOf(r.offset, 0), s.processing(r), s.out[:0])
		if len(s.out) > 0 {
			b.touched = append(b.touched, of)
		}
		s.took(b, of)
	}
}

// bury ends the alerts of a series that was deleted.
func (s *rules) bury(b *Batch, r *record, of *series) {
	if of.watch.treat != nil || of.watch.frozen != nil {
		w := s.on(of, or(of.watch.treat, noTreatment))
		s.out = w.End(&s.subject, telemetry.SeriesDeleted, telemetry.VersionOf(r.offset, 0), r.ingest, s.out[:0])
		for i := range s.out {
			s.tell(b, of, &s.out[i])
		}
	}
	of.watch = watchState{due: never, armed: of.watch.armed}
}

// tell emits a transition, unless a predecessor has.
func (s *rules) tell(b *Batch, of *series, t *rule.Transition) {
	a := &t.Alert
	s.count(of, a)
	if told, ok := s.told[a.ID]; ok && a.Version <= told {
		return
	}
	if s.open != nil {
		s.open[a.ID] = nil // the rules know of it
	}
	a.Silences = s.silences.covers(a)
	a.Inhibited = s.inhibited(of, t)
	s.m.transition(a.Phase)
	b.alerts = append(b.alerts, *a)
}

// settle resolves the alerts that readers take for open, although no rule knows of them: the state that they were in
// could not be read back, or the replay has not raised them again. Nobody else would ever resolve them.
func (s *rules) settle(b *Batch) {
	for _, id := range slices.Sorted(maps.Keys(s.open)) {
		a := s.open[id]
		if a == nil || a.Phase == telemetry.Resolved || s.knows(a) {
			continue
		}
		end := *a
		end.Phase, end.Reason = telemetry.Resolved, telemetry.StateForgotten
		end.Version = max(a.Version+1, telemetry.VersionOf(b.next-1, telemetry.MaxReadingsPerRecord-1))
		end.Summary = a.Series + ": the alert ends here, because what it was raised by is no longer known"
		s.m.transition(end.Phase)
		b.alerts = append(b.alerts, end)
	}
	s.told, s.open = nil, nil
}
