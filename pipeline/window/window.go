package window

import (
	"hash/fnv"
	"strconv"
	"strings"
)

// Window is a compiled Spec. It does not change and may be used by any number of goroutines. Times are in µs.
type Window struct {
	kind      Kind
	size      int64 // of a session its gap
	every     int64 // distance between the ends of windows
	pane      int64
	grace     int64
	maxPanes  int
	functions []function
	sketched  bool // whether a function is a quantile
	hash      uint32
	name, as  string
}

// Compile makes the Window of a valid Spec.
func (s *Spec) Compile() (*Window, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	w := &Window{
		kind: s.Kind, size: s.Size.Microseconds(), every: s.Every.Microseconds(), pane: s.pane().Microseconds(),
		grace: s.grace().Microseconds(), name: s.name(), as: s.As,
	}
	if w.as == "" {
		w.as = defaultAs
	}
	switch w.kind {
	case Tumbling:
		w.every = w.size
	case Session:
		w.size, w.every = w.pane, w.pane
	}
	w.maxPanes = int(w.size/w.pane+(w.grace+w.pane-1)/w.pane) + 1
	for _, name := range s.Functions {
		f, err := parseFunction(name)
		if err != nil {
			return nil, err
		}
		w.functions = append(w.functions, f)
		w.sketched = w.sketched || f.of == nil
	}
	w.hash = w.sum()
	return w, nil
}

// sum hashes what the content of a State depends on.
func (w *Window) sum() uint32 {
	h := fnv.New32a()
	text := strings.Join([]string{
		w.kind.String(), strconv.FormatInt(w.size, 10), strconv.FormatInt(w.every, 10), strconv.FormatBool(w.sketched),
	}, " ")
	if w.sketched {
		text += " by level" // sketches of before had none
	}
	h.Write([]byte(text)) // a hash takes everything
	return h.Sum32()
}

// Hash tells windows apart whose states cannot be taken for one another: by kind, size, every or gap, and
// whether there are quantiles. Another name, grace or another function of the same panes goes on with the state.
func (w *Window) Hash() uint32 { return w.hash }

// Name is the Spec's name or its default.
func (w *Window) Name() string { return w.name }

// Kind is the kind of window.
func (w *Window) Kind() Kind { return w.kind }

// Grace is how long after its end (µs of event time) a window waits.
func (w *Window) Grace() int64 { return w.grace }

// Functions are the names of what Result.Values holds.
func (w *Window) Functions() []string {
	names := make([]string, len(w.functions))
	for i := range w.functions {
		names[i] = w.functions[i].name
	}
	return names
}

// Metric is the name of the metric that holds the results of function i (of Functions) for the metric given.
func (w *Window) Metric(metric string, i int) string {
	return strings.NewReplacer("{metric}", metric, "{window}", w.name, "{fn}", w.functions[i].name).Replace(w.as)
}

// paneStart is the start of the pane that holds t.
func (w *Window) paneStart(t int64) int64 { return floor(t, w.pane) }

// endAfter is the earliest end of a window that is later than t.
func (w *Window) endAfter(t int64) int64 { return floor(t-w.size, w.every) + w.size + w.every }

// floor is the greatest multiple of step that is not greater than t.
func floor(t, step int64) int64 {
	r := t % step
	if r < 0 {
		r += step
	}
	return t - r
}

// holds reports whether a pane of w can hold what p does.
func (w *Window) holds(p *Partial) bool {
	if p.FirstTime <= -timeLimit || p.LastTime >= timeLimit || p.FirstTime < p.Start || p.LastTime < p.FirstTime {
		return false
	}
	if w.kind == Session {
		return p.FirstTime == p.Start
	}
	return floor(p.Start, w.pane) == p.Start && p.LastTime-p.Start < w.pane
}

// Result is what a window tells of its readings. Sliding windows hold the readings in (Start, End], all others
// those in [Start, End); a session ends a gap after its last reading.
type Result struct {
	Start, End int64 // source time (µs)
	// Gap says that the window was closed by processing time, because the device had gone silent.
	Gap bool
	N   uint64 // readings in it, at least one: windows without readings have no Result
	// Values are aligned with Window.Functions; NaN where the value overflowed. Their memory is used again
	// when the slice of results is passed again with a lesser length.
	Values []float64
}

// appendResult appends what w tells of p.
func (w *Window) appendResult(out []Result, p *Partial, start, end int64, gap bool) []Result {
	if len(out) < cap(out) {
		out = out[:len(out)+1]
	} else {
		out = append(out, Result{})
	}
	r := &out[len(out)-1]
	r.Start, r.End, r.Gap, r.N, r.Values = start, end, gap, p.N, r.Values[:0]
	for i := range w.functions {
		r.Values = append(r.Values, w.functions[i].value(p))
	}
	return out
}
