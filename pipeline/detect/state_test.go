package detect

import (
	"bytes"
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

// A series with calm, spikes and steps, so that runs pass through every state.
func drawSeries(t *rapid.T) []float64 {
	value := rapid.OneOf(rapid.Float64Range(99, 101), rapid.Float64Range(99, 101), rapid.Float64Range(-1e3, 1e3), rapid.Float64())
	return rapid.SliceOfN(value, 1, 200).Draw(t, "values")
}

func TestVerdictsOnAPrefixAreThoseOnTheWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := drawSeries(t)
		n := rapid.IntRange(0, len(values)).Draw(t, "prefix")
		var whole, prefix Deviation
		all, some := run(&whole, values), run(&prefix, values[:n])
		for i := range some {
			if !same(all[i], some[i]) {
				t.Fatalf("reading %d: %+v on the prefix, %+v on the whole", i, some[i], all[i])
			}
		}
	})
}

func TestRestoredDetectorAnswersAsTheOriginal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := drawSeries(t)
		cut := rapid.IntRange(0, len(values)).Draw(t, "cut")
		var whole, before Deviation
		after := new(Deviation)
		run(&before, values[:cut])
		state := before.MarshalAppend([]byte("prefix"))[len("prefix"):]
		if err := after.Unmarshal(state); err != nil {
			t.Fatal(err)
		}
		if again := after.MarshalAppend(nil); !bytes.Equal(again, state) {
			t.Fatalf("marshalled again: %x, want %x", again, state)
		}
		for i, want := range run(&whole, values) {
			if i < cut {
				continue
			}
			if got := after.Observe(int64(i)*second, values[i]); !same(got, want) {
				t.Fatalf("reading %d: %+v restored, %+v whole", i, got, want)
			}
		}
	})
}

func FuzzUnmarshal(f *testing.F) {
	var d Deviation
	f.Add(d.MarshalAppend(nil))
	run(&d, append(noisy(150), 1e6))
	f.Add(d.MarshalAppend(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		d := Deviation{mean: 1}
		if d.Unmarshal(b) != nil {
			if d != (Deviation{mean: 1}) {
				t.Fatal("changed by bytes it refused")
			}
			return
		}
		if again := d.MarshalAppend(nil); !bytes.Equal(again, b) {
			t.Fatalf("%x marshals to %x", b, again)
		}
		for i, v := range run(&d, noisy(100)) {
			if !(v.Score >= 0 && v.Score < 1) {
				t.Fatalf("reading %d: %+v", i, v)
			}
		}
	})
}

// State made with other parameters is no state of this detector.
func TestLayoutNamesTheParametersItWasMadeWith(t *testing.T) {
	const layoutOf = "1: 0.01 30 0.03 6 10 1e+150 0.5 0.35 20 10s"
	got := fmt.Sprintf("%d: %v %v %v %v %v %v %v %v %v %v", deviationLayout,
		gain, warmup, floor, level, clip, largest, AlertScore, QuietScore, holdReadings, holdTime)
	if got != layoutOf {
		t.Errorf("parameters %s, want %s: raise deviationLayout with every change", got, layoutOf)
	}
}
