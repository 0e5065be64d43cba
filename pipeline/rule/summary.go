package rule

import (
	"fmt"
	"math"

	"weir/telemetry"
)

// summary is the trouble that the transition tells of, in a sentence.
func (t *turn) summary(reason telemetry.Reason) string {
	a, series := t.st.alert, t.s.Series
	switch reason {
	case telemetry.FlappingBegan:
		f := t.flaps()
		return fmt.Sprintf("%s is flapping: %s came %d times within %s; last, %s", series, a.rule, f.Count, span(f.Period), t.trouble())
	case telemetry.FlappingEnded:
		return fmt.Sprintf("%s no longer flaps, but %s goes on after %s: %s", series, a.rule, t.lasted(), t.trouble())
	}
	return t.trouble()
}

// ending says how the alert ended.
func (t *turn) ending(reason telemetry.Reason) string {
	a, series := t.st.alert, t.s.Series
	switch {
	case reason == telemetry.RuleRemoved:
		return fmt.Sprintf("the rule %s of %s was changed or removed; its alert ends after %s", a.rule, series, t.lasted())
	case reason == telemetry.SeriesDeleted:
		return series + " was deleted"
	case a.kind == Absence:
		return fmt.Sprintf("%s sends again after %s: %s", series, t.lasted(), t.quantity(t.value))
	}
	return fmt.Sprintf("%s is back to normal after %s: %s", series, t.lasted(), t.quantity(t.value))
}

// lasted is for how long the alert has been open.
func (t *turn) lasted() string { return span(max(t.time-t.st.alert.started, 0)) }

// trouble says what is wrong, as in "plant1/press7/temperature is 91.2 °C, above 85 for 2m; expected 60 to 72".
func (t *turn) trouble() string {
	series := t.s.Series
	switch t.st.alert.kind {
	case Absence:
		return fmt.Sprintf("%s has sent nothing for %s; the last value was %s", series, humanizeSeconds(t.observed), t.quantity(t.value))
	case Anomaly:
		band := t.expected(", ")
		if t.lo <= t.value && t.value <= t.hi {
			band = "" // it is not for its value that the head speaks
		}
		return fmt.Sprintf("%s is %s%s%s", series, t.quantity(t.value), band, t.judgement())
	case Rate:
		return fmt.Sprintf("%s is %s and changes by %s per second, %s%s%s", series, t.quantity(t.value), number(t.observed),
			t.side(), t.duration(), t.expected("; "))
	case Threshold:
		switch {
		case t.r != nil && t.r.value == Average:
			return fmt.Sprintf("%s is %s on average, %s%s%s", series, t.quantity(t.observed), t.side(), t.duration(), t.expected("; "))
		case t.r != nil && t.r.value == Score:
			return fmt.Sprintf("%s is %s with score %.2f, %s%s%s", series, t.quantity(t.value), t.observed, t.side(), t.duration(), t.expected("; "))
		}
		return fmt.Sprintf("%s is %s, %s%s%s", series, t.quantity(t.value), t.side(), t.duration(), t.expected("; "))
	}
	condition := t.st.alert.rule
	if t.r != nil && t.r.raise != nil {
		condition = t.r.raise.program.String()
	}
	return clip(fmt.Sprintf("%s is %s, and %s%s%s", series, t.quantity(t.value), condition, t.duration(), t.expected("; ")), MaxAnnotationBytes)
}

// judgement is what the detector found, and which head of it: ": far from its recent mean (deviation, score 0.91)".
func (t *turn) judgement() string {
	head := t.st.alert.detector
	found := finding(head)
	if found == "" {
		return fmt.Sprintf(" (score %.2f)", t.score)
	}
	return fmt.Sprintf(": %s (%s, score %.2f)", found, head, t.score)
}

func (t *turn) quantity(v float64) string {
	if t.s.Unit == "" {
		return number(v)
	}
	return number(v) + " " + t.s.Unit
}

// side says where what was observed is, seen from the limit.
func (t *turn) side() string {
	switch {
	case t.observed > t.limit:
		return "above " + number(t.limit)
	case t.observed < t.limit:
		return "below " + number(t.limit)
	}
	return "at " + number(t.limit)
}

// duration is for how long the condition held before it was told.
func (t *turn) duration() string {
	if t.held <= 0 {
		return ""
	}
	return " for " + span(t.held)
}

func (t *turn) expected(joint string) string {
	if math.IsNaN(t.lo) || math.IsNaN(t.hi) {
		return ""
	}
	lo, hi := number(t.lo), number(t.hi)
	if lo == hi { // it has never been anything else
		return joint + "expected " + lo
	}
	return joint + "expected " + lo + " to " + hi
}
