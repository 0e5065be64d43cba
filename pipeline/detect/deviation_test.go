package detect

import (
	"math"
	"math/rand/v2"
	"reflect"
	"testing"
	"unsafe"

	"pgregory.net/rapid"

	"weir/telemetry"
)

const second = int64(1_000_000)

// noisy is a series of unit normal noise around 100, one reading a second.
func noisy(n int) []float64 {
	r := rand.New(rand.NewPCG(7, 7))
	values := make([]float64, n)
	for i := range values {
		values[i] = 100 + r.NormFloat64()
	}
	return values
}

func run(d *Deviation, values []float64) []Verdict {
	out := make([]Verdict, len(values))
	for i, v := range values {
		out[i] = d.Observe(int64(i)*second, v)
	}
	return out
}

func TestDeviationWarmsUpBeforeItJudges(t *testing.T) {
	var d Deviation
	for i, v := range run(&d, noisy(31)) {
		if want := i < 30; (v.State == telemetry.Warming) != want || math.IsNaN(v.Lo) != want {
			t.Errorf("reading %d: %+v", i+1, v)
		}
	}
}

func TestNoiseRaisesNoAlert(t *testing.T) {
	var d Deviation
	for i, v := range run(&d, noisy(100_000)) {
		if v.Onset {
			t.Fatalf("reading %d: alert with score %v", i, v.Score)
		}
	}
}

func TestSpikeRaisesOneAlertWhichClearsAfterQuietTime(t *testing.T) {
	values := noisy(400)
	values[200] = 160
	var d Deviation
	onset, clear := -1, -1
	for i, v := range run(&d, values) {
		if v.Onset {
			if onset >= 0 {
				t.Errorf("second alert at %d", i)
			}
			onset = i
		}
		if v.Clear {
			clear = i
		}
		if want := onset >= 0 && clear < 0; (v.State == telemetry.Alerting) != want {
			t.Errorf("reading %d: state %v, want alert %v", i, v.State, want)
		}
	}
	if onset != 200 || clear != 200+holdReadings {
		t.Errorf("raised at %d and cleared at %d, want 200 and %d", onset, clear, 200+holdReadings)
	}
}

func TestFastSeriesHoldsItsAlertForTenSeconds(t *testing.T) {
	var d Deviation
	values := noisy(5000)
	values[200] = 160
	raised := int64(0)
	for i, v := range values {
		at := int64(i) * second / 100
		verdict := d.Observe(at, v)
		if verdict.Onset {
			raised = at
		}
		if verdict.Clear {
			if held := at - raised; held != 10*second {
				t.Errorf("held for %d µs, want 10 s", held)
			}
			return
		}
	}
	t.Fatal("never cleared")
}

func TestFlappingFaultIsOneAlert(t *testing.T) {
	values := noisy(600)
	for i := 200; i < 320; i += 15 {
		values[i] = 300
	}
	var d Deviation
	onsets := 0
	for _, v := range run(&d, values) {
		if v.Onset {
			onsets++
		}
	}
	if onsets != 1 {
		t.Errorf("%d alerts, want 1", onsets)
	}
}

func TestBandIsTheAlertBorder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var d Deviation
		step := rapid.OneOf(rapid.Float64Range(-100, 100), rapid.Float64Range(99, 101), rapid.Just(100.0))
		for i := range 200 {
			x := step.Draw(t, "x")
			v := d.Observe(int64(i)*second, x)
			if v.State == telemetry.Warming {
				continue
			}
			inside := x > v.Lo*(1+1e-12) && x < v.Hi*(1-1e-12)
			if inside && v.Score >= AlertScore+1e-9 {
				t.Fatalf("%v is inside of [%v, %v] and scores %v", x, v.Lo, v.Hi, v.Score)
			}
			if outside := x < v.Lo || x > v.Hi; outside && v.Score < AlertScore-1e-9 {
				t.Fatalf("%v is outside of [%v, %v] and scores %v", x, v.Lo, v.Hi, v.Score)
			}
		}
	})
}

func TestScoreStaysInRangeForAnyFiniteValues(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var d Deviation
		value := rapid.OneOf(rapid.Float64(), rapid.Just(0.0), rapid.Just(math.MaxFloat64), rapid.Just(-math.MaxFloat64))
		for range rapid.IntRange(1, 120).Draw(t, "n") {
			v := d.Observe(rapid.Int64().Draw(t, "t"), value.Draw(t, "v"))
			if !(v.Score >= 0 && v.Score < 1) {
				t.Fatalf("score %v", v.Score)
			}
			if v.State != telemetry.Warming && !(v.Lo <= v.Hi) {
				t.Fatalf("band [%v, %v]", v.Lo, v.Hi)
			}
			if !d.possible() {
				t.Fatalf("state that Unmarshal would refuse: %+v", d)
			}
		}
	})
}

func TestConstantSeries(t *testing.T) {
	constant := func(c float64, n int) []float64 {
		values := make([]float64, n)
		for i := range values {
			values[i] = c
		}
		return values
	}
	t.Run("scores zero while constant", func(t *testing.T) {
		for _, c := range []float64{0, 21.5, -3} {
			var d Deviation
			for i, v := range run(&d, constant(c, 500)) {
				if v.Score > 1e-9 {
					t.Fatalf("constant %v, reading %d: score %v", c, i, v.Score)
				}
			}
		}
	})
	t.Run("small change is no alert, large change is", func(t *testing.T) {
		var d Deviation
		run(&d, constant(100, 500))
		if v := d.Observe(500*second, 105); v.Onset {
			t.Errorf("change by 5 %% scores %v", v.Score)
		}
		if v := d.Observe(501*second, 130); !v.Onset {
			t.Errorf("change by 30 %% scores %v", v.Score)
		}
	})
	t.Run("first change of a series of zeros is an alert, and becomes normal", func(t *testing.T) {
		var d Deviation
		run(&d, constant(0, 500))
		if v := d.Observe(500*second, 1e-9); !v.Onset {
			t.Errorf("score %v", v.Score)
		}
		last := run(&d, constant(1, 1000))[999]
		if last.State != telemetry.OK {
			t.Errorf("after a thousand readings of the new value: %+v", last)
		}
	})
}

func TestStepBecomesNormal(t *testing.T) {
	values := noisy(1500)
	for i := 500; i < len(values); i++ {
		values[i] += 400
	}
	var d Deviation
	verdicts := run(&d, values)
	if !verdicts[500].Onset {
		t.Errorf("step scores %v", verdicts[500].Score)
	}
	if last := verdicts[len(verdicts)-1]; last.State != telemetry.OK {
		t.Errorf("after a thousand readings: %+v", last)
	}
}

func TestValuesThatAreNotFiniteChangeNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var clean, dirty Deviation
		junk := rapid.SampledFrom([]float64{math.NaN(), math.Inf(1), math.Inf(-1)})
		for i, x := range rapid.SliceOfN(rapid.Float64Range(-10, 10), 0, 100).Draw(t, "values") {
			if rapid.Bool().Draw(t, "interrupt") {
				before := dirty
				if v := dirty.Observe(int64(i), junk.Draw(t, "junk")); v.Onset || v.Clear || v.Score != 0 {
					t.Fatalf("verdict %+v", v)
				}
				if dirty != before {
					t.Fatal("state changed")
				}
			}
			a, b := clean.Observe(int64(i), x), dirty.Observe(int64(i), x)
			if !same(a, b) {
				t.Fatalf("%+v with junk between, %+v without", b, a)
			}
		}
	})
}

func same(a, b Verdict) bool {
	eq := func(x, y float64) bool { return math.Float64bits(x) == math.Float64bits(y) }
	return eq(a.Score, b.Score) && eq(a.Lo, b.Lo) && eq(a.Hi, b.Hi) &&
		a.State == b.State && a.Onset == b.Onset && a.Clear == b.Clear
}

func TestDeviationIsSmallAndHoldsNoPointers(t *testing.T) {
	if size := unsafe.Sizeof(Deviation{}); size > 48 {
		t.Errorf("%d bytes, want at most 48", size)
	}
	for _, typ := range []reflect.Type{reflect.TypeFor[Deviation](), reflect.TypeFor[hold]()} {
		for i := range typ.NumField() {
			switch k := typ.Field(i).Type.Kind(); k {
			case reflect.Pointer, reflect.Slice, reflect.Map, reflect.String, reflect.Interface, reflect.Func:
				t.Errorf("%v.%s is a %v", typ, typ.Field(i).Name, k)
			}
		}
	}
}

func BenchmarkObserve(b *testing.B) {
	values := noisy(1024)
	var d Deviation
	b.ReportAllocs()
	for i := range b.N {
		d.Observe(int64(i), values[i&1023])
	}
}
