package rule

import (
	"slices"

	"weir/telemetry"
)

// fits reports whether the states are those of the rules.
func (w *Watch) fits(rules []*Rule) bool {
	if len(w.states) != len(rules) {
		return false
	}
	for i, r := range rules {
		if w.states[i].hash != r.hash {
			return false
		}
	}
	return true
}

// Rules makes s.Rules the rules of the series: the state of those that it had before goes on, that of others ends,
// with open alerts resolved as RuleRemoved. Observe and Tick do it by themselves when the rules are others than
// before; calling it at the record that changed them has the transitions carry that record's version.
func (w *Watch) Rules(s *Subject, version telemetry.Version, now int64, out []Transition) []Transition {
	if w.fits(s.Rules) {
		return out
	}
	var next []state
	if len(s.Rules) > 0 {
		next = make([]state, len(s.Rules))
	}
	taken := make([]bool, len(w.states))
	for i, r := range s.Rules {
		j := slices.IndexFunc(w.states, func(st state) bool { return st.hash == r.hash })
		if j >= 0 && !taken[j] {
			next[i], taken[j] = w.states[j], true
		} else {
			next[i] = state{hash: r.hash, moved: telemetry.NoVersion}
		}
	}
	for j := range w.states {
		if !taken[j] {
			out = w.end(s, &w.states[j], telemetry.RuleRemoved, version, now, out)
		}
	}
	w.states = next
	return out
}

func (w *Watch) end(
	s *Subject, st *state, reason telemetry.Reason, version telemetry.Version, now int64, out []Transition,
) []Transition {
	if st.alert == nil {
		return out
	}
	t := w.without(s, ruleOf(s.Rules, st.hash), st, version, now)
	return t.resolve(reason, out)
}

// End resolves what is open, for the reason, and leaves the zero value.
func (w *Watch) End(s *Subject, reason telemetry.Reason, version telemetry.Version, now int64, out []Transition) []Transition {
	for i := range w.states {
		out = w.end(s, &w.states[i], reason, version, now, out)
	}
	*w = Watch{}
	return out
}

// Adopt believes a transition that was read back from weir.alerts, at processing time now (µs): the rule's alert is
// open as it says, and will be cleared by what comes next, or it is resolved. Readings up to its version are passed
// over by the rule. An alert whose rule is gone is resolved with the next change of rules, reading or tick. It does
// nothing where the state knows as much already.
func (w *Watch) Adopt(s *Subject, a *telemetry.Alert, now int64) {
	st := w.stateFor(s, a)
	if st == nil {
		return
	}
	open := a.Phase != telemetry.Resolved
	if st.moved >= a.Version && open == (st.alert != nil) {
		return
	}
	st.moved, st.due, st.phase, st.alert = max(st.moved, a.Version, a.Raised), 0, off, nil
	if !open {
		return
	}
	st.phase = on
	st.alert = &alert{
		rule: a.Rule, kind: kindOf(s.Rules, a), severity: a.Severity, detector: a.Detector, labels: own(s.Rules, a),
		raised: a.Raised, started: a.StartedTime,
		evidence: evidence{a.Value, a.Score, a.Lo, a.Hi, a.Value, a.Limit},
		assignee: clip(a.Assignee, MaxPersonBytes), marked: a.Marked,
		comments: slices.Clone(a.Comments[max(0, len(a.Comments)-MaxComments):]),
		account:  adopted(a),
	}
	if a.Phase == telemetry.Flapping {
		st.alert.flapping = true
		st.alert.count, st.alert.told = max(a.Flaps.Count, 1), max(a.Flaps.Count, 1)
		st.alert.first = now - a.Flaps.Period
		st.due = after(now, a.Flaps.Period)
		if r := ruleOf(s.Rules, st.hash); r != nil {
			st.due = after(now, r.flapPeriod)
		}
	}
}

// stateFor is the state that the alert belongs to; one of its own, that fits no rule, when its rule is gone. Nil:
// there is nothing to do.
func (w *Watch) stateFor(s *Subject, a *telemetry.Alert) *state {
	if len(w.states) == 0 {
		w.Rules(s, telemetry.NoVersion, 0, nil)
	}
	for i := range w.states {
		if x := w.states[i].alert; x != nil && x.rule == a.Rule {
			return &w.states[i]
		}
	}
	for i, r := range s.Rules {
		if r.name == a.Rule && i < len(w.states) && w.states[i].hash == r.hash {
			return &w.states[i]
		}
	}
	if a.Phase == telemetry.Resolved {
		return nil
	}
	w.states = append(w.states, state{moved: telemetry.NoVersion})
	return &w.states[len(w.states)-1]
}

// own are the labels of the alert that are of its rule: others may have been added on the way out.
func own(rules []*Rule, a *telemetry.Alert) map[string]string {
	var labels map[string]string
	for _, r := range rules {
		if r.name != a.Rule {
			continue
		}
		for _, text := range r.labels {
			if value, ok := a.Labels[text.key]; ok {
				if labels == nil {
					labels = make(map[string]string, len(r.labels))
				}
				labels[text.key] = value
			}
		}
	}
	return labels
}

func kindOf(rules []*Rule, a *telemetry.Alert) Kind {
	for _, r := range rules {
		if r.name == a.Rule {
			return r.kind
		}
	}
	return Kind(a.Detector)
}
