package rule

import "weir/telemetry"

// Firing reports whether the condition of a rule holds as of the newest reading, and has been told as an alert that
// is more than information. The rules are those of the last Observe.
func (w *Watch) Firing(rules []*Rule) bool {
	for i := range w.states {
		if w.states[i].phase == on && i < len(rules) && rules[i].severity != telemetry.Info {
			return true
		}
	}
	return false
}
