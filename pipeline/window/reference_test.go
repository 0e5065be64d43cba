package window

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func compile(t testing.TB, s Spec) *Window {
	t.Helper()
	w, err := s.Compile()
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// everything is all functions but quantiles.
var everything = []string{"count", "sum", "mean", "min", "max", "range", "stddev", "first", "last"}

// plainResult is a Result that owns its values.
func plainResult(r Result) Result {
	r.Values = slices.Clone(r.Values)
	return r
}

func plainResults(rs []Result) []Result {
	var out []Result
	for _, r := range rs {
		out = append(out, plainResult(r))
	}
	return out
}

// summarise tells of readings in order of time, two-pass and with no state, what w's functions do.
func summarise(w *Window, rs []reading) []float64 {
	var sum, squares float64
	sorted := make([]float64, len(rs))
	for i, r := range rs {
		sum += r.v
		sorted[i] = r.v
	}
	slices.Sort(sorted)
	n := float64(len(rs))
	for _, r := range rs {
		squares += (r.v - sum/n) * (r.v - sum/n)
	}
	lo, hi := sorted[0], sorted[len(rs)-1]
	var out []float64
	for _, f := range w.functions {
		v := map[string]float64{
			"count": n, "sum": sum, "mean": sum / n, "min": lo, "max": hi, "range": hi - lo,
			"stddev": math.Sqrt(squares / n), "first": rs[0].v, "last": rs[len(rs)-1].v,
		}[f.name]
		if f.of == nil {
			v = sorted[int(f.q*(n-1))]
		}
		out = append(out, v)
	}
	return out
}

// reference gives the results of all windows over the readings, as if they had come in order.
func reference(w *Window, spec Spec, rs []reading) []Result {
	rs = slices.Clone(rs)
	slices.SortStableFunc(rs, func(a, b reading) int { return cmp.Compare(a.t, b.t) })
	var out []Result
	tell := func(start, end int64, in []reading) {
		out = append(out, Result{Start: start, End: end, N: uint64(len(in)), Values: summarise(w, in)})
	}
	if spec.Kind == Session {
		for len(rs) > 0 {
			n := 1
			for n < len(rs) && rs[n].t-rs[n-1].t < spec.Gap.Microseconds() {
				n++
			}
			tell(rs[0].t, rs[n-1].t+spec.Gap.Microseconds(), rs[:n])
			rs = rs[n:]
		}
		return out
	}
	size, every := spec.Size.Microseconds(), spec.Every.Microseconds()
	if spec.Kind == Tumbling {
		every = size
	}
	starts := map[int64][]reading{}
	for _, r := range rs {
		k := int64(math.Floor(float64(r.t) / float64(every)))
		for start := k * every; start > r.t-size; start -= every {
			starts[start] = append(starts[start], r)
		}
	}
	for start, in := range starts {
		tell(start, start+size, in)
	}
	slices.SortFunc(out, func(a, b Result) int { return cmp.Compare(a.Start, b.Start) })
	return out
}

// differ tells how the results differ, or "".
func differ(w *Window, got, want []Result) string {
	if len(got) != len(want) {
		return fmt.Sprintf("%d results, want %d:\n%v\n%v", len(got), len(want), got, want)
	}
	for i, g := range got {
		x := want[i]
		if g.Start != x.Start || g.End != x.End || g.N != x.N || g.Gap != x.Gap {
			return fmt.Sprintf("result %d: %+v, want %+v", i, g, x)
		}
		for f, v := range g.Values {
			if !near(v, x.Values[f]) && !(w.functions[f].of == nil && math.Abs(v-x.Values[f]) <= QuantileAccuracy*1.0001*math.Abs(x.Values[f])) {
				return fmt.Sprintf("result %d: %s is %v, want %v", i, w.functions[f].name, v, x.Values[f])
			}
		}
	}
	return ""
}

// drawSpec draws a window of any kind that closes.
func drawSpec(t *rapid.T) Spec {
	s := Spec{
		Kind:      rapid.SampledFrom([]Kind{Tumbling, Hopping, Session}).Draw(t, "kind"),
		Functions: append(slices.Clone(everything), "p50", "p90", "p99.9"),
	}
	unit := time.Duration(rapid.IntRange(1, 50).Draw(t, "unit")) * time.Millisecond
	switch s.Kind {
	case Tumbling:
		s.Size = unit
	case Hopping:
		every := rapid.IntRange(1, 7).Draw(t, "every")
		s.Every = time.Duration(every) * unit
		s.Size = time.Duration(rapid.IntRange(every, 20).Draw(t, "size")) * unit
	case Session:
		s.Gap = unit
	}
	grace := time.Duration(rapid.IntRange(0, 30).Draw(t, "grace")) * unit / 2
	s.Grace = &grace
	return s
}

// drawReadings draws a stream that is out of order by no more than slack, now and then with a long gap. Values
// are seldom tiny beside the others, so that sums can be compared.
func drawReadings(t *rapid.T, unit, slack int64) []reading {
	at := rapid.Int64Range(-1<<50, 1<<51).Draw(t, "start")
	var rs []reading
	for range rapid.IntRange(1, 150).Draw(t, "count") {
		step := rapid.Int64Range(0, unit).Draw(t, "step")
		if rapid.IntRange(0, 20).Draw(t, "kind of step") == 0 {
			step = rapid.Int64Range(0, 1000*unit).Draw(t, "gap")
		}
		at += step
		v := rapid.OneOf(rapid.Float64Range(-1e3, 1e3), rapid.Float64Range(20, 21)).Draw(t, "v")
		rs = append(rs, reading{t: at - rapid.Int64Range(0, slack).Draw(t, "delay"), v: v})
	}
	return rs
}
