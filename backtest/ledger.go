package backtest

import (
	"cmp"
	"maps"
	"slices"

	"weir/telemetry"
)

// maxAlerts bounds how many alerts a run tells one by one. All are counted.
const maxAlerts = 10_000

// Alert is an alert from its raise to its end.
type Alert struct {
	ID       string             `json:"id"`
	Rule     string             `json:"rule"`
	Series   string             `json:"series"`
	Severity telemetry.Severity `json:"severity"`
	// Phase is the last one within the time looked at.
	Phase telemetry.Phase `json:"phase"`
	// From and To are source times (µs); To is null while the alert is open at the end. Raised is the processing time.
	From   int64  `json:"from_ts"`
	To     *int64 `json:"to_ts"`
	Raised int64  `json:"raised_us"`
	// Duration is To − From, or up to the end of the time looked at (µs).
	Duration int64 `json:"duration_us"`
	// Transitions are all there were, Flaps how often the condition came in the last of them that told.
	Transitions int    `json:"transitions"`
	Flaps       uint32 `json:"flaps"`
	// Summary is that of the raise.
	Summary string `json:"summary"`
	// Silenced and Inhibited say that it would not have been news.
	Silenced  bool `json:"silenced"`
	Inhibited bool `json:"inhibited"`
}

// RuleTotal sums the alerts of a rule.
type RuleTotal struct {
	Rule     string `json:"rule"`
	Alerts   int    `json:"alerts"`
	Series   int    `json:"series"`
	Open     int    `json:"open"`
	Flapping int    `json:"flapping"`
	// Duration of all together (µs).
	Duration int64 `json:"duration_us"`
}

// ledger keeps the alerts of a run.
type ledger struct {
	from   int64
	alerts map[string]*Alert
	order  []*Alert
	// earlier are open ones that were raised before from.
	earlier map[string]bool
	before  int
	begun   bool
	untold  int
	rules   map[string]*ruleCount
	last    int64
}

type ruleCount struct {
	RuleTotal
	series map[string]bool
}

func newLedger(o *Options) *ledger {
	return &ledger{from: o.From, alerts: make(map[string]*Alert), earlier: make(map[string]bool), rules: make(map[string]*ruleCount)}
}

// take notes a transition. It reports whether that is one of an alert that is told.
func (l *ledger) take(a *telemetry.Alert, now int64) bool {
	l.last = max(l.last, a.Time)
	if now < l.from {
		l.earlier[a.ID] = true
		if a.Phase == telemetry.Resolved {
			delete(l.earlier, a.ID)
		}
		return false
	}
	l.begin()
	if l.earlier[a.ID] {
		return false
	}
	x := l.alerts[a.ID]
	if x == nil {
		x = &Alert{
			ID: a.ID, Rule: a.Rule, Series: a.Series, Severity: a.Severity, From: a.StartedTime, Raised: now,
			Summary: a.Summary, Silenced: len(a.Silences) > 0, Inhibited: a.Inhibited != "",
		}
		l.count(x)
		l.alerts[a.ID] = x
	}
	x.Transitions++
	before := x.Phase
	x.Phase, x.Flaps = a.Phase, max(x.Flaps, a.Flaps.Count)
	c := l.rules[x.Rule]
	if a.Phase == telemetry.Flapping && before != a.Phase {
		c.Flapping++
	}
	if a.Phase == telemetry.Resolved {
		end := a.Time
		x.To, x.Duration = &end, max(0, end-x.From)
		c.Open--
		c.Duration += x.Duration
		delete(l.alerts, a.ID)
	}
	return true
}

// begin counts those that are open when the time looked at begins.
func (l *ledger) begin() {
	if !l.begun {
		l.begun, l.before = true, len(l.earlier)
	}
}

func (l *ledger) count(x *Alert) {
	c := l.rules[x.Rule]
	if c == nil {
		c = &ruleCount{RuleTotal: RuleTotal{Rule: x.Rule}, series: make(map[string]bool)}
		l.rules[x.Rule] = c
	}
	c.Alerts++
	c.Open++
	c.series[x.Series] = true
	if len(l.order) < maxAlerts {
		l.order = append(l.order, x)
	} else {
		l.untold++
	}
}

// list is what is told, in order of the raise.
func (l *ledger) list() []Alert {
	out := make([]Alert, 0, len(l.order))
	for _, x := range l.order {
		if x.To == nil {
			x.Duration = max(0, l.last-x.From)
		}
		out = append(out, *x)
	}
	slices.SortStableFunc(out, func(a, b Alert) int { return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.Series, b.Series)) })
	return out
}

func (l *ledger) totals() []RuleTotal {
	l.begin()
	for _, x := range l.alerts {
		l.rules[x.Rule].Duration += max(0, l.last-x.From)
	}
	out := make([]RuleTotal, 0, len(l.rules))
	for _, rule := range slices.Sorted(maps.Keys(l.rules)) {
		c := l.rules[rule]
		c.Series = len(c.series)
		out = append(out, c.RuleTotal)
	}
	return out
}
