package rule

import (
	"iter"

	"weir/telemetry"
)

// Pending is the phase of a condition that holds, but not yet for long enough.
const Pending telemetry.Phase = "pending"

// View is an open alert, or a pending one, as the state has it.
type View struct {
	// ID, Raised, Flaps and what people did are zero while pending.
	ID       string             `json:"id,omitempty"`
	Rule     string             `json:"rule"`
	Series   string             `json:"series"`
	Kind     Kind               `json:"kind"`
	Severity telemetry.Severity `json:"severity"`
	Phase    telemetry.Phase    `json:"phase"`
	Raised   telemetry.Version  `json:"raised,omitempty"`
	// Since is the source time (µs) of the raise, or from which the condition holds.
	Since int64 `json:"since"`
	// Active is false when the condition is gone and the alert still open.
	Active bool `json:"active"`
	// Due is when (processing time, µs) the alert ends or its flapping does, unless something comes.
	Due      int64           `json:"due,omitempty"`
	Flaps    telemetry.Flaps `json:"flaps"`
	Marked   *telemetry.Note `json:"acknowledged,omitempty"`
	Assignee string          `json:"assignee,omitempty"`
}

// Open yields the alerts of the series that are open, and the conditions that are pending.
func (w *Watch) Open(s *Subject) iter.Seq[View] {
	return func(yield func(View) bool) {
		for i := range w.states {
			st := &w.states[i]
			a := st.alert
			if r := ruleOf(s.Rules, st.hash); st.phase == pending && r != nil {
				if !yield(View{
					Rule: r.name, Series: s.Series, Kind: r.kind, Severity: r.severity, Phase: Pending, Since: st.since,
				}) {
					return
				}
			}
			if a == nil {
				continue
			}
			v := View{
				ID:   ID(s.Partition, a.rule, s.Series, a.raised),
				Rule: a.rule, Series: s.Series, Kind: a.kind, Severity: a.severity, Phase: a.phaseOf(""),
				Raised: a.raised, Since: a.started, Active: st.phase == on, Due: st.due,
				Flaps:  telemetry.Flaps{Count: a.count},
				Marked: a.marked, Assignee: a.assignee,
			}
			if !yield(v) {
				return
			}
		}
	}
}
