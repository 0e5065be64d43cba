package rule

import (
	"math"
	"testing"
	"time"
	"unsafe"

	"weir/telemetry"
)

const second = int64(1e6)

var nan = math.NaN()

func level(f float64) *float64 { return &f }

// failer is what tests, benchmarks and properties have in common.
type failer interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}

func compile(t failer, s Spec) *Rule {
	t.Helper()
	r, err := s.Compile()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// bed is a watch of one series with what feeds it: reading i is at second i of both times.
type bed struct {
	t       failer
	w       Watch
	s       Subject
	version telemetry.Version
}

func newBed(t failer, specs ...Spec) *bed {
	b := &bed{t: t, s: Subject{Partition: 3, Series: "plant1/press7/temperature", Unit: "°C"}}
	for _, s := range specs {
		b.s.Rules = append(b.s.Rules, compile(t, s))
	}
	return b
}

func (b *bed) observation(at int64, v float64) Observation {
	b.version += 4096
	return Observation{
		Version: b.version, Time: at * second, Ingest: at*second + 5000, Value: v, Avg: v, Lo: nan, Hi: nan, Score: nan, Rate: nan,
	}
}

func (b *bed) read(at int64, v float64) []Transition {
	o := b.observation(at, v)
	return b.w.Observe(&b.s, &o, nil)
}

func (b *bed) tick(at int64) []Transition {
	b.version += 4096
	return b.w.Tick(&b.s, b.version, at*second, nil)
}

func (b *bed) one(got []Transition, phase telemetry.Phase, reason telemetry.Reason) *Transition {
	b.t.Helper()
	if len(got) != 1 || got[0].Phase != phase || got[0].Reason != reason {
		b.t.Fatalf("transitions %+v, want one %s (%s)", got, phase, reason)
	}
	return &got[0]
}

func (b *bed) none(got []Transition) {
	b.t.Helper()
	if len(got) != 0 {
		b.t.Fatalf("transitions %+v, want none", got)
	}
}

func hot() Spec {
	return Spec{Name: "hot", Kind: Threshold, Above: level(85), ClearAbove: level(80), Flapping: Flapping{Off: true}}
}

func TestThresholdRaisesAboveItsLevelAndClearsAtTheOther(t *testing.T) {
	b := newBed(t, hot())
	b.none(b.read(1, 85))
	raised := b.one(b.read(2, 86), telemetry.Firing, telemetry.Raised)
	b.none(b.read(3, 84))
	b.none(b.read(4, 81))
	cleared := b.one(b.read(5, 80), telemetry.Resolved, telemetry.Cleared)
	if raised.ID != cleared.ID || raised.ID != ID(3, "hot", "plant1/press7/temperature", raised.Version) {
		t.Errorf("ids %s and %s", raised.ID, cleared.ID)
	}
	if raised.Limit != 85 || cleared.Limit != 80 {
		t.Errorf("limits %v and %v, want 85 and 80", raised.Limit, cleared.Limit)
	}
	again := b.one(b.read(6, 90), telemetry.Firing, telemetry.Raised)
	if again.ID == raised.ID {
		t.Error("the next alert has the id of the one before")
	}
}

func TestBothLevelsMakeABand(t *testing.T) {
	b := newBed(t, Spec{Name: "band", Kind: Threshold, Above: level(10), Below: level(0), Flapping: Flapping{Off: true}})
	b.one(b.read(1, -1), telemetry.Firing, telemetry.Raised)
	b.none(b.read(2, 11))
	b.one(b.read(3, 5), telemetry.Resolved, telemetry.Cleared)
}

func TestForElapsesBySourceTimeOfReadingsOnly(t *testing.T) {
	s := hot()
	s.For = 2 * time.Minute
	b := newBed(t, s)
	b.none(b.read(0, 90))
	b.none(b.read(60, 90))
	b.none(b.tick(1000)) // a silent sensor raises nothing
	b.none(b.read(119, 90))
	raised := b.one(b.read(120, 91.2), telemetry.Firing, telemetry.Raised)
	want := "plant1/press7/temperature is 91.2 °C, above 85 for 2m"
	if raised.Summary != want {
		t.Errorf("summary %q, want %q", raised.Summary, want)
	}
}

func TestAReadingWithinTheLevelsStartsForAnew(t *testing.T) {
	s := hot()
	s.For = 10 * time.Second
	b := newBed(t, s)
	b.none(b.read(0, 90))
	b.none(b.read(9, 84)) // not above what raises, though above what clears
	b.none(b.read(10, 90))
	b.none(b.read(19, 90))
	b.one(b.read(20, 90), telemetry.Firing, telemetry.Raised)
}

func TestValuesThatAreNotKnownChangeNothing(t *testing.T) {
	s := hot()
	s.Value = Average
	b := newBed(t, s)
	o := b.observation(1, 90)
	o.Avg = nan
	b.none(b.w.Observe(&b.s, &o, nil))
	b.one(b.read(2, 90), telemetry.Firing, telemetry.Raised)
	o = b.observation(3, 0)
	o.Avg = nan
	b.none(b.w.Observe(&b.s, &o, nil))
	b.one(b.read(4, 0), telemetry.Resolved, telemetry.Cleared)
}

func TestKeepFiringForEndsByATick(t *testing.T) {
	s := hot()
	s.KeepFiringFor = time.Minute
	b := newBed(t, s)
	b.one(b.read(1, 90), telemetry.Firing, telemetry.Raised)
	b.none(b.read(2, 70))
	if due := b.w.Due(&b.s); due != 62*second+5000 {
		t.Errorf("due at %d, want %d", due, 62*second+5000)
	}
	b.none(b.read(100, 70)) // processing time advances by ticks only
	b.none(b.read(101, 90)) // and the condition is back
	b.none(b.tick(163))
	b.none(b.read(110, 70))
	b.none(b.tick(170))
	b.one(b.tick(171), telemetry.Resolved, telemetry.Cleared)
	if due := b.w.Due(&b.s); due != math.MaxInt64 {
		t.Errorf("due at %d after the end", due)
	}
}

func TestRateIsTakenFromTheReadingBefore(t *testing.T) {
	b := newBed(t, Spec{Name: "fast", Kind: Rate, Above: level(2), Below: level(-2), Flapping: Flapping{Off: true}})
	b.none(b.read(0, 1000)) // there is none before
	b.none(b.read(10, 1019))
	x := b.one(b.read(20, 1040), telemetry.Firing, telemetry.Raised)
	if want := "plant1/press7/temperature is 1040 °C and changes by 2.1 per second, above 2"; x.Summary != want {
		t.Errorf("summary %q, want %q", x.Summary, want)
	}
	b.none(b.read(20, 0)) // no time has passed: no rate
	b.one(b.read(30, 1), telemetry.Resolved, telemetry.Cleared)
	b.one(b.read(40, -100), telemetry.Firing, telemetry.Raised)
}

func TestAbsenceFiresByATickAndEndsWithTheNextReading(t *testing.T) {
	b := newBed(t, Spec{Name: "gone", Kind: Absence, For: 5 * time.Minute})
	b.w.LateOrInvalid(true)
	b.none(b.tick(1000)) // never seen but late
	b.none(b.read(1000, 21.4))
	if due := b.w.Due(&b.s); due != 1300*second+5000 {
		t.Errorf("due at %d", due)
	}
	b.none(b.tick(1300))
	x := b.one(b.tick(1301), telemetry.Firing, telemetry.Raised)
	if want := "plant1/press7/temperature has sent nothing for 5m1s; the last value was 21.4 °C"; x.Summary != want {
		t.Errorf("summary %q, want %q", x.Summary, want)
	}
	if !b.w.Offline(&b.s) || x.Value != 21.4 || !math.IsNaN(x.Lo) || x.Limit != 300 {
		t.Errorf("offline %v, %+v", b.w.Offline(&b.s), x.Alert)
	}
	b.none(b.tick(1400))
	y := b.one(b.read(1500, 22), telemetry.Resolved, telemetry.Cleared)
	if want := "plant1/press7/temperature sends again after 3m19s: 22 °C (before: has sent nothing for 5m1s; the last value was 21.4 °C)"; y.Summary != want || b.w.Offline(&b.s) {
		t.Errorf("summary %q, want %q", y.Summary, want)
	}
}

func TestASummaryNamesTheBandOnlyOfAValueOutsideIt(t *testing.T) {
	for _, c := range []struct {
		value, score, lo, hi float64
		head, want           string
	}{
		{100, 0.83, 98, 102, "shift", "plant1/press7/temperature is 100 °C: moved to another level, where it stays (shift, score 0.83)"},
		// What never moved has one expected value.
		{12, 1, 20, 20.0000001, "deviation", "plant1/press7/temperature is 12 °C, expected 20: far from its recent mean (deviation, score 1.00)"},
	} {
		spec := Default()
		spec.Flapping.Off = true
		b := newBed(t, *spec)
		o := b.observation(1, c.value)
		o.Onset, o.Head, o.State, o.Score, o.Lo, o.Hi = true, c.head, telemetry.Alerting, c.score, c.lo, c.hi
		x := b.one(b.w.Observe(&b.s, &o, nil), telemetry.Firing, telemetry.Raised)
		if x.Summary != c.want {
			t.Errorf("summary %q, want %q", x.Summary, c.want)
		}
	}
}

func TestAnomalyFollowsTheDetector(t *testing.T) {
	spec := Default()
	spec.Heads, spec.Flapping.Off = []string{"novelty"}, true
	b := newBed(t, *spec)
	see := func(at int64, onset bool, head string, state telemetry.State) []Transition {
		o := b.observation(at, 160)
		o.Onset, o.Head, o.State, o.Score, o.Lo, o.Hi = onset, head, state, 0.83, 98, 102
		return b.w.Observe(&b.s, &o, nil)
	}
	b.none(see(1, false, "novelty", telemetry.Anomalous))
	b.none(see(2, true, "deviation", telemetry.Alerting))
	b.none(see(3, false, "novelty", telemetry.Alerting))
	b.none(see(4, false, "novelty", telemetry.OK))
	x := b.one(see(5, true, "novelty", telemetry.Alerting), telemetry.Firing, telemetry.Raised)
	if want := "plant1/press7/temperature is 160 °C, expected 98 to 102: unlike anything seen before in value, slope or time of day (novelty, score 0.83)"; x.Summary != want || x.Detector != "novelty" {
		t.Errorf("summary %q, want %q; detector %q", x.Summary, want, x.Detector)
	}
	b.none(see(6, false, "deviation", telemetry.Alerting))
	b.one(see(7, false, "", telemetry.Warming), telemetry.Resolved, telemetry.Cleared)
}

func TestMinScoreRaisesWithinTheDetectorsAlert(t *testing.T) {
	spec := Default()
	spec.MinScore = 0.9
	b := newBed(t, *spec)
	for at, score := range []float64{0.6, 0.8} {
		o := b.observation(int64(at), 1)
		o.Onset, o.Score, o.State = at == 0, score, telemetry.Alerting
		b.none(b.w.Observe(&b.s, &o, nil))
	}
	o := b.observation(3, 1)
	o.Score, o.State = 0.9, telemetry.Alerting
	b.one(b.w.Observe(&b.s, &o, nil), telemetry.Firing, telemetry.Raised)
}

func TestExpressionsReadOtherMetricsOfTheDevice(t *testing.T) {
	b := newBed(t, Spec{
		Name: "stuck-valve", Kind: Expr, Raise: `value > 80 && m["valve-2"] == 0`, Clear: "value < 70", Flapping: Flapping{Off: true},
	})
	b.none(b.read(1, 90)) // nothing is known of the valve
	valve := 1.0
	b.s.Others = func(metric string) (float64, bool) { return valve, metric == "valve-2" }
	b.none(b.read(2, 90))
	valve = 0
	x := b.one(b.read(3, 90), telemetry.Firing, telemetry.Raised)
	if want := `plant1/press7/temperature is 90 °C, and value > 80 && m["valve-2"] == 0`; x.Summary != want {
		t.Errorf("summary %q, want %q", x.Summary, want)
	}
	valve = 1
	b.none(b.read(4, 75))
	b.one(b.read(5, 69), telemetry.Resolved, telemetry.Cleared)
	if got := b.s.Rules[0].Metrics(); len(got) != 1 || got[0] != "valve-2" {
		t.Errorf("metrics %q", got)
	}
}

func TestEvidenceTellsSamplesQualityAndLink(t *testing.T) {
	b := newBed(t, hot())
	for at := range int64(20) {
		b.none(b.read(at, float64(at)))
	}
	b.w.LateOrInvalid(true)
	b.w.LateOrInvalid(false)
	b.w.LateOrInvalid(false)
	x := b.one(b.read(50, 90), telemetry.Firing, telemetry.Raised)
	if n := len(x.Samples); n != ringSize || x.Samples[n-1] != (telemetry.Sample{Time: 50 * second, Value: 90}) ||
		x.Samples[0] != (telemetry.Sample{Time: 9 * second, Value: 9}) {
		t.Errorf("samples %v", x.Samples)
	}
	if want := (telemetry.Quality{N: 21, Late: 1, Invalid: 2, Gap: 31 * second}); x.Quality != want {
		t.Errorf("quality %+v, want %+v", x.Quality, want)
	}
	if want := "#/series/plant1/press7/temperature?at=50000000"; x.Link != want {
		t.Errorf("link %q, want %q", x.Link, want)
	}
	y := b.one(b.read(51, 0), telemetry.Resolved, telemetry.Cleared)
	if want := (telemetry.Quality{N: 1, Gap: 31 * second}); y.Quality != want {
		t.Errorf("quality after the alert before %+v, want %+v", y.Quality, want)
	}
	z := b.one(b.read(52, 90), telemetry.Firing, telemetry.Raised)
	if want := (telemetry.Quality{N: 2, Gap: 31 * second}); z.Quality != want {
		t.Errorf("quality of the next alert %+v, want %+v", z.Quality, want)
	}
}

func TestSamplesAreByTimeThoughReadingsCameOtherwise(t *testing.T) {
	b := newBed(t, hot())
	b.read(3, 3)
	b.read(1, 1)
	x := b.one(b.read(2, 90), telemetry.Firing, telemetry.Raised)
	for i, s := range x.Samples {
		if s.Time != int64(i+1)*second {
			t.Fatalf("samples %v", x.Samples)
		}
	}
}

func TestLinkEscapesWhatWouldEndThePath(t *testing.T) {
	if got, want := link("a:b/c?d/100%", 7), "#/series/a:b/c%3Fd/100%25?at=7"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestDefaultStateIsSmall(t *testing.T) {
	if got := unsafe.Sizeof(Watch{}) + unsafe.Sizeof(state{}); got > 400 {
		t.Errorf("%d bytes with one rule, want at most 400", got)
	} else {
		t.Logf("%d bytes: watch %d, state of a rule %d", got, unsafe.Sizeof(Watch{}), unsafe.Sizeof(state{}))
	}
}

func TestObserveDoesNotAllocateWhileNothingMoves(t *testing.T) {
	b := newBed(t, *Default(), hot(), Spec{Name: "x", Kind: Expr, Raise: `value > 80 && other > 1`}, Spec{Name: "gone", Kind: Absence, For: time.Minute})
	b.s.Others = func(string) (float64, bool) { return 1, true }
	b.read(1, 1)
	if n := testing.AllocsPerRun(100, func() {
		b.version++
		o := Observation{Version: b.version, Time: second, Ingest: second, Value: 1, Rate: nan}
		b.w.Observe(&b.s, &o, nil)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func benchmark(b *testing.B, specs ...Spec) {
	x := newBed(b, specs...)
	o := x.observation(1, 20)
	o.Lo, o.Hi = 10, 30
	x.w.Observe(&x.s, &o, nil)
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		o.Version++
		o.Time = int64(i) * second
		o.Ingest = o.Time
		x.w.Observe(&x.s, &o, nil)
	}
}

func BenchmarkObserve(b *testing.B) {
	b.Run("anomaly", func(b *testing.B) { benchmark(b, *Default()) })
	b.Run("anomaly+threshold", func(b *testing.B) { benchmark(b, *Default(), hot()) })
	b.Run("anomaly+expr", func(b *testing.B) {
		benchmark(b, *Default(), Spec{Name: "x", Kind: Expr, Raise: `value > 80 && avg > 70`})
	})
}
