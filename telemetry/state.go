package telemetry

import "fmt"

// State is a series' condition. The numbers are the wire's and grow with how bad the state is, so that
// the worst of several is their maximum.
type State uint8

const (
	OK State = iota
	Warming
	Offline // readings are missing for longer than a rule permits
	Anomalous
	Alerting
)

var stateNames = [...]string{"ok", "warming", "offline", "anomalous", "alert"}

func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return fmt.Sprintf("state(%d)", uint8(s))
}
