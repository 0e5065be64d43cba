package rule

import (
	"math"
	"net/url"
	"slices"

	"weir/telemetry"
)

// phaseOf is where the alert stands, for the world.
func (a *alert) phaseOf(reason telemetry.Reason) telemetry.Phase {
	switch reason {
	case telemetry.Cleared, telemetry.RuleRemoved, telemetry.SeriesDeleted:
		return telemetry.Resolved
	}
	switch {
	case a.flapping:
		return telemetry.Flapping
	case a.marked != nil:
		return telemetry.Acknowledged
	}
	return telemetry.Firing
}

// tell appends the transition of the open alert. Versions of one alert grow, whatever the caller says.
func (t *turn) tell(reason telemetry.Reason, out []Transition) []Transition {
	a, w := t.st.alert, t.w
	t.version = max(t.version, t.st.moved+1)
	t.st.moved = t.version
	phase := a.phaseOf(reason)
	said := t.account(phase, reason)
	x := Transition{Kind: a.kind, By: t.r}
	x.Alert = telemetry.Alert{
		ID:   ID(t.s.Partition, a.rule, t.s.Series, a.raised),
		Rule: a.rule, Series: t.s.Series, Phase: phase, Reason: reason, Severity: a.severity,
		Version: t.version, Raised: a.raised, StartedTime: a.started, Time: t.time,
		Value: said.value, Score: said.score, Lo: said.lo, Hi: said.hi, Limit: said.limit,
		Detector: a.detector, Summary: said.summary, Labels: a.labels,
		Samples: slices.Clone(said.samples), Quality: said.quality, Flaps: t.flaps(),
		Assignee: a.assignee, Comments: slices.Clone(a.comments), Link: said.link,
	}
	if a.marked != nil {
		note := *a.marked
		x.Marked = &note
	}
	if t.r != nil {
		x.Annotations = renderTexts(t.r.annotations, t.context(phase, reason))
	}
	if t.version == a.raised {
		w.afresh = true
	}
	return append(out, x)
}

func (t *turn) flaps() telemetry.Flaps {
	if a := t.st.alert; a.count > 0 {
		return telemetry.Flaps{Count: a.count, Period: max(t.now-a.first, 0)}
	}
	if t.r == nil || t.r.flapCount == 0 {
		return telemetry.Flaps{}
	}
	f := telemetry.Flaps{Period: t.r.flapPeriod}
	for _, came := range t.st.came {
		if t.now-came <= t.r.flapPeriod {
			f.Count++
		}
	}
	return f
}

// samples are the newest readings by source time, oldest first.
func (w *Watch) samples() []telemetry.Sample {
	out := make([]telemetry.Sample, w.used)
	for i := range out {
		at := w.back(len(out) - 1 - i)
		out[i] = telemetry.Sample{Time: w.times[at], Value: w.values[at]}
	}
	slices.SortStableFunc(out, func(a, b telemetry.Sample) int {
		switch {
		case a.Time < b.Time:
			return -1
		case a.Time > b.Time:
			return 1
		}
		return 0
	})
	return out
}

func (w *Watch) quality(samples []telemetry.Sample) telemetry.Quality {
	return telemetry.Quality{N: w.n, Late: uint64(w.late), Invalid: uint64(w.invalid), Gap: gap(samples)}
}

// gap is the longest pause between two samples (µs).
func gap(samples []telemetry.Sample) (longest int64) {
	for i := 1; i < len(samples); i++ {
		longest = max(longest, samples[i].Time-samples[i-1].Time)
	}
	return longest
}

// link leads to the series at a source time (µs) on the dashboard.
func link(series string, at int64) string {
	path := url.URL{Path: "/" + series} // leading, so that a colon in the first segment is no scheme
	return "#/series" + path.EscapedPath() + "?at=" + number64(at)
}

func (t *turn) context(phase telemetry.Phase, reason telemetry.Reason) *Context {
	a := t.st.alert
	device, metric, _ := telemetry.SplitSeries(t.s.Series)
	return &Context{
		Rule: a.rule, Kind: string(a.kind), Severity: string(a.severity), Phase: string(phase), Reason: string(reason),
		Series: t.s.Series, Device: device, Metric: metric, Unit: t.s.Unit, Detector: a.detector,
		Value: t.value, Observed: t.observed, Limit: t.limit, Score: t.score, Lo: t.lo, Hi: t.hi,
		Seconds: math.Max(0, float64(t.time-a.started)/1e6), Count: t.flaps().Count, Tags: t.s.Tags, Labels: a.labels,
	}
}
