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
	// Head is the one that had the say; HeadNone when the reading is unremarkable.
	Head Head
	// Novelty is 1 at the level at which novelty raises an alert, Deviation the distance from the recent mean
	// in scales (see docs/detector.md). They are evidence, not probabilities.
	Novelty, Deviation float64
}
