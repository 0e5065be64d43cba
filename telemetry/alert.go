package telemetry

// Phase is where an alert stands in its life.
type Phase string

const (
	Firing   Phase = "firing"
	Resolved Phase = "resolved"
)

// Alert is one transition of one alert, with the evidence for it.
type Alert struct {
	// ID is deterministic: a hash of rule, series and the version that raised the alert, behind the
	// partition it lives in.
	ID     string `json:"id"`
	Rule   string `json:"rule"`
	Series string `json:"series"`
	Phase  Phase  `json:"phase"`
	// Version is that of the reading which caused this transition; Raised that of the one which
	// raised the alert.
	Version Version `json:"version"`
	Raised  Version `json:"raised"`
	// StartedTime and Time are source times in microseconds: of the raise and of this transition.
	StartedTime int64 `json:"started_ts"`
	Time        int64 `json:"ts"`
	// Value is the reading's; Score in [0, 1] the detector's; Lo and Hi the band it expected.
	Value float64 `json:"value"`
	Score float64 `json:"score"`
	Lo    float64 `json:"lo"`
	Hi    float64 `json:"hi"`
	// Detector names the head that fired.
	Detector string `json:"detector"`
	// Summary is a sentence for people.
	Summary string `json:"summary"`
}
