package telemetry

import (
	"errors"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// values are finite readings; with exact, whole numbers whose sums are exact in any order.
func values(exact bool) *rapid.Generator[float64] {
	if exact {
		return rapid.Map(rapid.IntRange(-1<<30, 1<<30), func(i int) float64 { return float64(i) })
	}
	return rapid.Float64Range(-1e300, 1e300)
}

// sample is a reading with its version, as the pipeline hands it to the summariser.
type sample struct {
	version Version
	time    int64
	value   float64
}

func samples(t *rapid.T, after Version, exact bool) []sample {
	list := make([]sample, rapid.IntRange(0, 8).Draw(t, "samples"))
	for i := range list {
		after += Version(rapid.IntRange(1, 5).Draw(t, "step"))
		list[i] = sample{
			version: after,
			// Few distinct times, so that ties of the newest are frequent.
			time:  rapid.Int64Range(0, 6).Draw(t, "time"),
			value: values(exact).Draw(t, "value"),
		}
	}
	return list
}

// drawUpdate is an update of any kind that begins at since; its readings are returned too.
func drawUpdate(t *rapid.T, since Version, exact bool) (Update, []sample) {
	u := Update{Series: "plant1/press7/temperature", Since: since, Version: since}
	in := samples(t, since, exact)
	for _, s := range in {
		u.Add(s.version, s.time, s.value)
	}
	u.Version += Version(rapid.IntRange(1, 3).Draw(t, "beyond"))
	u.Late = rapid.Uint64Range(0, 3).Draw(t, "late")
	u.Invalid = rapid.Uint64Range(0, 3).Draw(t, "invalid")
	bound := rapid.OneOf(values(false), rapid.Just(math.NaN()))
	u.Avg, u.Lo, u.Hi = bound.Draw(t, "avg"), bound.Draw(t, "lo"), bound.Draw(t, "hi")
	u.State = State(rapid.IntRange(0, int(Alerting)).Draw(t, "state"))
	u.Worst = max(u.State, State(rapid.IntRange(0, int(Alerting)).Draw(t, "worst")))
	u.Score = rapid.Float64Range(0, 1).Draw(t, "score")
	u.IngestTime = rapid.Int64Range(0, 100).Draw(t, "ingest")
	u.EmitTime = rapid.Int64Range(0, 100).Draw(t, "emit")
	return u, in
}

// same compares two updates bit by bit, sums aside.
func same(a, b Update) bool {
	for _, f := range [][2]*float64{{&a.Avg, &b.Avg}, {&a.Lo, &b.Lo}, {&a.Hi, &b.Hi}} {
		if math.IsNaN(*f[0]) && math.IsNaN(*f[1]) {
			*f[0], *f[1] = 0, 0
		}
	}
	a.Sum, b.Sum = 0, 0
	return a == b
}

func merged(t *rapid.T, us ...Update) Update {
	u := us[0]
	for i := range us[1:] {
		if err := u.Merge(&us[i+1]); err != nil {
			t.Fatalf("merge of adjacent updates: %v", err)
		}
	}
	return u
}

func TestMergeIsAssociativeExactlyInAllButSum(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		exact := rapid.Bool().Draw(t, "exact")
		a, inA := drawUpdate(t, NoVersion, exact)
		b, inB := drawUpdate(t, a.Version, exact)
		c, inC := drawUpdate(t, b.Version, exact)
		left := merged(t, merged(t, a, b), c)
		right := merged(t, a, merged(t, b, c))
		if !same(left, right) {
			t.Fatalf("(a+b)+c = %+v\na+(b+c) = %+v", left, right)
		}
		if exact && left.Sum != right.Sum {
			t.Fatalf("sums that need no rounding differ: %v, %v", left.Sum, right.Sum)
		}
		magnitude := 0.0
		for _, s := range slices.Concat(inA, inB, inC) {
			magnitude += math.Abs(s.value)
		}
		if bound := 2 * float64(left.N) * 0x1p-53 * magnitude; math.Abs(left.Sum-right.Sum) > bound {
			t.Fatalf("sums %v and %v differ by more than %v", left.Sum, right.Sum, bound)
		}
	})
}

func TestMergeKeepsChainCountsAndSpikes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		since := NoVersion
		var us []Update
		var all []sample
		var n, late, invalid uint64
		for range rapid.IntRange(1, 6).Draw(t, "updates") {
			u, in := drawUpdate(t, since, false)
			since = u.Version
			us, all = append(us, u), append(all, in...)
			n, late, invalid = n+u.N, late+u.Late, invalid+u.Invalid
		}
		m := merged(t, us...)
		if m.Since != NoVersion || m.Version != since {
			t.Fatalf("covers (%d, %d], want (%d, %d]", m.Since, m.Version, NoVersion, since)
		}
		if m.N != n || m.N != uint64(len(all)) || m.Late != late || m.Invalid != invalid {
			t.Fatalf("counts %d, %d, %d, want %d, %d, %d", m.N, m.Late, m.Invalid, n, late, invalid)
		}
		if len(all) == 0 {
			return
		}
		by := func(less func(a, b sample) int) sample { return slices.MinFunc(all, less) }
		lowest := by(func(a, b sample) int { return compare(a.value, b.value) })
		highest := by(func(a, b sample) int { return -compare(a.value, b.value) })
		if m.Min != lowest.value || m.Max != highest.value {
			t.Fatalf("min %v, max %v of readings from %v to %v", m.Min, m.Max, lowest.value, highest.value)
		}
		oldest := by(func(a, b sample) int { return compare(a.time, b.time) })
		newest := by(func(a, b sample) int {
			return -max(-1, min(1, 2*compare(a.time, b.time)+compare(a.version, b.version)))
		})
		if m.FirstTime != oldest.time || m.LastTime != newest.time || m.Last != newest.value {
			t.Fatalf("first %d, last %d = %v, want %d, %d = %v",
				m.FirstTime, m.LastTime, m.Last, oldest.time, newest.time, newest.value)
		}
	})
}

func compare[T int64 | float64 | Version](a, b T) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func TestMergeTakesTheNewestConditionAndTheWorst(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, _ := drawUpdate(t, NoVersion, false)
		b, _ := drawUpdate(t, a.Version, false)
		m := merged(t, a, b)
		want := m
		want.Avg, want.Lo, want.Hi, want.State = b.Avg, b.Lo, b.Hi, b.State
		want.Score, want.Worst = max(a.Score, b.Score), max(a.Worst, b.Worst)
		want.IngestTime, want.EmitTime = max(a.IngestTime, b.IngestTime), max(a.EmitTime, b.EmitTime)
		if !same(m, want) {
			t.Fatalf("merged %+v and %+v to %+v", a, b, m)
		}
	})
}

func TestAddEqualsMergeOfUpdatesOfOneReading(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		since := NoVersion
		added := Update{Series: "s/m", Since: since, Version: since}
		merged := added
		for _, s := range samples(t, since, false) {
			added.Add(s.version, s.time, s.value)
			one := Update{
				Series: "s/m", Since: since, Version: s.version, N: 1,
				FirstTime: s.time, LastTime: s.time, Last: s.value, Min: s.value, Max: s.value, Sum: s.value,
			}
			if err := merged.Merge(&one); err != nil {
				t.Fatal(err)
			}
			since = s.version
		}
		if added != merged {
			t.Fatalf("added %+v, merged %+v", added, merged)
		}
	})
}

func TestMergeOfNoReadingsOnlyAdvancesTheVersion(t *testing.T) {
	u := Update{Series: "s/m", Since: NoVersion, Version: NoVersion}
	u.Add(7, 100, 3.5)
	before := u
	if err := u.Merge(&Update{Series: "s/m", Since: 7, Version: 9}); err != nil {
		t.Fatal(err)
	}
	before.Version = 9
	if u != before {
		t.Fatalf("merged to %+v, want %+v", u, before)
	}
}

func TestMergeRefusesWhatIsNotAdjacentAndChangesNothing(t *testing.T) {
	u := Update{Series: "s/m", Since: 1, Version: 5, N: 1, Max: 2}
	before := u
	for name, next := range map[string]Update{
		"another series": {Series: "s/other", Since: 5, Version: 6},
		"a gap":          {Series: "s/m", Since: 6, Version: 7},
		"an overlap":     {Series: "s/m", Since: 4, Version: 7},
		"a replay":       {Series: "s/m", Since: 1, Version: 5},
	} {
		if err := u.Merge(&next); !errors.Is(err, ErrNotAdjacent) {
			t.Errorf("%s: %v", name, err)
		}
		if u != before {
			t.Fatalf("%s changed the update to %+v", name, u)
		}
	}
}

func TestMergeTellsZerosApart(t *testing.T) {
	negative := math.Copysign(0, -1)
	for _, order := range [][]float64{{0, negative}, {negative, 0}} {
		u := Update{Since: NoVersion}
		for i, v := range order {
			u.Add(Version(i), int64(i), v)
		}
		if !math.Signbit(u.Min) || math.Signbit(u.Max) {
			t.Errorf("readings %v: min %v, max %v", order, u.Min, u.Max)
		}
	}
}

func TestFollowRelatesUpdatesToTheLastVersionSeen(t *testing.T) {
	u := Update{Since: 10, Version: 20}
	for seen, want := range map[Version]Relation{
		NoVersion: Gap, 9: Gap, 10: Contiguous, 11: Overlap, 19: Overlap, 20: Replay, 21: Replay,
	} {
		if got := u.Follow(seen); got != want {
			t.Errorf("seen %d: relation %d, want %d", seen, got, want)
		}
	}
	first := Update{Since: NoVersion, Version: 0}
	if got := first.Follow(NoVersion); got != Contiguous {
		t.Errorf("first update: relation %d", got)
	}
}

func TestFollowAcceptsAChainAndRecognisesItsReplay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		since := NoVersion
		var us []Update
		for range rapid.IntRange(1, 6).Draw(t, "updates") {
			u, _ := drawUpdate(t, since, false)
			if got := u.Follow(since); got != Contiguous {
				t.Fatalf("(%d, %d] after %d: relation %d", u.Since, u.Version, since, got)
			}
			since = u.Version
			us = append(us, u)
		}
		i := rapid.IntRange(0, len(us)-1).Draw(t, "i")
		if got := us[i].Follow(since); got != Replay {
			t.Fatalf("replayed (%d, %d] at %d: relation %d", us[i].Since, us[i].Version, since, got)
		}
		if i > 0 {
			if got := us[i].Follow(us[i].Since - 1); got != Gap {
				t.Fatalf("(%d, %d] at %d: relation %d", us[i].Since, us[i].Version, us[i].Since-1, got)
			}
		}
	})
}

func BenchmarkMerge(b *testing.B) {
	one := Update{Series: "plant1/press7/temperature", N: 3, Min: 1, Max: 2, Sum: 4.5, LastTime: 7, Last: 1.5}
	u := one
	for b.Loop() {
		one.Since, one.Version = u.Version, u.Version+1
		if err := u.Merge(&one); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAdd(b *testing.B) {
	var u Update
	for b.Loop() {
		u.Add(u.Version+1, int64(u.Version), 21.5)
	}
}
