// Package detect scores readings of a series by how unusual they are, and raises and clears alerts.
//
// A [Detector] is strictly causal and deterministic: what it answers depends on the readings it has seen,
// in their order, with their source times, and on nothing else (no clock, no configuration). So a replay
// after a crash raises the same alerts at the same readings. Its state is small, holds no pointers and can
// be saved and restored between any two readings.
package detect

import "weir/telemetry"

// Verdict is what a detector says of one reading.
type Verdict struct {
	// Score is the severity in [0, 1): AlertScore at the alert level. It is 0 while warming.
	Score float64
	// Lo and Hi bound what was expected of this reading: at or outside them Score is at least AlertScore.
	// They are NaN while warming.
	Lo, Hi float64
	// State is the series' condition after this reading: Warming, OK, Anomalous or Alerting.
	State telemetry.State
	// Onset is set on the reading that raises an alert, Clear on the one that ends it.
	Onset, Clear bool
}

// Detector judges the readings of one series. It is not safe for concurrent use.
type Detector interface {
	// Observe judges the value v at source time t (µs) by what came before it, and learns it. A value that
	// is not finite changes nothing.
	Observe(t int64, v float64) Verdict
	// MarshalAppend appends the state to dst; Unmarshal takes exactly those bytes back and on an error
	// leaves the detector unchanged.
	MarshalAppend(dst []byte) []byte
	Unmarshal(b []byte) error
}
