package window

import (
	"bytes"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
	"pgregory.net/rapid"
)

func averageSpec(s AverageSpec) *AverageSpec {
	s = s.WithDefaults()
	return &s
}

func TestExponentialAverageOfAStepDependsOnTimeNotOnRate(t *testing.T) {
	spec := averageSpec(AverageSpec{Kind: Exponential, Tau: 10 * time.Second})
	rapid.Check(t, func(t *rapid.T) {
		var a Average
		a.Add(0, 0, spec)
		at := int64(0)
		for range rapid.IntRange(1, 50).Draw(t, "readings") {
			at += rapid.Int64Range(1, 5_000_000).Draw(t, "gap")
			got := a.Add(at, 1, spec)
			if want := 1 - math.Exp(-float64(at)/10e6); !near(got, want) {
				t.Fatalf("%d µs after a step from 0 to 1: %v, want %v", at, got, want)
			}
		}
		if late := a.Add(at-1, 1e9, spec); late != a.Value(spec) || late > 1 {
			t.Fatalf("after a late reading: %v", late)
		}
	})
}

func TestExponentialAverageStaysFinite(t *testing.T) {
	spec := averageSpec(AverageSpec{Kind: Exponential})
	var a Average
	for i := range int64(1000) {
		v := math.MaxFloat64
		if i%2 == 0 {
			v = -v
		}
		if got := a.Add(i*30e6, v, spec); math.IsNaN(got) || math.IsInf(got, 0) {
			t.Fatalf("reading %d: %v", i, got)
		}
	}
}

// naiveMedian is that of the newest readings in order of time, and of arrival among equals.
func naiveMedian(rs []reading, limit int, window int64) float64 {
	rs = slices.Clone(rs)
	slices.SortStableFunc(rs, func(a, b reading) int { return int(a.t - b.t) })
	newest := rs[len(rs)-1].t
	rs = rs[max(0, len(rs)-limit):]
	var vs []float64
	for _, r := range rs {
		if window == 0 || r.t > newest-window {
			vs = append(vs, r.v)
		}
	}
	slices.Sort(vs)
	n := len(vs)
	return vs[(n-1)/2]/2 + vs[n/2]/2
}

func TestMedianIsThatOfTheNewestReadings(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spec := averageSpec(AverageSpec{Kind: Median,
			Samples: rapid.IntRange(1, MaxMedianSamples).Draw(t, "samples"),
			Window:  time.Duration(rapid.IntRange(0, 30).Draw(t, "window_ms")) * time.Millisecond,
		})
		var a Average
		var rs []reading
		at := int64(0)
		for i := range rapid.IntRange(1, 250).Draw(t, "readings") {
			at += rapid.Int64Range(0, 1000).Draw(t, "gap")
			r := reading{at - rapid.Int64Range(0, 3000).Draw(t, "delay"), rapid.OneOf(rapid.Float64Range(-5, 5), rapid.SampledFrom([]float64{0, 1})).Draw(t, "v")}
			rs = append(rs, r)
			got := a.Add(r.t, r.v, spec)
			if want := naiveMedian(rs, spec.Samples, spec.Window.Microseconds()); !near(got, want) {
				t.Fatalf("after %d readings: %v, want %v", i+1, got, want)
			}
		}
		if c := cap(a.other.median.samples); c > 2*MaxMedianSamples {
			t.Fatalf("memory for %d readings", c)
		}
	})
}

func drawAverageSpec(t *rapid.T) *AverageSpec {
	return averageSpec(rapid.SampledFrom([]AverageSpec{
		{Window: 20 * time.Millisecond}, {Kind: Exponential, Tau: 5 * time.Millisecond},
		{Kind: Median}, {Kind: Median, Samples: 100}, {Kind: Median, Window: 10 * time.Millisecond},
	}).Draw(t, "spec"))
}

func TestRestoredAverageAnswersAsTheOriginal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spec := drawAverageSpec(t)
		var whole, saved Average
		at := int64(0)
		for i := range 150 {
			if rapid.IntRange(0, 4).Draw(t, "save") == 0 {
				b := saved.MarshalAppend([]byte("prefix"), spec)[len("prefix"):]
				saved = Average{}
				if err := saved.Unmarshal(b, spec); err != nil {
					t.Fatal(err)
				}
				if again := saved.MarshalAppend(nil, spec); !bytes.Equal(again, b) {
					t.Fatalf("saved again: %x, want %x", again, b)
				}
			}
			at += rapid.Int64Range(-2000, 4000).Draw(t, "gap")
			v := rapid.Float64().Draw(t, "v")
			a, b := whole.Add(at, v, spec), saved.Add(at, v, spec)
			if math.Float64bits(a) != math.Float64bits(b) {
				t.Fatalf("reading %d: %v restored, %v whole", i, b, a)
			}
		}
	})
}

func TestAverageOfAnotherSpecBeginsAnew(t *testing.T) {
	specs := []*AverageSpec{
		averageSpec(AverageSpec{}), averageSpec(AverageSpec{Window: time.Second}),
		averageSpec(AverageSpec{Kind: Exponential}), averageSpec(AverageSpec{Kind: Exponential, Tau: time.Second}),
		averageSpec(AverageSpec{Kind: Median}), averageSpec(AverageSpec{Kind: Median, Samples: 7}),
	}
	for i, from := range specs {
		var a Average
		for k := range int64(5) {
			a.Add(k, 1, from)
		}
		state := a.MarshalAppend(nil, from)
		for k, to := range specs {
			var b Average
			b.Add(1, 5, to)
			if err := b.Unmarshal(state, to); (err == nil) != (i == k) {
				t.Errorf("%+v read as %+v: %v", *from, *to, err)
			} else if want := map[bool]float64{true: 1, false: 5}[i == k]; b.Value(to) != want {
				t.Errorf("%+v read as %+v: %v, want %v", *from, *to, b.Value(to), want)
			}
			for n := range state {
				if err := b.Unmarshal(state[:n], to); err == nil && from.Kind == Simple {
					t.Errorf("%+v: the first %d of %d bytes were taken", *from, n, len(state))
				}
			}
		}
		other := specs[(i+2)%len(specs)]
		if got := a.Add(10, 5, other); got != 5 {
			t.Errorf("%+v goes on as %+v with %v", *from, *other, got)
		}
	}
}

func TestAveragesIgnoreValuesThatAreNotFinite(t *testing.T) {
	for _, spec := range []*AverageSpec{averageSpec(AverageSpec{}), averageSpec(AverageSpec{Kind: Exponential}), averageSpec(AverageSpec{Kind: Median})} {
		var a Average
		if got := a.Add(1, math.NaN(), spec); !math.IsNaN(got) {
			t.Errorf("%v of nothing: %v", spec.Kind, got)
		}
		a.Add(2, 4, spec)
		if got := a.Add(3, math.Inf(1), spec); got != 4 {
			t.Errorf("%v: %v, want 4", spec.Kind, got)
		}
	}
}

func TestAverageSpecsAreReadFromYAMLAndNameTheFieldThatIsWrong(t *testing.T) {
	for text, field := range map[string]string{
		"{}":                                 "",
		"{kind: simple, window: 5m}":         "",
		"{kind: exponential, tau: 10s}":      "",
		"{kind: median, samples: 7}":         "",
		"{kind: median, window: 1m}":         "",
		"{window: 25h}":                      "window",
		"{tau: 1s}":                          "tau",
		"{samples: 3}":                       "samples",
		"{kind: exponential, window: 1m}":    "window",
		"{kind: exponential, tau: 1us}":      "tau",
		"{kind: median, samples: 102}":       "samples",
		"{kind: median, samples: -1}":        "samples",
		"{kind: exponential, samples: 5}":    "samples",
		"{kind: median, tau: 5s}":            "tau",
		"{kind: median, window: 1ns}":        "window",
		"{kind: exponential, tau: 25h}":      "tau",
		"{kind: simple, window: 1h, tau: 1}": "yaml",
	} {
		var s AverageSpec
		err := yaml.Unmarshal([]byte(text), &s)
		if err == nil {
			err = s.Validate()
		}
		if (err == nil) != (field == "") || err != nil && !strings.HasPrefix(err.Error(), field+":") {
			t.Errorf("%s: %v, want %q", text, err, field)
		}
		if err == nil {
			if err := s.WithDefaults().Validate(); err != nil {
				t.Errorf("%s with defaults: %v", text, err)
			}
		}
	}
}

func FuzzAverageUnmarshal(f *testing.F) {
	specs := []*AverageSpec{averageSpec(AverageSpec{}), averageSpec(AverageSpec{Kind: Exponential}), averageSpec(AverageSpec{Kind: Median, Window: time.Minute})}
	for k, spec := range specs {
		var a Average
		for i := range int64(100) {
			a.Add(i*1_000_000, float64(i%7), spec)
			if i%30 == 0 {
				f.Add(byte(k), a.MarshalAppend(nil, spec))
			}
		}
	}
	f.Fuzz(func(t *testing.T, k byte, b []byte) {
		spec := specs[int(k)%len(specs)]
		var a, again Average
		if a.Unmarshal(b, spec) != nil {
			return
		}
		if err := again.Unmarshal(a.MarshalAppend(nil, spec), spec); err != nil {
			t.Fatalf("own state refused: %v", err)
		}
		for i := range int64(200) {
			a.Add(i*1_000_000, 1, spec)
		}
	})
}
