package telemetry

// Phase is where an alert stands in its life.
//
//	firing ⇄ acknowledged        (by people)
//	   ⇅          ⇅
//	flapping ─────┴──▶ resolved  (the condition goes for good, or what it is about does)
//
// A condition that has not yet held for as long as its rule asks is pending. That is no alert yet: it is shown where a
// series is looked into, and told nobody.
type Phase string

const (
	Firing       Phase = "firing"
	Acknowledged Phase = "acknowledged"
	// Flapping: the condition came and went so often that its coming and going is the news. One alert stands for all of
	// it until the condition has been steady for a while.
	Flapping Phase = "flapping"
	Resolved Phase = "resolved"
)

// Reason says what made a transition.
type Reason string

const (
	Raised         Reason = "raised"
	Cleared        Reason = "cleared"
	Acked          Reason = "acknowledged"
	Unacked        Reason = "unacknowledged"
	Commented      Reason = "commented"
	Assigned       Reason = "assigned"
	FlappingBegan  Reason = "flapping"
	FlappingEnded  Reason = "steady"
	RuleRemoved    Reason = "rule_removed"
	SeriesDeleted  Reason = "series_deleted"
	StateForgotten Reason = "state_forgotten" // the state could not be read back
)

// Severity of an alert, from the rule.
type Severity string

const (
	Info     Severity = "info"
	Warning  Severity = "warning"
	Critical Severity = "critical"
)

// Alert is one transition of one alert, with the evidence for it: enough to see why without asking for anything else.
type Alert struct {
	// ID is deterministic: a hash of rule, series and the version that raised the alert, behind the
	// partition it lives in.
	ID       string   `json:"id"`
	Rule     string   `json:"rule"`
	Series   string   `json:"series"`
	Phase    Phase    `json:"phase"`
	Reason   Reason   `json:"reason,omitempty"`
	Severity Severity `json:"severity,omitempty"`
	// Version is that of the reading, tick or command which caused this transition, and grows with each; Raised that of
	// the reading which raised the alert.
	Version Version `json:"version"`
	Raised  Version `json:"raised"`
	// StartedTime and Time are source times in microseconds: of the raise and of this transition.
	StartedTime int64 `json:"started_ts"`
	Time        int64 `json:"ts"`
	// Value is the reading's; Score in [0, 1] the detector's; Lo and Hi the band it expected; Limit the level that a
	// rule compares with. NaN: there is none.
	Value float64 `json:"value"`
	Score float64 `json:"score"`
	Lo    float64 `json:"lo"`
	Hi    float64 `json:"hi"`
	Limit float64 `json:"limit"`
	// Detector names the head that fired, or the kind of the rule's condition.
	Detector string `json:"detector"`
	// Summary is a sentence for people.
	Summary     string            `json:"summary"`
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`

	// Samples are the newest readings as of the transition, oldest first; Quality tells how far they can be trusted.
	Samples []Sample `json:"samples,omitempty"`
	Quality Quality  `json:"quality"`
	Flaps   Flaps    `json:"flaps"`

	// What people did: Marked is the acknowledgement in force, Comments are the newest few, oldest first.
	Marked   *Note  `json:"acknowledged,omitempty"`
	Assignee string `json:"assignee,omitempty"`
	Comments []Note `json:"comments,omitempty"`

	// Silences are the ids of those in force; Inhibited is the id of the alert because of which this one is not news.
	Silences  []string `json:"silences,omitempty"`
	Inhibited string   `json:"inhibited_by,omitempty"`
	// Link leads to that instant on the dashboard, relative to its address.
	Link string `json:"link,omitempty"`
}

// Sample is a value of a series at a source time (µs).
type Sample struct {
	Time  int64   `json:"ts"`
	Value float64 `json:"value"`
}

// Quality is that of a series' data shortly before a transition.
type Quality struct {
	// N, Late and Invalid are readings of the series since the alert before, or since it was first heard of.
	N       uint64 `json:"n"`
	Late    uint64 `json:"late"`
	Invalid uint64 `json:"invalid"`
	// Gap is the longest pause (µs of source time) between two of Samples.
	Gap int64 `json:"gap_us"`
}

// Flaps tells how often the condition came within Period (µs), ending with the transition.
type Flaps struct {
	Count  uint32 `json:"count"`
	Period int64  `json:"period_us"`
}

// Note is what a person left on an alert, at a processing time (µs).
type Note struct {
	By   string `json:"by"`
	Time int64  `json:"time"`
	Text string `json:"text,omitempty"`
}
