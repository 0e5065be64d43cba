package rule

import (
	"errors"
	"fmt"

	"weir/telemetry"
)

// Bounds of what people leave on an alert; longer texts are cut.
const (
	MaxComments     = 8 // the newest
	MaxCommentBytes = 2000
	MaxPersonBytes  = 255
)

var (
	// ErrUnknownAlert: no open alert of the series has the id.
	ErrUnknownAlert = errors.New("no such open alert")
	// ErrUnknownAction: an action that is none of telemetry's, or a comment without a text.
	ErrUnknownAction = errors.New("no such action on an alert")
	// ErrStale: the alert has made a transition of this version or a later one.
	ErrStale = errors.New("the alert has moved on")
)

// Command is an action of a person on one alert, at processing time now (µs), and appends its transition: also where
// it changes nothing, as the transition is the answer that the person waits for.
func (w *Watch) Command(s *Subject, c *Command, out []Transition) ([]Transition, error) {
	for i := range w.states {
		st := &w.states[i]
		a := st.alert
		if a == nil || ID(s.Partition, a.rule, s.Series, a.raised) != c.Alert {
			continue
		}
		if c.Version <= st.moved {
			return out, fmt.Errorf("%w: %s", ErrStale, c.Alert)
		}
		t := w.without(s, ruleOf(s.Rules, st.hash), st, c.Version, c.Now)
		note := telemetry.Note{By: clip(c.By, MaxPersonBytes), Time: c.Now, Text: clip(c.Text, MaxCommentBytes)}
		reason, err := a.act(c.Action, note)
		if err != nil {
			return out, err
		}
		if a.account != nil {
			t.evidence = a.account.evidence
		}
		return t.tell(reason, out), nil
	}
	return out, fmt.Errorf("%w: %s", ErrUnknownAlert, c.Alert)
}

// Command is what By wants done, in the record of Version, at processing time Now (µs).
type Command struct {
	telemetry.AlertCommand
	By      string
	Version telemetry.Version
	Now     int64
}

func (a *alert) act(action telemetry.AlertAction, note telemetry.Note) (telemetry.Reason, error) {
	switch action {
	case telemetry.ActionAcknowledge:
		a.marked = &note
		return telemetry.Acked, nil
	case telemetry.ActionUnacknowledge:
		a.marked = nil
		return telemetry.Unacked, nil
	case telemetry.ActionAssign:
		a.assignee = clip(note.Text, MaxPersonBytes)
		return telemetry.Assigned, nil
	case telemetry.ActionComment:
		if note.Text == "" {
			return "", fmt.Errorf("%w: a comment needs a text", ErrUnknownAction)
		}
		if n := len(a.comments) - MaxComments + 1; n > 0 {
			a.comments = a.comments[:copy(a.comments, a.comments[n:])]
		}
		a.comments = append(a.comments, note)
		return telemetry.Commented, nil
	}
	return "", fmt.Errorf("%w: %q", ErrUnknownAction, clip(string(action), MaxNameBytes))
}

// ruleOf is the rule with the hash, or nil.
func ruleOf(rules []*Rule, hash uint64) *Rule {
	for _, r := range rules {
		if r.hash == hash {
			return r
		}
	}
	return nil
}
