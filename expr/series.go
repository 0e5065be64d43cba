package expr

import "weir/telemetry"

// Places of the variables of a series in Env.Numbers, for programs compiled with the Options of [Series].
const (
	Value = iota // of the reading
	Avg          // the moving average
	Lo           // the expected band
	Hi
	Score // of the detector
	Rate  // change per second since the reading before
	TS    // source time in Unix seconds
	seriesVars
)

// Series are the options of expressions over one series. What is not known yet is NaN in Env.Numbers; the state
// is Env.Strings[0].
func Series(result Kind) Options {
	states := make([]string, 0, telemetry.Alerting+1)
	for s := telemetry.OK; s <= telemetry.Alerting; s++ {
		states = append(states, s.String())
	}
	return Options{
		Vars:    []string{Value: "value", Avg: "avg", Lo: "lo", Hi: "hi", Score: "score", Rate: "rate", TS: "ts"},
		Strings: []Text{{Name: "state", Values: states}},
		Result:  result,
	}
}

// SeriesEnv is an environment for expressions over one series, in which nothing is known.
func SeriesEnv() *Env {
	e := &Env{Numbers: make([]float64, seriesVars), Strings: make([]string, 1)}
	for i := range e.Numbers {
		e.Numbers[i] = unknown
	}
	return e
}
