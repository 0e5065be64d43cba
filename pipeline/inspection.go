package pipeline

import (
	"math"

	"weir/pipeline/detect"
	"weir/pipeline/plan"
	"weir/pipeline/rule"
	"weir/pipeline/window"
	"weir/telemetry"
)

// Inspection is what a partition knows of one series: what each stage thinks of it, as of Position. Times are µs: of
// source time, but for those named otherwise. Null stands for what is not known.
type Inspection struct {
	Series    string `json:"series"`
	Partition int    `json:"partition"`
	// Position is the next offset of weir.readings as of the answer, Version that of the newest update made.
	Position int64             `json:"position"`
	Version  telemetry.Version `json:"version"`
	// Plan is what the plan in force is known by; Derived says that the series comes of others.
	Plan    string `json:"plan"`
	Derived bool   `json:"derived"`

	Reading  ReadingView  `json:"newest"`
	Latest   UpdateView   `json:"update"`
	Average  AverageView  `json:"average"`
	Windows  []WindowView `json:"windows"`
	Leads    []string     `json:"leads_to"`
	Detector DetectorView `json:"detector"`
	Rules    []RuleView   `json:"rules"`
	// Alerts are those that are open, and conditions that hold but not for long enough yet.
	Alerts []rule.View `json:"alerts"`
	// Due is when (processing time) the next timer of the series is, or earlier.
	Due   *int64    `json:"due_us"`
	State StateView `json:"state_bytes"`
	// Treatment says what the plan in force does with the series, and which entries ask for that.
	Treatment *plan.Explanation `json:"treatment"`
}

// ReadingView is the newest reading by source time, since when its value has been the same, and up to where late
// readings of the device are refused.
type ReadingView struct {
	Time      *int64   `json:"ts"`
	Value     *float64 `json:"value"`
	SameSince *int64   `json:"same_since_ts"`
	Watermark *int64   `json:"watermark_ts"`
}

// UpdateView is the newest update.
type UpdateView struct {
	Since     telemetry.Version `json:"since"`
	N         uint64            `json:"n"`
	Late      uint64            `json:"late"`
	Invalid   uint64            `json:"invalid"`
	FirstTime *int64            `json:"first_ts"`
	LastTime  *int64            `json:"last_ts"`
	Last      *float64          `json:"last"`
	Min       *float64          `json:"min"`
	Max       *float64          `json:"max"`
	Average   *float64          `json:"avg"`
	State     string            `json:"state"`
	Worst     string            `json:"worst"`
	// Ingested and Emitted are processing times.
	Ingested int64 `json:"ingest_us"`
	Emitted  int64 `json:"emit_us"`
}

// AverageView is the moving average of the live path.
type AverageView struct {
	Kind  string   `json:"kind"`
	Value *float64 `json:"value"`
}

// WindowView is what a series has in the windows of one kind that are open.
type WindowView struct {
	Name string `json:"name"`
	Kind string `json:"kind"`
	// Group: the readings are those of a group's members.
	Group bool `json:"group"`
	// Ends is when the first open one ends; null: none is open.
	Ends *int64 `json:"ends_ts"`
	// Missed are readings that came after theirs had closed.
	Missed uint64 `json:"missed"`
	// Open are those windows as they would be if nothing came any more, the first of them.
	Open []OpenWindow `json:"open"`
}

// OpenWindow is an open window as of now.
type OpenWindow struct {
	Start  int64               `json:"start_ts"`
	End    int64               `json:"end_ts"`
	N      uint64              `json:"n"`
	Values map[string]*float64 `json:"values"`
}

// DetectorView is what the detector says.
type DetectorView struct {
	On bool `json:"on"`
	// State, Score and the expected band are as of the newest update.
	State string   `json:"state"`
	Score *float64 `json:"score"`
	Lo    *float64 `json:"lo"`
	Hi    *float64 `json:"hi"`
	// Learned is null before the first reading that is judged.
	Learned *detect.View `json:"learned"`
}

// RuleView is a rule of the series.
type RuleView struct {
	Name     string             `json:"name"`
	Kind     rule.Kind          `json:"kind"`
	Severity telemetry.Severity `json:"severity"`
}

// StateView is how many bytes the parts of the series' state take in a checkpoint.
type StateView struct {
	Average  int `json:"average"`
	Compute  int `json:"compute"`
	Detector int `json:"detector"`
	Rules    int `json:"rules"`
}

// maxOpen bounds how many open windows of one kind are shown.
const maxOpen = 8

// viewOf is the newest update for people.
func viewOf(u *telemetry.Update) UpdateView {
	v := UpdateView{
		Since: u.Since, N: u.N, Late: u.Late, Invalid: u.Invalid, Average: finite(u.Avg),
		State: u.State.String(), Worst: u.Worst.String(), Ingested: u.IngestTime, Emitted: u.EmitTime,
	}
	if u.N > 0 {
		first, last := u.FirstTime, u.LastTime
		v.FirstTime, v.LastTime = &first, &last
		v.Last, v.Min, v.Max = finite(u.Last), finite(u.Min), finite(u.Max)
	}
	return v
}

// viewOfWindow looks into a copy of the state: closing what is open tells what is in it.
func viewOfWindow(w *window.Window, s *window.State) WindowView {
	v := WindowView{Name: w.Name(), Kind: w.Kind().String(), Missed: s.Missed(), Open: []OpenWindow{}}
	end := s.Due(w)
	if end == math.MaxInt64 {
		return v
	}
	v.Ends = &end
	var probe window.State
	if probe.Unmarshal(s.MarshalAppend(nil, w), w) != nil {
		return v
	}
	for next := end; next != math.MaxInt64 && len(v.Open) < maxOpen; next = probe.Due(w) {
		v.Open = appendOpen(v.Open, w, probe.Close(w, next, nil))
		if probe.Due(w) == next {
			break // a kind that closes by readings only
		}
	}
	return v
}

func viewOfGroup(w *window.Window, g *window.Group) WindowView {
	v := WindowView{Name: w.Name(), Kind: w.Kind().String(), Group: true, Missed: g.Missed(), Open: []OpenWindow{}}
	end := g.Due(w)
	if end == math.MaxInt64 {
		return v
	}
	v.Ends = &end
	var probe window.Group
	if probe.Unmarshal(g.MarshalAppend(nil, w), w) != nil {
		return v
	}
	for next := end; next != math.MaxInt64 && len(v.Open) < maxOpen; next = probe.Due(w) {
		v.Open = appendOpen(v.Open, w, probe.CloseUntil(w, next, nil))
	}
	return v
}

func appendOpen(list []OpenWindow, w *window.Window, results []window.Result) []OpenWindow {
	for i := range results {
		r := &results[i]
		open := OpenWindow{Start: r.Start, End: r.End, N: r.N, Values: make(map[string]*float64, len(r.Values))}
		for j, fn := range w.Functions() {
			open.Values[fn] = finite(r.Values[j])
		}
		list = append(list, open)
	}
	return list
}

func finite(v float64) *float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	return &v
}
