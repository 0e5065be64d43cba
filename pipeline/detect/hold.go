package detect

import (
	"time"

	"weir/telemetry"
)

// Scores at which an alert is raised, and below which a reading counts as quiet.
const (
	AlertScore = 0.5
	QuietScore = 0.35
)

// An alert ends when holdReadings in a row were quiet and holdTime of source time has passed without a
// severe one. The first suits slow series, where a single quiet reading proves little; the second fast
// ones, where twenty readings pass before a person could look.
const (
	holdReadings = 20
	holdTime     = 10 * time.Second
)

// hold turns scores into the life of an alert: raised at once at AlertScore, cleared after a quiet time.
type hold struct {
	// loud is the source time (µs) of the newest reading that was not quiet.
	loud int64
	// quiet counts the readings since.
	quiet  uint8
	raised bool
}

func (h *hold) judge(t int64, score float64) Verdict {
	v := Verdict{Score: score, State: telemetry.OK}
	if score >= QuietScore {
		h.loud, h.quiet = t, 0
		v.State = telemetry.Anomalous
	} else if h.raised {
		h.quiet = min(h.quiet+1, holdReadings)
	}
	switch {
	case !h.raised && score >= AlertScore:
		h.raised, v.Onset = true, true
	case h.raised && h.quiet == holdReadings && t-h.loud >= holdTime.Microseconds():
		*h = hold{}
		v.Clear = true
	}
	if h.raised {
		v.State = telemetry.Alerting
	}
	return v
}
