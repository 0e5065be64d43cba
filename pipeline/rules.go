package pipeline

import (
	"cmp"
	"maps"
	"slices"

	"weir/pipeline/rule"
	"weir/telemetry"
	"weir/wire"
)

// watchState is what a series' rules remember of it.
type watchState struct {
	rule.Watch
	// treat is the treatment that its rules are of: nil before the first reading.
	treat *treatment
	// due is when its first timer is (processing time, µs), or earlier.
	due int64
	// last is the newest value, for the rules of other series.
	last lastValue
	frozen
}

type lastValue struct {
	value float64
	known bool
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

// alerting is the stage that turns readings, ticks and commands into transitions of alerts.
type alerting struct {
	partition int
	timers    *timers
	silences  silences
	// told are the newest versions of alerts that a predecessor has emitted since its last checkpoint: a replay
	// makes these transitions again, and they are not to be emitted twice. open are the alerts that readers take for
	// open. Both are nil once the replay has passed all of that.
	told map[string]telemetry.Version
	open map[string]*telemetry.Alert

	inhibitor *rule.Inhibitor
	subject   rule.Subject
	out       []rule.Transition
	m         *counters
}

func (s *alerting) apply(b *Batch) *Batch {
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
			s.readings(b, r)
		case r.plan != nil:
			s.inhibitor = r.plan.Inhibitor()
			s.replan(b, r)
		case r.control != nil && r.control.Kind == wire.ControlSilence:
			s.silence(r)
		case r.deleted:
			s.bury(b, r)
		case r.control != nil && r.control.Kind == wire.ControlAlert:
			s.command(b, r)
		default:
			s.readings(b, r)
		}
	})
	return b
}

func (s *alerting) readings(b *Batch, r *record) {
	readings := b.of(r)
	for i := range readings {
		s.reading(b, r, &readings[i])
	}
}

// on makes of what the stage works on.
func (s *alerting) on(of *series, treat *treatment) *rule.Watch {
	w := &of.watch
	if w.frozen != nil {
		if err := w.Unmarshal(w.take()); err != nil {
			s.m.layouts.Inc()
		}
	}
	w.treat = treat
	s.subject.Series, s.subject.Unit, s.subject.Tags, s.subject.Rules = of.name, treat.Unit, treat.Tags, treat.rules
	s.subject.Others = treat.others
	return &w.Watch
}

func (s *alerting) reading(b *Batch, r *record, x *reading) {
	if x.fate == silent {
		return
	}
	w := s.on(x.series, x.treat)
	if x.fate != counted {
		w.LateOrInvalid(x.fate == late)
		return
	}
	x.series.watch.last = lastValue{x.value, true}
	s.out = w.Observe(&s.subject, &rule.Observation{
		Version: x.version, Time: x.time, Ingest: r.ingest, Value: x.value,
		Avg: x.avg, Lo: x.lo, Hi: x.hi, Score: x.score, Rate: x.rate,
		State: x.state, Onset: x.onset, Clear: x.clear, Head: x.head.String(),
	}, s.out[:0])
	if w.Firing(x.treat.rules) {
		x.state = telemetry.Alerting // whatever the detector thinks of it
	}
	if len(s.out) > 0 || w.Stepped() || x.treat.timed && x.series.watch.due == never {
		s.took(b, r, x.series)
	}
}

// took hands on the transitions of a series, and arms its timer.
func (s *alerting) took(b *Batch, r *record, of *series) {
	for i := range s.out {
		s.tell(b, r, of, &s.out[i])
	}
	s.arm(of)
}

// arm sees to it that a tick comes when the series, which the stage works on, has something to do then.
func (s *alerting) arm(of *series) {
	if due := of.watch.Due(&s.subject); due < of.watch.due {
		of.watch.due = due
		s.timers.arm(of, due)
	}
}

// tick lets timers be due. A device whose state contains the tick has heard it.
func (s *alerting) tick(b *Batch, r *record) {
	version := telemetry.VersionOf(r.offset, 0)
	for _, of := range s.timers.take(r.tick) {
		if of.watch.treat == nil {
			continue
		}
		if r.offset <= of.device.contained {
			s.timers.arm(of, of.watch.due) // for a tick that it has not heard
			continue
		}
		of.watch.due = never
		w := s.on(of, of.watch.treat)
		before := w.Offline(&s.subject)
		s.out = w.Tick(&s.subject, version, r.tick, s.out[:0])
		b.touched = append(b.touched, of)
		if !before && w.Offline(&s.subject) {
			r.silent = append(r.silent, reading{
				series: of, treat: of.watch.treat, version: version, time: r.tick, fate: silent, state: telemetry.Offline,
			})
		}
		s.took(b, r, of)
	}
}

// replan has the rules end that are no more.
func (s *alerting) replan(b *Batch, r *record) {
	for i, of := range r.treated {
		if r.offset <= of.device.contained || of.watch.treat == nil && of.watch.frozen == nil {
			of.watch.treat = r.treatments[i]
			continue
		}
		// Of most series it is early enough when the next reading comes.
		before, next := of.watch.treat, r.treatments[i]
		if before != nil && !next.timed && s.on(of, before).Quiet(&s.subject) {
			of.watch.treat = next
			continue
		}
		w := s.on(of, next)
		s.out = w.Rules(&s.subject, telemetry.VersionOf(r.offset, 0), r.ingest, s.out[:0])
		b.touched = append(b.touched, of)
		s.took(b, r, of)
	}
}

// bury ends the alerts of the series that were deleted. Whether one is inhibited is decided before any has ended.
func (s *alerting) bury(b *Batch, r *record) {
	var ended []rule.Transition
	var whose []*series
	for _, of := range r.buried {
		if of.watch.treat != nil || of.watch.frozen != nil {
			w := s.on(of, cmp.Or(of.watch.treat, noTreatment))
			for _, t := range w.End(&s.subject, telemetry.SeriesDeleted, telemetry.VersionOf(r.offset, 0), r.ingest, nil) {
				t.Inhibited = s.inhibitor.By(&t.Alert, t.By, of.device.views)
				ended, whose = append(ended, t), append(whose, of)
			}
		}
		of.watch = watchState{due: never}
	}
	for i := range ended {
		s.emit(b, r, whose[i], &ended[i].Alert)
	}
}

// tell emits a transition, and says what keeps it from being news.
func (s *alerting) tell(b *Batch, r *record, of *series, t *rule.Transition) {
	t.Inhibited = s.inhibitor.By(&t.Alert, t.By, of.device.views)
	s.emit(b, r, of, &t.Alert)
}

// emit hands on a transition, unless a predecessor has.
func (s *alerting) emit(b *Batch, r *record, of *series, a *telemetry.Alert) {
	of.device.note(a)
	if told, ok := s.told[a.ID]; ok && a.Version <= told {
		return
	}
	if s.open != nil {
		s.open[a.ID] = nil // the rules know of it
	}
	a.Silences = s.silences.Covers(a, r.ingest)
	s.m.transition(a.Phase)
	b.alerts = append(b.alerts, *a)
}

// settle resolves the alerts that readers take for open, although no rule knows of them: the state that they were in
// could not be read back, or the replay has not raised them again. Nobody else would ever resolve them.
func (s *alerting) settle(b *Batch) {
	for _, id := range slices.Sorted(maps.Keys(s.open)) {
		a := s.open[id]
		if a == nil || a.Phase == telemetry.Resolved || s.adopt(b, id, a) {
			continue
		}
		end := *a
		end.Phase, end.Reason = telemetry.Resolved, telemetry.StateForgotten
		end.Version = max(a.Version+1, telemetry.VersionOf(b.next-1, telemetry.MaxReadingsPerRecord-1))
		end.Summary = rule.Ended(a.Series+": the alert ends here, because what it was raised by is no longer known", a.Series, a.Summary)
		s.m.transition(end.Phase)
		b.alerts = append(b.alerts, end)
	}
	s.told, s.open = nil, nil
}

// adopt has the rules go on with an alert that they do not know of. It reports false when there is no such series.
func (s *alerting) adopt(b *Batch, id string, a *telemetry.Alert) bool {
	of := b.named[a.Series]
	if of == nil || of.watch.treat == nil {
		return false
	}
	w := s.on(of, of.watch.treat)
	for v := range w.Open(&s.subject) {
		if v.ID == id {
			return true
		}
	}
	w.Adopt(&s.subject, a, a.Time)
	s.arm(of)
	b.touched = append(b.touched, of)
	s.m.adopted.Inc()
	return true
}

func (s *alerting) silence(r *record) {
	if err := s.silences.put(r.control.Silence, r.control.Time); err != nil {
		r.fault = &fault{code: wire.CodeRecordMalformed, message: err.Error()}
	}
}

// command does to an alert what a person asked for.
func (s *alerting) command(b *Batch, r *record) {
	c := r.control
	of := r.target
	if of == nil {
		r.fault = &fault{code: wire.CodeAlertUnknown, message: "nothing is known of series " + c.Alert.Series}
		return
	}
	w := s.on(of.series, of.treat)
	out, err := w.Command(&s.subject, &rule.Command{
		AlertCommand: *c.Alert, By: c.By, Version: telemetry.VersionOf(r.offset, 0), Now: c.Time,
	}, s.out[:0])
	if err != nil {
		r.fault = &fault{code: wire.CodeAlertUnknown, message: err.Error()}
		return
	}
	s.out = out
	b.touched = append(b.touched, of.series)
	s.took(b, r, of.series)
}

// note keeps the device's open alerts, for inhibition.
func (d *device) note(a *telemetry.Alert) {
	at := slices.IndexFunc(d.open, func(v rule.View) bool { return v.ID == a.ID })
	switch {
	case a.Phase == telemetry.Resolved && at >= 0:
		d.open = slices.Delete(d.open, at, at+1)
	case a.Phase != telemetry.Resolved && at < 0:
		d.open = append(d.open, rule.View{ID: a.ID, Rule: a.Rule, Series: a.Series, Severity: a.Severity, Raised: a.Raised, Phase: a.Phase})
	}
}

func (d *device) views(yield func(rule.View) bool) {
	for _, v := range d.open {
		if !yield(v) {
			return
		}
	}
}
