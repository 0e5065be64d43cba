package telemetry

// Silence keeps alerts from being news for a while. They are raised all the same, and say which silences cover them.
type Silence struct {
	ID string `json:"id"`
	// Series is a pattern. Rules are names; none: all rules. Severities likewise.
	Series     string     `json:"series"`
	Rules      []string   `json:"rules,omitempty"`
	Severities []Severity `json:"severities,omitempty"`
	// From and Until bound it in processing time (µs). Ended before that: Until is moved.
	From  int64 `json:"from"`
	Until int64 `json:"until"`
	// By made it at Created (µs).
	By      string `json:"by"`
	Created int64  `json:"created"`
	Comment string `json:"comment,omitempty"`
}

// AlertAction is what a person does to an alert.
type AlertAction string

const (
	ActionAcknowledge   AlertAction = "acknowledge"
	ActionUnacknowledge AlertAction = "unacknowledge"
	ActionComment       AlertAction = "comment"
	ActionAssign        AlertAction = "assign"
)

// AlertCommand is an action on one alert.
type AlertCommand struct {
	// Alert is its id, Series whose it is.
	Alert  string      `json:"alert"`
	Series string      `json:"series"`
	Action AlertAction `json:"action"`
	// Text is the comment, or the assignee.
	Text string `json:"text,omitempty"`
}
