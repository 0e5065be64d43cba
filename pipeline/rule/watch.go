package rule

import (
	"math"

	"weir/expr"
	"weir/telemetry"
)

// Subject is what is watched, and by which rules. It may be used again for the next series.
type Subject struct {
	// Partition and Series go into the ids of alerts.
	Partition int
	Series    string
	// Unit and Tags are for texts only: they have no influence on what is raised.
	Unit string
	Tags map[string]string
	// Rules are those of the series. Their names differ.
	Rules []*Rule
	// Others looks up the newest value of another metric of the device, for expressions. May be nil.
	Others func(metric string) (value float64, ok bool)

	env expr.Env
}

func (s *Subject) environment(numbers int) *expr.Env {
	if len(s.env.Numbers) < numbers {
		s.env.Numbers = make([]float64, numbers)
	}
	if s.env.Strings == nil {
		s.env.Strings = make([]string, 1)
	}
	return &s.env
}

// Observation is a reading and what the stages before made of it. NaN: not known.
type Observation struct {
	Version telemetry.Version
	// Time is source time, Ingest when the reading reached Weir (µs).
	Time, Ingest int64
	Value        float64
	// Avg is the moving average, Lo and Hi the expected band, Score and State the detector's, with Onset on the reading
	// that raised its alert and Clear on the one that ended it. Head names what scored most.
	Avg, Lo, Hi, Score float64
	State              telemetry.State
	Onset, Clear       bool
	Head               string
	// Rate is the change per second. NaN: it is taken from the reading before.
	Rate float64
}

// Transition is one of an alert. What it does not hold yet is Silences and Inhibited.
type Transition struct {
	telemetry.Alert
	Kind Kind
	// By is nil when the rule is gone.
	By *Rule
}

// ringSize is how many readings a Watch remembers, as evidence.
const ringSize = 12

// Watch is the state of all rules of one series. The zero value has seen nothing.
type Watch struct {
	states []state
	// newest is the Ingest (µs) of the newest reading.
	newest int64
	// n, late and invalid are readings since an alert was raised; afresh says that one was, and the next reading
	// counts as the first.
	n             uint64
	late, invalid uint32
	// The ring holds the newest used readings, the newest of them before head.
	head, used uint8
	afresh     bool
	// stepped: a condition has moved since Stepped was asked last.
	stepped bool
	times   [ringSize]int64
	values  [ringSize]float64
}

// state is that of one rule.
type state struct {
	// hash is the rule's: state made by another rule is of no use to this one.
	hash uint64
	// since is the source time (µs) from which on a pending condition holds.
	since int64
	// due is when (processing time, µs) the open alert ends, or its flapping does; 0: not before something comes.
	due int64
	// moved is the version of the newest transition.
	moved telemetry.Version
	// came is when (processing time, µs) the condition came, the newest flapCount of them, oldest first.
	came  []int64
	alert *alert // nil: none is open
	phase phase
}

// Observe feeds a reading and appends the transitions that it makes. Readings come in the order of their versions; a
// rule passes over one that is not newer than its newest transition.
func (w *Watch) Observe(s *Subject, o *Observation, out []Transition) []Transition {
	if !w.fits(s.Rules) {
		out = w.Rules(s, o.Version, o.Ingest, out)
	}
	w.remember(o)
	for i, r := range s.Rules {
		st := &w.states[i]
		if o.Version <= st.moved {
			continue
		}
		switch v := r.judge(s, w, o, st.phase); {
		case v == unknown, v == no && st.phase == off, v == yes && st.phase == on:
		default:
			out = w.step(s, i, o, v, out)
		}
	}
	return out
}

// Stepped reports whether a condition has moved since it was asked last. Then Due may be another, although nothing was
// told.
func (w *Watch) Stepped() bool {
	stepped := w.stepped
	w.stepped = false
	return stepped
}

// step moves the condition, which does not stay as it is.
func (w *Watch) step(s *Subject, i int, o *Observation, v verdict, out []Transition) []Transition {
	w.stepped = true
	r, st := s.Rules[i], &w.states[i]
	if v == no && st.phase == pending {
		st.phase = off
		return out
	}
	if st.phase == off {
		st.phase, st.since = pending, o.Time
	}
	if v == yes && o.Time-st.since < r.hold {
		return out
	}
	observed := r.observed(w, o)
	t := turn{w: w, s: s, r: r, st: st, cause: cause{
		version: o.Version, time: o.Time, now: o.Ingest, head: o.Head, held: o.Time - st.since,
		evidence: evidence{o.Value, o.Score, o.Lo, o.Hi, observed, r.limit(observed, v)},
	}}
	if v == no {
		st.phase = off
		return t.gone(out)
	}
	st.phase = on
	return t.came(out)
}

// remember keeps the reading as evidence.
func (w *Watch) remember(o *Observation) {
	if w.afresh {
		w.n, w.late, w.invalid, w.afresh = 0, 0, 0, false
	}
	w.n++
	w.newest = max(w.newest, o.Ingest)
	w.times[w.head], w.values[w.head] = o.Time, o.Value
	if w.head++; w.head == ringSize {
		w.head = 0
	}
	if w.used < ringSize {
		w.used++
	}
}

// back is the place in the ring of the reading n before the newest; n < used.
func (w *Watch) back(n int) int { return (int(w.head) + 2*ringSize - 1 - n) % ringSize }

// rate is the change per second that o, which is remembered already, brought.
func (w *Watch) rate(o *Observation) float64 {
	if !math.IsNaN(o.Rate) {
		return o.Rate
	}
	if w.used < 2 {
		return math.NaN()
	}
	before := w.back(1)
	d := o.Time - w.times[before]
	if d <= 0 {
		return math.NaN()
	}
	return (o.Value - w.values[before]) / (float64(d) / 1e6)
}

// LateOrInvalid counts a reading that is not observed: for being late, else for being invalid.
func (w *Watch) LateOrInvalid(late bool) {
	if w.afresh {
		w.n, w.late, w.invalid, w.afresh = 0, 0, 0, false
	}
	switch {
	case late && w.late < math.MaxUint32:
		w.late++
	case !late && w.invalid < math.MaxUint32:
		w.invalid++
	}
}

// Empty reports whether there is nothing to keep.
func (w *Watch) Empty() bool {
	return len(w.states) == 0 && w.used == 0 && w.n == 0 && w.late == 0 && w.invalid == 0
}

// Quiet reports whether no alert is open and none may become due without a reading, so that the series can be put
// aside until one comes.
func (w *Watch) Quiet(s *Subject) bool {
	for i := range w.states {
		if w.states[i].alert != nil {
			return false
		}
	}
	return w.Due(s) == math.MaxInt64
}
