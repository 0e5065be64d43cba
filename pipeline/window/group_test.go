package window

import (
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// partialOf summarises readings in a pane that begins at start.
func partialOf(w *Window, start int64, rs ...[]reading) *Partial {
	p := new(Partial)
	p.clear(w, start)
	for _, r := range slices.Concat(rs...) {
		p.add(r.t, r.v)
	}
	return p
}

func (p *Partial) with(o *Partial) *Partial {
	out := new(Partial)
	out.assign(p)
	out.Merge(o)
	return out
}

// alike compares exactly but for rounding in sums.
func alike(a, b *Partial) bool {
	return a.Start == b.Start && a.N == b.N && near(a.Sum, b.Sum) && near(a.Mean, b.Mean) && near(a.M2, b.M2) && a.Min == b.Min && a.Max == b.Max &&
		a.FirstTime == b.FirstTime && a.LastTime == b.LastTime && a.First == b.First && a.Last == b.Last && slices.Equal(a.sketch.bins, b.sketch.bins)
}

func TestMergingPartialsIsAssociativeAndCommutative(t *testing.T) {
	w := compile(t, Spec{Size: time.Second, Functions: []string{"p50"}})
	rapid.Check(t, func(t *rapid.T) {
		draw := func(label string) *Partial {
			one := rapid.Custom(func(t *rapid.T) reading {
				return reading{rapid.Int64Range(0, 5).Draw(t, "t"), rapid.Float64Range(-100, 100).Draw(t, "v")}
			})
			return partialOf(w, 0, rapid.SliceOfN(one, 0, 20).Draw(t, label))
		}
		a, b, c := draw("a"), draw("b"), draw("c")
		want := a.with(b).with(c)
		for name, got := range map[string]*Partial{"a+(b+c)": a.with(b.with(c)), "c+b+a": c.with(b).with(a), "b+(a+c)": b.with(a.with(c))} {
			if !alike(got, want) {
				t.Fatalf("%s: %+v, want %+v", name, got, want)
			}
		}
	})
}

func TestSavedPartialIsTheSame(t *testing.T) {
	w := compile(t, Spec{Size: time.Second, Functions: []string{"p50"}})
	rapid.Check(t, func(t *rapid.T) {
		start := rapid.Int64Range(-10, 1e6).Draw(t, "start") * 1_000_000
		p := partialOf(w, start)
		for _, v := range rapid.SliceOfN(rapid.Float64(), 1, 20).Draw(t, "values") {
			p.add(start+rapid.Int64Range(0, 999_999).Draw(t, "t"), v)
		}
		b := p.MarshalAppend(nil, w)
		var q Partial
		if err := q.Unmarshal(b, w); err != nil {
			t.Fatal(err)
		}
		if string(q.MarshalAppend(nil, w)) != string(b) || q.N != p.N || q.Start != p.Start || q.Last != p.Last || !slices.Equal(q.sketch.bins, p.sketch.bins) {
			t.Fatalf("%+v, want %+v", q, p)
		}
	})
}

// Readings of many members, collected in several places and sent on in any order, give the windows of all
// readings.
func TestGroupOfMembersInSeveralPlacesHasTheWindowsOfAllReadings(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spec := drawSpec(t)
		if spec.Kind == Session {
			spec.Kind, spec.Size, spec.Gap = Tumbling, spec.Gap, 0
		}
		spec.Functions = []string{"count", "sum", "mean", "min", "max", "range", "stddev", "p50", "p90"}
		w, err := spec.Compile()
		if err != nil {
			t.Fatal(err)
		}
		rs := drawReadings(t, w.pane, w.grace)
		var group Group
		var got []Result
		watermark := int64(-timeLimit)
		places := make([]Collector, rapid.IntRange(1, 4).Draw(t, "places"))
		send := func() {
			var sent []*Partial
			for i := range places {
				places[i].Drain(func(p *Partial) {
					sent = append(sent, new(Partial))
					if err := sent[len(sent)-1].Unmarshal(p.MarshalAppend(nil, w), w); err != nil {
						t.Fatal(err)
					}
				})
			}
			slices.SortStableFunc(sent, func(a, b *Partial) int { return int(a.Start - b.Start) })
			for _, p := range sent {
				got = append(got, plainResults(group.CloseUntil(w, p.Start-w.grace, nil))...)
				if !group.Merge(w, p) {
					t.Fatalf("not taken: %+v", p)
				}
			}
			got = append(got, plainResults(group.CloseUntil(w, watermark-w.grace, nil))...)
			state := group.MarshalAppend(nil, w)
			group = Group{}
			if err := group.Unmarshal(state, w); err != nil {
				t.Fatal(err)
			}
		}
		for _, r := range rs {
			if rapid.IntRange(0, 9).Draw(t, "send") == 0 {
				send()
			}
			watermark = max(watermark, r.t)
			if place := &places[rapid.IntRange(0, len(places)-1).Draw(t, "place")]; !place.Add(w, r.t, r.v) {
				send()
				place.Add(w, r.t, r.v)
			}
		}
		send()
		got = append(got, plainResults(group.CloseUntil(w, math.MaxInt64, nil))...)
		if diff := differ(w, got, reference(w, spec, rs)); diff != "" {
			t.Fatal(diff)
		}
		if group.Missed() != 0 || group.Due(w) != math.MaxInt64 {
			t.Fatalf("missed %d", group.Missed())
		}
	})
}

func TestAMemberWhoseClockRunsAheadDoesNotCloseTheWindowsOfTheOthers(t *testing.T) {
	w := compile(t, Spec{Size: time.Second, Functions: []string{"count"}})
	var g Group
	for i := range int64(100) {
		g.Merge(w, partialOf(w, (1000+i)*1_000_000, []reading{{(1000 + i) * 1_000_000, 1}}))
	}
	if !g.Merge(w, partialOf(w, 5_000_000, []reading{{5_500_000, 1}, {5_600_000, 2}})) {
		t.Fatal("no room for the time that all others are in")
	}
	if got := g.CloseUntil(w, 6_000_000, nil); len(got) != 1 || got[0].N != 2 {
		t.Errorf("%v", got)
	}
	if want := uint64(100 - w.maxPanes + 1); g.Missed() != want {
		t.Errorf("missed %d, want %d", g.Missed(), want)
	}
	if g.Merge(w, partialOf(w, 5_000_000, []reading{{5_500_000, 1}})) {
		t.Error("a partial of a closed window was taken")
	}
}

func FuzzPartialUnmarshal(f *testing.F) {
	w := compile(f, Spec{Size: time.Second, Functions: []string{"p50"}})
	f.Add(partialOf(w, 0, []reading{{1, 2}}).MarshalAppend(nil, w))
	f.Add(partialOf(w, 3_000_000, []reading{{3_000_001, 2}, {3_000_007, -5}, {3_000_009, 1e9}}).MarshalAppend(nil, w))
	f.Fuzz(func(t *testing.T, b []byte) {
		var p Partial
		if p.Unmarshal(b, w) != nil {
			return
		}
		var g Group
		if !g.Merge(w, &p) {
			t.Fatalf("not taken: %+v", p)
		}
		g.Merge(w, partialOf(w, p.Start, []reading{{p.Start, 1}}))
		if got := g.CloseUntil(w, math.MaxInt64, nil); len(got) != 1 {
			t.Fatalf("%v", got)
		}
	})
}
