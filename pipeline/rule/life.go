package rule

import (
	"math"

	"weir/telemetry"
)

// alert is an open one. It holds what is needed to resolve it when its rule is gone.
type alert struct {
	rule     string
	kind     Kind
	severity telemetry.Severity
	detector string
	labels   map[string]string
	raised   telemetry.Version
	started  int64 // source time, µs
	evidence evidence

	// flapping: the condition came count times since first (processing time, µs); told is the count that was told.
	flapping    bool
	count, told uint32
	first       int64

	marked   *telemetry.Note
	assignee string
	comments []telemetry.Note
	account  *account // nil: an earlier version wrote the state
}

// evidence is of the reading that moved the condition last. NaN: there is none.
type evidence struct {
	value, score, lo, hi float64
	// observed is what was compared with limit.
	observed, limit float64
}

// cause is what may make a transition.
type cause struct {
	version telemetry.Version
	time    int64 // source time of a reading, else now; µs
	now     int64 // processing time, µs
	held    int64 // for how long the condition held before it was told, µs
	head    string
	evidence
}

// turn is one rule's turn at a cause.
type turn struct {
	w  *Watch
	s  *Subject
	r  *Rule // nil: gone
	st *state
	cause
}

// without is the turn of a tick or command: the evidence is that of before.
func (w *Watch) without(s *Subject, r *Rule, st *state, version telemetry.Version, now int64) turn {
	a := st.alert
	return turn{w: w, s: s, r: r, st: st, cause: cause{
		version: version, time: max(now, a.started), now: now, evidence: a.evidence,
	}}
}

// came: the condition has come.
func (t *turn) came(out []Transition) []Transition {
	often := t.st.count(t.r, t.now)
	a := t.st.alert
	if a == nil {
		t.raise()
		if often {
			t.flap()
			return t.tell(telemetry.FlappingBegan, out)
		}
		return t.tell(telemetry.Raised, out)
	}
	a.evidence, t.st.due = t.evidence, 0
	switch {
	case a.flapping:
		t.st.due = after(t.now, t.r.flapPeriod)
		if a.count < math.MaxUint32 {
			a.count++
		}
		if uint64(a.count) >= 2*uint64(a.told) {
			a.told = a.count
			return t.tell(telemetry.FlappingBegan, out)
		}
	case often:
		t.flap()
		return t.tell(telemetry.FlappingBegan, out)
	}
	return out
}

// gone: the condition has gone.
func (t *turn) gone(out []Transition) []Transition {
	a := t.st.alert
	a.evidence = t.evidence
	switch {
	case a.flapping:
		t.st.due = after(t.now, max(t.r.flapPeriod, t.r.keep))
	case t.r.keep > 0:
		t.st.due = after(t.now, t.r.keep)
	default:
		return t.resolve(telemetry.Cleared, out)
	}
	return out
}

// settle: nothing came until the alert's due.
func (t *turn) settle(out []Transition) []Transition {
	if t.st.phase != on {
		return t.resolve(telemetry.Cleared, out)
	}
	a := t.st.alert
	a.flapping = false
	out = t.tell(telemetry.FlappingEnded, out)
	a.count, a.told, a.first = 0, 0, 0
	t.st.due, t.st.came = 0, nil
	return out
}

// count notes that the condition came, and reports whether that was too often.
func (st *state) count(r *Rule, now int64) bool {
	if r.flapCount == 0 {
		return false
	}
	if n := len(st.came) - r.flapCount + 1; n > 0 {
		st.came = st.came[:copy(st.came, st.came[n:])]
	}
	st.came = append(st.came, now)
	return len(st.came) == r.flapCount && now-st.came[0] <= r.flapPeriod
}

func (t *turn) flap() {
	n := uint32(t.r.flapCount)
	a := t.st.alert
	a.flapping, a.count, a.told, a.first = true, n, n, t.st.came[0]
	t.st.due = after(t.now, t.r.flapPeriod)
}

func (t *turn) raise() {
	a := &alert{
		rule: t.r.name, kind: t.r.kind, severity: t.r.severity, detector: string(t.r.kind),
		raised: t.version, started: t.time, evidence: t.evidence,
	}
	if t.r.kind == Anomaly && t.head != "" {
		a.detector = t.head
	}
	t.st.alert = a
	a.labels = renderTexts(t.r.labels, t.context(telemetry.Firing, telemetry.Raised))
}

func (t *turn) resolve(reason telemetry.Reason, out []Transition) []Transition {
	out = t.tell(reason, out)
	if t.st.alert.flapping {
		t.st.came = nil
	}
	t.st.alert, t.st.due = nil, 0
	return out
}

// Tick lets processing time advance to now (µs), and appends the transitions that were due.
func (w *Watch) Tick(s *Subject, version telemetry.Version, now int64, out []Transition) []Transition {
	if !w.fits(s.Rules) {
		out = w.Rules(s, version, now, out)
	}
	for i, r := range s.Rules {
		st := &w.states[i]
		switch {
		case version <= st.moved:
		case w.silent(r, st) <= now:
			st.phase = on
			t := turn{w: w, s: s, r: r, st: st, cause: cause{version: version, time: now, now: now}}
			t.evidence = evidence{
				value: w.values[w.back(0)], score: math.NaN(), lo: math.NaN(), hi: math.NaN(),
				observed: float64(now-w.newest) / 1e6, limit: r.limit(0, yes),
			}
			out = t.came(out)
		case st.due > 0 && st.due <= now:
			t := w.without(s, r, st, version, now)
			out = t.settle(out)
		}
	}
	return out
}

// silent is when (processing time, µs) the rule finds its series absent. A series of which no reading is known, or
// late ones only, is not.
func (w *Watch) silent(r *Rule, st *state) int64 {
	if r.watches != ofAbsence || st.phase == on || w.used == 0 {
		return math.MaxInt64
	}
	return after(w.newest, r.hold)
}

// Due is when (processing time, µs) the next tick has something to do; MaxInt64: not before something comes.
func (w *Watch) Due(s *Subject) int64 {
	due := int64(math.MaxInt64)
	if !w.fits(s.Rules) {
		for i := range w.states {
			if w.states[i].alert != nil && ruleOf(s.Rules, w.states[i].hash) == nil {
				return 0 // its rule is gone
			}
		}
		return due
	}
	for i, r := range s.Rules {
		st := &w.states[i]
		if st.due > 0 {
			due = min(due, st.due)
		}
		due = min(due, w.silent(r, st))
	}
	return due
}

// Offline reports whether a rule finds the series absent.
func (w *Watch) Offline(s *Subject) bool {
	if !w.fits(s.Rules) {
		return false
	}
	for i, r := range s.Rules {
		if r.watches == ofAbsence && w.states[i].phase == on {
			return true
		}
	}
	return false
}

// after is t + d within what a due can be.
func after(t, d int64) int64 {
	if t > math.MaxInt64-d {
		return math.MaxInt64
	}
	return max(t+d, 1)
}
