package telemetry

import "errors"

// Update is a summary of the interval (Since, Version] of one series.
type Update struct {
	// Series is the path device/metric.
	Series string
	// Version is that of the newest reading inside; Since that of the newest reading before it, or
	// NoVersion.
	Version, Since Version

	// N readings are merged into the values below. Late and Invalid count readings of the interval
	// that were left out of them. N+Late+Invalid is the number of stored, de-duplicated readings in the
	// interval. All zero is legal: such an Update only advances the version.
	N, Late, Invalid uint64

	// FirstTime and LastTime span the source times of the N readings, in microseconds.
	FirstTime, LastTime int64
	// Last is the newest value by (source time, version): the one at LastTime, and of several at that
	// time the one with the highest version.
	Last float64
	// Min, Max and Sum are of the N readings.
	Min, Max, Sum float64

	// Avg (moving average), Lo and Hi (expected band) and State are as of Version. Avg, Lo and Hi are
	// NaN while unknown.
	Avg, Lo, Hi float64
	State       State
	// Score in [0, 1] is the highest anomaly score inside, Worst the worst state inside.
	Score float64
	Worst State

	// IngestTime is when the newest reading reached Weir, EmitTime when the pipeline emitted the newest
	// part, both in microseconds.
	IngestTime, EmitTime int64
}

// Relation tells how an Update follows the last version a consumer has seen.
type Relation uint8

const (
	// Contiguous: the update begins where the consumer stands.
	Contiguous Relation = iota
	// Replay: the consumer has seen all of it; discard.
	Replay
	// Gap: something between was missed; resync.
	Gap
	// Overlap: part was seen and part was not. The protocol rules this out; count it and resync.
	Overlap
)

// Follow relates u to the last version seen of its series (NoVersion when none was).
func (u *Update) Follow(seen Version) Relation {
	switch {
	case u.Since == seen:
		return Contiguous
	case u.Version <= seen:
		return Replay
	case u.Since > seen:
		return Gap
	default:
		return Overlap
	}
}

// ErrNotAdjacent is returned by Merge for updates that do not touch.
var ErrNotAdjacent = errors.New("telemetry: merge of updates that are not adjacent")

// Merge extends u by next, which must begin where u ends. It is associative: exactly in every field but
// Sum, whose error is at most n·2⁻⁵³ of the sum of the values' magnitudes (floating-point addition). When it
// returns an error, u is as it was.
func (u *Update) Merge(next *Update) error {
	if u.Series != next.Series || u.Version != next.Since {
		return ErrNotAdjacent
	}
	u.mergeValues(next)
	u.Version = next.Version
	u.Late += next.Late
	u.Invalid += next.Invalid
	u.Avg, u.Lo, u.Hi, u.State = next.Avg, next.Lo, next.Hi, next.State
	u.Score = max(u.Score, next.Score)
	u.Worst = max(u.Worst, next.Worst)
	u.IngestTime = max(u.IngestTime, next.IngestTime)
	u.EmitTime = max(u.EmitTime, next.EmitTime)
	return nil
}

func (u *Update) mergeValues(next *Update) {
	if next.N == 0 {
		return
	}
	if u.N == 0 {
		u.FirstTime, u.LastTime, u.Last = next.FirstTime, next.LastTime, next.Last
		u.Min, u.Max, u.Sum, u.N = next.Min, next.Max, next.Sum, next.N
		return
	}
	u.N += next.N
	u.FirstTime = min(u.FirstTime, next.FirstTime)
	// All of next has higher versions than all of u, so equal times go to next.
	if next.LastTime >= u.LastTime {
		u.LastTime, u.Last = next.LastTime, next.Last
	}
	u.Min = min(u.Min, next.Min)
	u.Max = max(u.Max, next.Max)
	u.Sum += next.Sum
}

// Add merges one reading into u, as Merge would do with an Update of that reading alone; v must be above
// u.Version. The caller sets Avg, Lo, Hi, State, Score and the times of ingest and emission.
func (u *Update) Add(v Version, time int64, value float64) {
	u.Version = v
	if u.N == 0 {
		u.N = 1
		u.FirstTime, u.LastTime, u.Last = time, time, value
		u.Min, u.Max, u.Sum = value, value, value
		return
	}
	u.N++
	u.FirstTime = min(u.FirstTime, time)
	if time >= u.LastTime {
		u.LastTime, u.Last = time, value
	}
	u.Min = min(u.Min, value)
	u.Max = max(u.Max, value)
	u.Sum += value
}
