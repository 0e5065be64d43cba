package window

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
	"unsafe"

	"pgregory.net/rapid"
)

type sample struct {
	t int64
	v float64
}

// naive averages the samples with t in (newest-window, newest].
func naive(samples []sample, window int64) float64 {
	newest := samples[len(samples)-1].t
	sum, n := 0.0, 0
	for _, s := range samples {
		if s.t > newest-window {
			sum += s.v
			n++
		}
	}
	return sum / float64(n)
}

// bounds are the averages that panes may lead to: every sample of the last 31/32 of the window is in, and
// none older than the window.
func bounds(samples []sample, window int64) (lo, hi float64) {
	newest := samples[len(samples)-1].t
	lo, hi = math.Inf(1), math.Inf(-1)
	var sum float64
	n := 0
	for i := len(samples) - 1; i >= 0 && samples[i].t > newest-window; i-- {
		sum += samples[i].v
		n++
		if i == 0 || samples[i-1].t <= newest-window+window/paneShare {
			lo, hi = min(lo, sum/float64(n)), max(hi, sum/float64(n))
		}
	}
	return lo, hi
}

func near(a, b float64) bool { return math.Abs(a-b) <= 1e-9*(1+math.Abs(a)+math.Abs(b)) }

func TestMeanIsExactForSeriesSlowerThanAPane(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := Config{Window: time.Duration(rapid.Int64Range(1, 100_000).Draw(t, "window_ms")) * time.Millisecond}
		window := cfg.Window.Microseconds()
		width := max(window/paneShare, 1)
		var m Mean
		var samples []sample
		at := rapid.Int64Range(0, 1<<51).Draw(t, "start")
		for range rapid.IntRange(1, 200).Draw(t, "count") {
			at += rapid.Int64Range(width, 3*width).Draw(t, "gap")
			s := sample{at, rapid.Float64Range(-1e6, 1e6).Draw(t, "value")}
			samples = append(samples, s)
			got := m.Add(s.t, s.v, &cfg)
			if want := naive(samples, window); !near(got, want) {
				t.Fatalf("after %d samples: %v, want %v", len(samples), got, want)
			}
		}
	})
}

func TestMeanOfFastSeriesCoversTheWindowToWithinOnePane(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := Config{Window: 32 * time.Millisecond}
		var m Mean
		var samples []sample
		at := int64(0)
		for range rapid.IntRange(1, 400).Draw(t, "count") {
			at += rapid.Int64Range(0, 900).Draw(t, "gap")
			s := sample{at, rapid.Float64Range(-1e6, 1e6).Draw(t, "value")}
			samples = append(samples, s)
			got := m.Add(s.t, s.v, &cfg)
			lo, hi := bounds(samples, cfg.Window.Microseconds())
			if got < lo && !near(got, lo) || got > hi && !near(got, hi) {
				t.Fatalf("after %d samples: %v, want within [%v, %v]", len(samples), got, lo, hi)
			}
		}
	})
}

func TestMeanRecoversOnceAHugeValueHasLeftTheWindow(t *testing.T) {
	cfg := DefaultConfig()
	var m Mean
	for i := range int64(600) {
		v := 20.5
		if i == 100 {
			v = 1e300
		}
		got := m.Add(i*1e6, v, &cfg)
		if (i < 100 || i >= 160) && got != 20.5 {
			t.Fatalf("at %d s: %v, want 20.5", i, got)
		}
	}
}

func TestMeanDoesNotDrift(t *testing.T) {
	cfg := Config{Window: time.Second}
	var m Mean
	r := rand.New(rand.NewPCG(1, 2))
	var got float64
	for i := range int64(1_000_000) {
		got = m.Add(i*1000, 1e9*r.Float64(), &cfg)
	}
	for i := int64(1_000_000); i < 1_002_000; i++ {
		got = m.Add(i*1000, 0.1, &cfg)
	}
	if !near(got, 0.1) || math.Abs(got-0.1) > 1e-15 {
		t.Fatalf("%v, want 0.1", got)
	}
}

func TestMeanPutsOldSamplesWhereTheyBelongOrLeavesThemOut(t *testing.T) {
	cfg := Config{Window: 32 * time.Second} // panes of 1 s
	var m Mean
	m.Add(10_000_000, 1, &cfg)
	m.Add(20_000_000, 3, &cfg)
	if got := m.Add(10_500_000, 5, &cfg); got != 3 {
		t.Errorf("sample inside a present pane: average %v, want 3", got)
	}
	if got := m.Add(15_000_000, 100, &cfg); got != 3 {
		t.Errorf("sample between panes: average %v, want 3 as before", got)
	}
	if got := m.Add(1, 100, &cfg); got != 3 {
		t.Errorf("sample before all panes: average %v, want 3 as before", got)
	}
	if got := m.Add(42_000_000, 7, &cfg); got != 5 {
		t.Errorf("after the first pane left with its late sample: average %v, want 5", got)
	}
}

func TestMeanIgnoresValuesThatAreNotFinite(t *testing.T) {
	cfg := DefaultConfig()
	var m Mean
	if got := m.Add(1, math.NaN(), &cfg); !math.IsNaN(got) {
		t.Fatalf("empty mean: %v, want NaN", got)
	}
	m.Add(2, 4, &cfg)
	for _, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		if got := m.Add(3, v, &cfg); got != 4 {
			t.Errorf("after %v: %v, want 4", v, got)
		}
	}
}

func TestMeanIsNaNWhileItsSumOverflows(t *testing.T) {
	cfg := Config{Window: time.Second}
	var m Mean
	m.Add(0, math.MaxFloat64, &cfg)
	if got := m.Add(1000, math.MaxFloat64, &cfg); !math.IsNaN(got) {
		t.Fatalf("%v, want NaN", got)
	}
	if got := m.Add(5_000_000, 2, &cfg); got != 2 {
		t.Fatalf("%v, want 2", got)
	}
}

func TestMeanStaysSmallWhateverTheTimes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var m Mean
		for range rapid.IntRange(1, 300).Draw(t, "count") {
			cfg := Config{Window: time.Duration(rapid.Int64Range(1e6, 86_400e9).Draw(t, "window"))}
			at := rapid.OneOf(rapid.Int64(), rapid.Int64Range(0, 1e6)).Draw(t, "t")
			m.Add(at, rapid.Float64().Draw(t, "v"), &cfg)
			if cap(m.panes) > maxPanes {
				t.Fatalf("%d panes", cap(m.panes))
			}
		}
	})
}

func TestMeanGivesMemoryBackWhenASeriesSlowsDown(t *testing.T) {
	cfg := Config{Window: 32 * time.Second}
	var m Mean
	at := int64(0)
	for range 1000 {
		at += 500_000
		m.Add(at, 1, &cfg)
	}
	if fast := cap(m.panes); fast != maxPanes {
		t.Errorf("fast series holds %d panes, want %d", fast, maxPanes)
	}
	for range 50 {
		at += 30_000_000
		m.Add(at, 1, &cfg)
	}
	if slow := cap(m.panes); slow != minPanes {
		t.Errorf("slow series holds %d panes, want %d", slow, minPanes)
	}
}

func TestMeanOfALongWindowSurvivesTheEndOfWhatItsStartsCount(t *testing.T) {
	// Starts count 2^32 units: 71 minutes of a one minute window, and 76 hours of one of 24 hours.
	for _, window := range []time.Duration{time.Minute, 24 * time.Hour} {
		cfg := Config{Window: window}
		step := cfg.Window.Microseconds() / 20
		var m Mean
		for i := range int64(4000) {
			got := m.Add(i*step, float64(i), &cfg)
			if want := float64(i) - float64(min(i, 19))/2; got != want {
				t.Fatalf("%v window, reading %d: %v, want %v", window, i, got, want)
			}
		}
		if m.base == 0 {
			t.Errorf("%v window: starts still count from the first reading", window)
		}
	}
}

func TestMeanHoldsAFullWindowIn700Bytes(t *testing.T) {
	if size := unsafe.Sizeof(Mean{}) + maxPanes*unsafe.Sizeof(pane{}); size > 700 {
		t.Errorf("%d bytes", size)
	}
}

func TestConfigRefusesWindowsOutOfRange(t *testing.T) {
	ok := DefaultConfig()
	if err := ok.Validate(); err != nil {
		t.Errorf("default: %v", err)
	}
	for _, w := range []time.Duration{0, -time.Second, time.Microsecond, 25 * time.Hour} {
		c := Config{Window: w}
		if err := c.Validate(); err == nil || err.Error()[:7] != "window:" {
			t.Errorf("%v: error %v, want one that names window", w, err)
		}
	}
}

func benchmarkAdd(b *testing.B, step int64) {
	cfg := DefaultConfig()
	var m Mean
	b.ReportAllocs()
	at := int64(0)
	for i := range b.N {
		at += step
		m.Add(at, float64(i&1023), &cfg)
	}
}

func BenchmarkAddAt1kHz(b *testing.B)           { benchmarkAdd(b, 1000) }
func BenchmarkAddAt1Hz(b *testing.B)            { benchmarkAdd(b, 1_000_000) }
func BenchmarkAddOnePanePerSample(b *testing.B) { benchmarkAdd(b, 1_900_000) }
