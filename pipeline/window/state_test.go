package window

import (
	"bytes"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// restore returns what a State is after having been saved.
func restore(t *rapid.T, w *Window, s *State) State {
	b := s.MarshalAppend([]byte("prefix"), w)[len("prefix"):]
	var out State
	if err := out.Unmarshal(b, w); err != nil {
		t.Fatalf("own state refused: %v", err)
	}
	if again := out.MarshalAppend(nil, w); !bytes.Equal(again, b) {
		t.Fatalf("saved again: %x, want %x", again, b)
	}
	return out
}

func TestWindowsOfReadingsOutOfOrderWithinGraceAreThoseOfSortedReadings(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spec := drawSpec(t)
		w, err := spec.Compile()
		if err != nil {
			t.Fatal(err)
		}
		rs := drawReadings(t, w.pane, w.grace)
		var s State
		var got, buf []Result
		watermark := int64(math.MinInt64)
		for _, r := range rs {
			if rapid.IntRange(0, 9).Draw(t, "save") == 0 {
				s = restore(t, w, &s)
			}
			watermark = max(watermark, r.t)
			buf = s.Add(w, r.t, r.v, watermark, buf[:0])
			for _, x := range buf {
				if x.End+w.grace > watermark {
					t.Fatalf("closed at %d: %+v, before its grace was over", watermark, x)
				}
			}
			got = append(got, plainResults(buf)...)
			if due := s.Due(w); due != math.MaxInt64 && due+w.grace <= watermark {
				t.Fatalf("due %d is past at watermark %d", due, watermark)
			}
		}
		got = append(got, plainResults(s.Advance(w, math.MaxInt64, nil))...)
		if diff := differ(w, got, reference(w, spec, rs)); diff != "" {
			t.Fatal(diff)
		}
		if s.Missed() != 0 || len(s.panes) != 0 || s.Due(w) != math.MaxInt64 {
			t.Fatalf("missed %d, %d panes left", s.Missed(), len(s.panes))
		}
	})
}

// Each reading that is too late counts as missed, no window is told of twice, and in all that is told of,
// tumbling windows and sessions lose nothing else.
func TestReadingsTooLateAreMissedAndNothingIsToldTwice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spec := drawSpec(t)
		w, err := spec.Compile()
		if err != nil {
			t.Fatal(err)
		}
		rs := drawReadings(t, w.pane, w.grace+3*w.size)
		var s State
		var got []Result
		watermark := int64(math.MinInt64)
		for _, r := range rs {
			watermark = max(watermark, r.t)
			if rapid.IntRange(0, 9).Draw(t, "silence") == 0 {
				got = append(got, plainResults(s.Close(w, watermark+rapid.Int64Range(0, 2*w.size).Draw(t, "for"), nil))...)
			}
			got = append(got, plainResults(s.Add(w, r.t, r.v, watermark, nil))...)
			if cap(s.panes) > w.maxPanes {
				t.Fatalf("%d panes", cap(s.panes))
			}
		}
		got = append(got, plainResults(s.Close(w, math.MaxInt64, nil))...)
		var told uint64
		for i, r := range got {
			told += r.N
			if r.N == 0 || i > 0 && (r.End <= got[i-1].End || spec.Kind != Hopping && r.Start < got[i-1].End) {
				t.Fatalf("result %d: %+v after %+v", i, r, got[max(i-1, 0)])
			}
		}
		if want := uint64(len(rs)); spec.Kind != Hopping && told+s.Missed() != want {
			t.Fatalf("%d told and %d missed of %d", told, s.Missed(), want)
		}
	})
}

func TestRestoredStateAnswersBitForBit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spec := drawSpec(t)
		if rapid.Bool().Draw(t, "sliding") {
			spec = Spec{Kind: Sliding, Size: 32 * time.Millisecond, Functions: spec.Functions}
		}
		w, err := spec.Compile()
		if err != nil {
			t.Fatal(err)
		}
		var whole, saved State
		watermark := int64(math.MinInt64)
		for _, r := range drawReadings(t, w.pane, w.grace+w.size) {
			saved = restore(t, w, &saved)
			watermark = max(watermark, r.t)
			a, b := whole.Add(w, r.t, r.v, watermark, nil), saved.Add(w, r.t, r.v, watermark, nil)
			same := slices.EqualFunc(a, b, func(x, y Result) bool {
				return x.Start == y.Start && x.End == y.End && x.N == y.N && slices.Equal(x.Values, y.Values)
			})
			if !same || whole.Missed() != saved.Missed() || whole.Due(w) != saved.Due(w) {
				t.Fatalf("restored %v, whole %v", b, a)
			}
		}
	})
}

func TestSlidingWindowsCoverTheirSizeToWithinOnePane(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w, err := (&Spec{Kind: Sliding, Size: 64 * time.Millisecond, Functions: append(slices.Clone(everything), "p50")}).Compile()
		if err != nil {
			t.Fatal(err)
		}
		rs := drawReadings(t, 3*w.pane, 3*w.pane)
		var s State
		newest := int64(math.MinInt64)
		for i, r := range rs {
			out := s.Add(w, r.t, r.v, 0, nil)
			if r.t < newest {
				if len(out) > 0 {
					t.Fatalf("reading %d is late and told of: %v", i, out)
				}
				continue
			}
			newest = r.t
			var in []reading
			for _, x := range rs[:i+1] {
				if floor(x.t, w.pane) > floor(newest, w.pane)-32*w.pane {
					in = append(in, x)
				}
				if inside := x.t > newest-w.size*31/32; inside && in[len(in)-1] != x {
					t.Fatal("the reference leaves out a reading of the last 31/32")
				}
			}
			slices.SortStableFunc(in, func(a, b reading) int { return int(a.t - b.t) })
			want := []Result{{Start: newest - w.size, End: newest, N: uint64(len(in)), Values: summarise(w, in)}}
			if in[0].t <= newest-w.size {
				t.Fatal("the reference takes a reading older than the window")
			}
			if diff := differ(w, out, want); diff != "" {
				t.Fatal(diff)
			}
		}
	})
}

func TestAJumpOfTenYearsCostsNoMoreThanAnyReading(t *testing.T) {
	const tenYears = 10 * 365 * 24 * 3600 * 1_000_000
	for _, spec := range []Spec{
		{Size: time.Millisecond, Functions: everything},
		{Kind: Hopping, Size: 64 * time.Millisecond, Every: time.Millisecond, Functions: everything},
		{Kind: Sliding, Size: time.Millisecond, Functions: everything},
		{Kind: Session, Gap: time.Millisecond, Functions: everything},
	} {
		w := compile(t, spec)
		var s State
		results := 0
		for i := range int64(1000) {
			at := i * tenYears
			if i%2 == 1 {
				at -= 5 * tenYears // too late by far
			}
			results += len(s.Add(w, at, 1, i*tenYears, nil))
		}
		if results > 64*1000 {
			t.Errorf("%v: %d results", spec.Kind, results)
		}
	}
	w := compile(t, Spec{Size: time.Millisecond, Functions: everything})
	var s State
	s.Add(w, 0, 1, 0, nil)
	if got := s.Add(w, tenYears, 1, tenYears, nil); len(got) != 1 || got[0].End != 1000 {
		t.Errorf("after a jump: %v, want the one window that had a reading", got)
	}
	for _, at := range []int64{math.MinInt64, math.MaxInt64} {
		if got := s.Add(w, at, 1, tenYears, nil); len(got) != 0 {
			t.Errorf("impossible time %d: %v", at, got)
		}
	}
	if s.Missed() != 2 {
		t.Errorf("missed %d, want the two impossible times", s.Missed())
	}
}

func TestWindowsOfASilentDeviceAreClosedWithTheGapMarked(t *testing.T) {
	w := compile(t, Spec{Size: time.Second, Functions: []string{"count"}})
	var s State
	s.Add(w, 5_500_000, 1, 5_500_000, nil)
	if due := s.Due(w); due != 6_000_000 {
		t.Fatalf("due %d", due)
	}
	if got := s.Close(w, 5_999_999, nil); len(got) != 0 {
		t.Fatalf("before its end: %v", got)
	}
	got := s.Close(w, 9_000_000, nil)
	if len(got) != 1 || !got[0].Gap || got[0].Start != 5_000_000 || got[0].End != 6_000_000 {
		t.Fatalf("%+v", got)
	}
	s.Add(w, 5_600_000, 1, 5_600_000, nil)
	if s.Missed() != 1 {
		t.Error("a reading of the closed window was taken")
	}
	s.Add(w, 6_100_000, 1, 6_100_000, nil)
	if got := s.Advance(w, 17_000_000, nil); len(got) != 1 || got[0].Gap {
		t.Errorf("the window after the gap, empty when that was closed: %v", got)
	}
}

func TestAReadingBehindTheGraceIsMissedAlthoughItsWindowWasEmpty(t *testing.T) {
	for _, spec := range []Spec{
		{Size: time.Second, Functions: everything},
		{Kind: Hopping, Size: 2 * time.Second, Every: time.Second, Functions: everything},
		{Kind: Session, Gap: time.Second, Functions: everything},
	} {
		w := compile(t, spec)
		var s State
		s.Add(w, 60_000_000, 1, 60_000_000, nil)
		if out := s.Add(w, 30_000_000, 1, 60_000_000, nil); len(out) != 0 || s.Missed() != 1 || len(s.panes) != 1 {
			t.Errorf("%v: %v, %d missed, %d panes", spec.Kind, out, s.Missed(), len(s.panes))
		}
	}
}

func TestReadingsExactlyAGapApartAreTwoSessions(t *testing.T) {
	w := compile(t, Spec{Kind: Session, Gap: time.Second, Functions: []string{"count"}})
	var s State
	for _, at := range []int64{0, 999_999, 1_999_999, 2_500_000} {
		s.Add(w, at, 1, at, nil)
	}
	got := s.Advance(w, math.MaxInt64, nil)
	if len(got) != 2 || got[0].End != 1_999_999 || got[1].Start != 1_999_999 || got[1].End != 3_500_000 {
		t.Errorf("%v", got)
	}
	s.Add(w, 10_000_000, 1, 10_000_000, nil)
	s.Add(w, 9_000_000, 1, 10_000_000, nil)
	if got := s.Advance(w, math.MaxInt64, nil); len(got) != 2 {
		t.Errorf("the later one first: %v", got)
	}
}

func TestReadingsFarAheadOfTheWatermarkCloseTheOldestWindow(t *testing.T) {
	for _, spec := range []Spec{
		{Size: time.Second, Functions: everything},
		{Kind: Hopping, Size: 4 * time.Second, Every: time.Second, Functions: everything},
		{Kind: Session, Gap: time.Second, Functions: everything},
	} {
		w := compile(t, spec)
		var s State
		results := 0
		for i := range int64(1000) {
			results += len(s.Add(w, i*2_000_000, 1, 0, nil))
			if len(s.panes) > w.maxPanes {
				t.Fatalf("%v: %d panes", spec.Kind, len(s.panes))
			}
		}
		if results < 900 || s.Missed() != 0 {
			t.Errorf("%v: %d results, %d missed", spec.Kind, results, s.Missed())
		}
		s.Add(w, -10_000_000, 1, 0, nil)
		if s.Missed() != 1 {
			t.Errorf("%v: a reading before the oldest pane was not counted", spec.Kind)
		}
	}
}

func TestStddevOfSmallChangesOnALargeValueIsRight(t *testing.T) {
	w := compile(t, Spec{Kind: Hopping, Size: 10 * time.Second, Every: time.Second, Functions: []string{"stddev", "mean"}})
	var s State
	for i := range int64(100_000) {
		for _, r := range s.Add(w, i*1000, 1e9+float64(i%2), i*1000, nil) {
			if math.Abs(r.Values[0]-0.5) > 1e-6 || math.Abs(r.Values[1]-1e9-0.5) > 1e-6 {
				t.Fatalf("%+v", r)
			}
		}
	}
}

func TestAddAllocatesNothingInTheSteadyState(t *testing.T) {
	quantiles := append(slices.Clone(everything), "p50", "p99")
	for _, spec := range []Spec{
		{Size: time.Second, Functions: quantiles},
		{Kind: Hopping, Size: 4 * time.Second, Every: time.Second, Functions: quantiles},
		{Kind: Sliding, Size: time.Second, Functions: quantiles},
		{Kind: Session, Gap: 50 * time.Millisecond, Functions: quantiles},
	} {
		w := compile(t, spec)
		var s State
		var out []Result
		at := int64(0)
		add := func() {
			for i := range int64(100) {
				at += 10_000
				if i == 0 {
					at += 60_000
				}
				out = s.Add(w, at, 20+float64(at/10_000%7), at, out[:0])
			}
		}
		for range 50 {
			add()
		}
		if allocs := testing.AllocsPerRun(50, add); allocs > 0 {
			t.Errorf("%v: %v allocations in 100 readings", spec.Kind, allocs)
		}
	}
}

func TestStateOfAnotherWindowIsRefusedAndLeavesTheStateAlone(t *testing.T) {
	a := compile(t, Spec{Size: time.Second, Functions: everything})
	b := compile(t, Spec{Size: time.Minute, Functions: everything})
	var s State
	for i := range int64(20) {
		s.Add(a, i*300_000, float64(i), i*300_000, nil)
	}
	state := s.MarshalAppend(nil, a)
	if err := s.Unmarshal(s.MarshalAppend(nil, b), a); err == nil {
		t.Error("state of another window was taken")
	}
	for i := range state {
		if err := s.Unmarshal(state[:i], a); err == nil {
			t.Errorf("the first %d of %d bytes were taken", i, len(state))
		}
	}
	if after := s.MarshalAppend(nil, a); !bytes.Equal(after, state) {
		t.Error("state changed")
	}
}

func FuzzStateUnmarshal(f *testing.F) {
	specs := []Spec{
		{Size: time.Second, Functions: append(slices.Clone(everything), "p50")},
		{Kind: Hopping, Size: 4 * time.Second, Every: time.Second, Functions: everything},
		{Kind: Sliding, Size: 2 * time.Second, Functions: append(slices.Clone(everything), "p50")},
		{Kind: Session, Gap: time.Second, Functions: everything},
	}
	var windows []*Window
	for k := range specs {
		w := compile(f, specs[k])
		windows = append(windows, w)
		var s State
		for i := range int64(60) {
			s.Add(w, i*300_000+i%7*1_500_000, float64(i), i*300_000, nil)
			if i%15 == 0 {
				f.Add(byte(k), s.MarshalAppend(nil, w))
			}
		}
	}
	f.Fuzz(func(t *testing.T, k byte, b []byte) {
		w := windows[int(k)%len(windows)]
		var s, again State
		if s.Unmarshal(b, w) != nil {
			return
		}
		if err := again.Unmarshal(s.MarshalAppend(nil, w), w); err != nil {
			t.Fatalf("own state refused: %v", err)
		}
		at := int64(0)
		if n := len(s.panes); n > 0 {
			at = s.panes[n-1].LastTime
		}
		for i := range int64(100) {
			s.Add(w, at+i*100_000, 1, at+i*100_000, nil)
		}
		s.Close(w, math.MaxInt64, nil)
		if cap(s.panes) > mostPanes {
			t.Fatalf("%d panes", cap(s.panes))
		}
	})
}
