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
			vs = append(vs, sign*math.Exp(float64(i)/45))
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
	out := &sketch{bins: slices.Clone(s.bins)}
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
			if !slices.Equal(got.bins, want.bins) {
				t.Fatalf("%s: %d bins, want %d", name, len(got.bins), len(want.bins))
			}
		}
		if got := want.count(); got != uint64(len(all)) || len(want.bins) > maxBins+1 {
			t.Fatalf("%d readings counted of %d in %d bins", got, len(all), len(want.bins))
		}
	})
}

func TestSketchBeyondItsBoundTellsLargeValuesRight(t *testing.T) {
	var vs []float64
	for i := range 100_000 {
		vs = append(vs, math.Exp(float64(i-50_000)/5_000)*math.Copysign(1, float64(i%2)-0.5))
	}
	s := sketchOf(vs)
	slices.Sort(vs)
	for _, q := range []float64{0.001, 0.1, 0.25, 0.5, 0.75, 0.9, 0.999} {
		got, want := s.quantile(q, uint64(len(vs))), vs[int(q*float64(len(vs)-1))]
		if math.Abs(got-want) > QuantileAccuracy*math.Abs(want)+0.01*vs[len(vs)-1] {
			t.Errorf("quantile %v: %v, want %v", q, got, want)
		}
	}
}
