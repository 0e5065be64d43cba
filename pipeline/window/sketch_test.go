package window

import (
	"math"
	"slices"
	"testing"

	"github.com/DataDog/sketches-go/ddsketch"
	"github.com/DataDog/sketches-go/ddsketch/store"
	"pgregory.net/rapid"
)

// drawValues draws values of any size, or many bins' worth of one range.
func drawValues(t *rapid.T, label string) []float64 {
	one := rapid.OneOf(rapid.Float64(), rapid.Float64Range(20, 21), rapid.Float64Range(-1, 1), rapid.SampledFrom([]float64{0, math.MaxFloat64, -math.MaxFloat64, math.SmallestNonzeroFloat64}))
	vs := rapid.SliceOfN(one, 0, 60).Draw(t, label)
	if rapid.Bool().Draw(t, label+" is wide") {
		sign := rapid.SampledFrom([]float64{-1, 1}).Draw(t, label+" sign")
		for i := range rapid.IntRange(1, 700).Draw(t, label+" bins") {
			vs = append(vs, sign*math.Exp(float64(i)/[]float64{5, 45, 6000}[i%3]))
		}
	}
	return vs
}

func sketchOf(vs ...[]float64) *sketch {
	s := new(sketch)
	for _, v := range slices.Concat(vs...) {
		s.add(v)
	}
	return s
}

func (s *sketch) plus(o *sketch) *sketch {
	out := &sketch{bins: slices.Clone(s.bins), level: s.level}
	out.merge(o)
	return out
}

func TestSketchAnswersAsTheLibraryDoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		library := ddsketch.NewDDSketch(logIndex, store.NewSparseStore(), store.NewSparseStore())
		vs := rapid.SliceOfN(rapid.OneOf(rapid.Float64Range(-1e300, 1e300), rapid.Float64Range(-1, 1)), 1, 200).Draw(t, "values")
		for _, v := range vs {
			if err := library.Add(v); err != nil {
				t.Fatal(err)
			}
		}
		rank := rapid.IntRange(0, len(vs)-1).Draw(t, "rank")
		q := float64(rank) / float64(max(len(vs)-1, 1))
		if q*float64(len(vs)-1) != float64(rank) {
			t.Skip("between two readings, where the library takes the one nearer to zero")
		}
		want, err := library.GetValueAtQuantile(q)
		if got := sketchOf(vs).quantile(q, uint64(len(vs))); err != nil || got != want {
			t.Fatalf("quantile %v: %v, want %v (%v)", q, got, want, err)
		}
	})
}

func TestSketchesAreAFunctionOfTheirReadings(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x, y, z := drawValues(t, "x"), drawValues(t, "y"), drawValues(t, "z")
		a, b, c := sketchOf(x), sketchOf(y), sketchOf(z)
		want := sketchOf(x, y, z)
		all := slices.Concat(z, y, x)
		slices.Reverse(all)
		for name, got := range map[string]*sketch{
			"(a+b)+c": a.plus(b).plus(c), "a+(b+c)": a.plus(b.plus(c)), "c+b+a": c.plus(b).plus(a), "in another order": sketchOf(all),
		} {
			if !slices.Equal(got.bins, want.bins) || got.level != want.level {
				t.Fatalf("%s: %d bins of level %d, want %d of %d", name, len(got.bins), got.level, len(want.bins), want.level)
			}
		}
		if got := want.count(); got != uint64(len(all)) || len(want.bins) > maxBins {
			t.Fatalf("%d readings counted of %d in %d bins", got, len(all), len(want.bins))
		}
	})
}

// worstError is the relative error that a sketch of positive readings promises.
func (s *sketch) worstError() float64 {
	if s.level == 0 {
		return QuantileAccuracy
	}
	ratio := math.Pow((1+QuantileAccuracy)/(1-QuantileAccuracy), float64(uint64(1)<<s.level)) // of the ends of a bin
	return (ratio - 1) / (ratio + 1)
}

func TestQuantilesAreAsNearAsTheReadingsLetThem(t *testing.T) {
	for _, tc := range []struct {
		name     string
		span     float64 // of the readings' logarithms
		accuracy float64
	}{{"a steady sensor", 0.005, 1e-4}, {"a tenth", 0.1, 1.1e-4}, {"threefold", 1, 1.7e-3}, {"1 to 28,000", 10.2, 1.3e-2}, {"all there are", 600, 0.7}} {
		var vs []float64
		for i := range 100_000 {
			vs = append(vs, 400*math.Exp((float64(i)/100_000-0.5)*tc.span))
		}
		s := sketchOf(vs)
		for _, q := range []float64{0.001, 0.05, 0.25, 0.5, 0.75, 0.95, 0.999} {
			got, want := s.quantile(q, uint64(len(vs))), vs[int(q*float64(len(vs)-1))]
			if off := math.Abs(got-want) / want; off > tc.accuracy || off > s.worstError()*1.01 { // the mapping is cubic, not a logarithm
				t.Errorf("%s: quantile %v is off by %.3g: %v, want %v", tc.name, q, off, got, want)
			}
		}
	}
}

func TestQuantilesOfASteadySensorDiffer(t *testing.T) {
	s := new(sketch)
	for i := range 1000 {
		s.add(400 + math.Sin(float64(i)))
	}
	p5, p50, p95 := s.quantile(0.05, 1000), s.quantile(0.5, 1000), s.quantile(0.95, 1000)
	if math.Abs(p5-399.01) > 0.05 || math.Abs(p50-400) > 0.05 || math.Abs(p95-400.99) > 0.05 {
		t.Errorf("%v, %v, %v", p5, p50, p95)
	}
}

func TestMemoryOfASketchIsUsedAgainAtTheFinestLevel(t *testing.T) {
	w := &Window{sketched: true}
	wide := Partial{sketch: new(sketch)}
	for i := range 2000 {
		wide.sketch.add(math.Exp(float64(i) / 100))
	}
	var p Partial
	p.assign(&wide)
	if p.sketch.level == 0 || p.sketch.level != wide.sketch.level {
		t.Errorf("level %d, of %d", p.sketch.level, wide.sketch.level)
	}
	p.clear(w, 0)
	if p.sketch.level != 0 || len(p.sketch.bins) != 0 {
		t.Errorf("level %d, %d bins", p.sketch.level, len(p.sketch.bins))
	}
}
