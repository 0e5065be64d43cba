package detect

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"
	"unsafe"

	"pgregory.net/rapid"

	"weir/telemetry"
)

func shipped(t testing.TB) *Params {
	t.Helper()
	c := DefaultConfig()
	p, err := c.Compile()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

const minute = 60 * second

func judge(d *Detector, p *Params, values []float64) []Verdict {
	out := make([]Verdict, len(values))
	for i, v := range values {
		out[i] = d.Observe(p, int64(i)*minute, v)
	}
	return out
}

func equal(a, b Verdict) bool {
	eq := func(x, y float64) bool { return math.Float64bits(x) == math.Float64bits(y) }
	return eq(a.Score, b.Score) && eq(a.Lo, b.Lo) && eq(a.Hi, b.Hi) && a.State == b.State && a.Onset == b.Onset &&
		a.Clear == b.Clear && a.Head == b.Head && eq(a.Novelty, b.Novelty) && eq(a.Deviation, b.Deviation)
}

// reading is one of a series with everything that happens to series.
type point struct {
	t int64
	v float64
}

func drawPoints(t *rapid.T) []point {
	r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
	var out []point
	at, base := rapid.Int64Range(-1e15, 4e15).Draw(t, "start"), rapid.SampledFrom([]float64{0, 1, 100, 1e9, -3e-7}).Draw(t, "base")
	for range rapid.IntRange(1, 6).Draw(t, "parts") {
		kind := rapid.SampledFrom([]string{"noise", "constant", "counter", "wave", "step", "wild", "late"}).Draw(t, "kind")
		n := rapid.IntRange(1, 400).Draw(t, "n")
		if kind == "step" {
			base += 10 * (math.Abs(base) + 1)
			continue
		}
		for i := range n {
			at += minute
			v := base
			switch kind {
			case "noise":
				v += r.NormFloat64()
			case "counter":
				base += r.Float64() * 3
			case "wave":
				v += 5 * math.Sin(float64(i)/20)
			case "wild":
				v = []float64{math.MaxFloat64, -math.MaxFloat64, 0, 1e-308, math.NaN(), math.Inf(1), base}[r.IntN(7)]
			case "late":
				at -= minute * int64(r.IntN(4))
			}
			out = append(out, point{at, v})
		}
	}
	return out
}

func TestDetectorRestoredAtAnyReadingAnswersAsTheOriginal(t *testing.T) {
	p := shipped(t)
	rapid.Check(t, func(t *rapid.T) {
		points := drawPoints(t)
		cut := rapid.IntRange(0, len(points)).Draw(t, "cut")
		var whole, restored Detector
		for i, at := range points {
			if i == cut {
				state := whole.MarshalAppend(nil)
				if err := restored.Unmarshal(state); err != nil {
					t.Fatal(err)
				}
				if again := restored.MarshalAppend(nil); !bytes.Equal(again, state) {
					t.Fatal("marshalled again it is different")
				}
				saved := whole
				saved.offset = 0 // a hint, which is not part of the state
				if restored != saved {
					t.Fatalf("restored %+v, saved %+v", restored, saved)
				}
			}
			want := whole.Observe(p, at.t, at.v)
			if i < cut {
				continue
			}
			if got := restored.Observe(p, at.t, at.v); !equal(got, want) {
				t.Fatalf("reading %d: %+v restored, %+v whole", i, got, want)
			}
		}
	})
}

func TestDetectorAnswersStayInRangeForAnyValues(t *testing.T) {
	p := shipped(t)
	rapid.Check(t, func(t *rapid.T) {
		var d Detector
		raised := false
		for i, at := range drawPoints(t) {
			v := d.Observe(p, at.t, at.v)
			if !(v.Score >= 0 && v.Score < 1) || math.IsNaN(v.Novelty) || math.IsNaN(v.Deviation) {
				t.Fatalf("reading %d: %+v", i, v)
			}
			if v.State != telemetry.Warming && !(v.Lo <= v.Hi) {
				t.Fatalf("reading %d: band [%v, %v]", i, v.Lo, v.Hi)
			}
			if v.Onset && (raised || v.Score < AlertScore || v.Head == HeadNone) || v.Clear && !raised {
				t.Fatalf("reading %d: %+v while raised is %v", i, v, raised)
			}
			raised = raised != (v.Onset || v.Clear)
			if !d.possible() {
				t.Fatalf("reading %d: state that Unmarshal would refuse", i)
			}
		}
	})
}

func TestDuplicatesLateReadingsAndJunkChangeNothing(t *testing.T) {
	p := shipped(t)
	var clean, dirty Detector
	r := rand.New(rand.NewPCG(1, 2))
	for i, x := range noisy(3000) {
		at := int64(i) * minute
		a, b := clean.Observe(p, at, x), dirty.Observe(p, at, x)
		if !equal(a, b) {
			t.Fatalf("reading %d: %+v clean, %+v dirty", i, a, b)
		}
		before := dirty
		for _, bad := range []point{{at, x}, {at + second, math.NaN()}, {at + second, math.Inf(-1)}, {at - int64(r.IntN(1e9)) - 1, 1e6}} {
			if v := dirty.Observe(p, bad.t, bad.v); v.Onset || v.Clear || v.Score != 0 {
				t.Fatalf("reading %d, %+v: %+v", i, bad, v)
			}
			dirty.late = before.late
			if dirty != before {
				t.Fatalf("reading %d: %+v changed the state", i, bad)
			}
		}
	}
}

func TestGapRaisesNothingAndClockSetBackIsBelieved(t *testing.T) {
	p := shipped(t)
	var d Detector
	values := noisy(3000)
	onsets := 0
	for i, x := range values {
		at := int64(i) * minute
		switch {
		case i >= 2000:
			at -= 400 * 24 * 3600 * second // set back by more than a year
		case i >= 1000:
			at += 9 * 24 * 3600 * second
		}
		if v := d.Observe(p, at, x); v.Onset && i >= 1000 {
			onsets++
			t.Logf("reading %d: %+v", i, v)
		}
	}
	if onsets > 4 { // the noise itself reaches new places now and then
		t.Errorf("%d alerts", onsets)
	}
	if want := int64(len(values)-1)*minute - 400*24*3600*second; d.time != want {
		t.Errorf("the newest time is %d, want %d", d.time, want)
	}
}

// onsets of a series, by head, after the first 500 readings.
func onsetsOf(t *testing.T, values []float64) (count int, heads map[Head]int) {
	t.Helper()
	var d Detector
	heads = map[Head]int{}
	for i, v := range judge(&d, shipped(t), values) {
		if v.Onset && i >= 500 {
			count++
		}
		if i >= 500 && (v.Onset || v.Head == HeadShift || v.Head == HeadStuck || v.Head == HeadFlat) {
			heads[v.Head]++
		}
	}
	return count, heads
}

func TestCounterIsJudgedByItsRate(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	up := make([]float64, 6000)
	for i := 1; i < len(up); i++ {
		up[i] = up[i-1] + 1000 + 50*r.NormFloat64()
		if i == 3000 {
			up[i] = 0 // the device began anew
		}
	}
	if n, heads := onsetsOf(t, up); n > 5 {
		t.Errorf("a steady counter raised %d alerts: %v", n, heads)
	}
	for i := 5000; i < len(up); i++ {
		up[i] += 9000 * float64(i-4999) // ten times as fast
	}
	if _, heads := onsetsOf(t, up); heads[HeadNovelty]+heads[HeadDeviation] == 0 {
		t.Error("a counter that runs ten times as fast raised no alert")
	}
}

func TestRampThatTurnsBackIsNoCounter(t *testing.T) {
	values := noisy(2000)
	for i := range 80 {
		values[i] = float64(i)
	}
	var d Detector
	judge(&d, shipped(t), values)
	if d.trend.on || d.n < 1000 {
		t.Errorf("taken for a counter: %+v, %d values", d.trend, d.n)
	}
}

func TestStuckSensorIsReportedOnce(t *testing.T) {
	values := noisy(2000)
	for i := 1500; i < 2000; i++ {
		values[i] = values[1499]
	}
	if _, heads := onsetsOf(t, values); heads[HeadStuck] != 1 {
		t.Errorf("%v", heads)
	}
}

func TestFlatLineIsReportedOnce(t *testing.T) {
	values := noisy(2000)
	for i := 1500; i < 2000; i++ {
		values[i] = 100 + (values[i]-100)/1000
	}
	if _, heads := onsetsOf(t, values); heads[HeadFlat] != 1 || heads[HeadStuck] != 0 {
		t.Errorf("%v", heads)
	}
}

func TestLastingShiftIsReportedOnce(t *testing.T) {
	values := noisy(4000)
	for i := 2000; i < len(values); i++ {
		values[i] += 30
	}
	if _, heads := onsetsOf(t, values); heads[HeadShift] != 1 {
		t.Errorf("%v", heads)
	}
	for i := 2050; i < len(values); i++ {
		values[i] -= 30 // it did not last
	}
	if _, heads := onsetsOf(t, values); heads[HeadShift] != 0 {
		t.Errorf("a shift that does not last: %v", heads)
	}
}

func TestSpikeRaisesAnAlertThatClears(t *testing.T) {
	values := noisy(2000)
	values[1500] = 200
	var d Detector
	onset, clear := -1, -1
	for i, v := range judge(&d, shipped(t), values) {
		if i >= 1490 && v.Onset && onset < 0 {
			onset = i
		}
		if onset >= 0 && v.Clear && clear < 0 {
			clear = i
		}
	}
	if onset != 1500 || clear < 1515 || clear > 1530 {
		t.Errorf("raised at %d, cleared at %d", onset, clear)
	}
}

func TestNegligibleChangeOfAConstantIsNoAlert(t *testing.T) {
	values := make([]float64, 1000)
	for i := range values {
		values[i] = 100 + 1e-9*float64(i&1)
	}
	values[900] = 100.0001
	if n, heads := onsetsOf(t, values); n != 0 {
		t.Errorf("%d alerts: %v", n, heads)
	}
	values[900] = 130
	if n, _ := onsetsOf(t, values); n != 1 {
		t.Errorf("%d alerts for a change by 30 %%", n)
	}
}

func TestMoreSensitiveNeverScoresLess(t *testing.T) {
	c := DefaultConfig()
	c.Sensitivity = 2
	high, err := c.Compile()
	if err != nil {
		t.Fatal(err)
	}
	values := noisy(1000)
	values[700] = 106
	var a, b Detector
	low, more := judge(&a, shipped(t), values), judge(&b, high, values)
	for i := range low {
		if more[i].Deviation < low[i].Deviation {
			t.Fatalf("reading %d: %v, less sensitive %v", i, more[i].Deviation, low[i].Deviation)
		}
	}
	if !(more[700].Score > low[700].Score) {
		t.Errorf("%v, less sensitive %v", more[700].Score, low[700].Score)
	}
}

func TestLocalTimeFollowsTheZone(t *testing.T) {
	for _, name := range []string{"UTC", "Europe/Berlin", "Australia/Lord_Howe", "Asia/Kathmandu", "America/Sao_Paulo"} {
		c := DefaultConfig()
		c.Zone = name
		p, err := c.Compile()
		if err != nil {
			t.Fatal(err)
		}
		zone, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		rapid.Check(t, func(t *rapid.T) {
			at := rapid.Int64Range(0, 4e15).Draw(t, "t")
			hint := rapid.Uint16().Draw(t, "hint")
			local := time.UnixMicro(at).In(zone)
			want := local.Hour()
			if day := local.Weekday(); day == time.Saturday || day == time.Sunday {
				want += dayHours
			}
			if got := profileCell(p.local(at, &hint)); got != want {
				t.Fatalf("%s: cell %d, want %d", local, got, want)
			}
		})
	}
}

func TestConfigSaysWhichFieldIsWrong(t *testing.T) {
	for want, change := range map[string]func(*Config){
		"sensitivity: 0 is not between 0.1 and 10":   func(c *Config) { c.Sensitivity = 0 },
		"sensitivity: NaN is not between 0.1 and 10": func(c *Config) { c.Sensitivity = math.NaN() },
		`zone: "Mars/Base" is not a known time zone`: func(c *Config) { c.Zone = "Mars/Base" },
		`zone: "Local" is not a known time zone`:     func(c *Config) { c.Zone = "Local" },
	} {
		c := DefaultConfig()
		change(&c)
		if _, err := c.Compile(); fmt.Sprint(err) != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func TestHashTellsSettingsApart(t *testing.T) {
	seen := map[uint64]int{}
	for i, change := range []func(*Config){
		func(*Config) {}, func(c *Config) { c.Sensitivity = 2 }, func(c *Config) { c.Zone = "Asia/Tokyo" },
		func(c *Config) { c.Heads.Stuck = false }, func(c *Config) { c.Heads.Flat = false }, func(c *Config) { c.Enabled = false },
	} {
		c := DefaultConfig()
		change(&c)
		p, err := c.Compile()
		if err != nil {
			t.Fatal(err)
		}
		if j, ok := seen[p.Hash()]; ok {
			t.Errorf("settings %d and %d have one hash", i, j)
		}
		seen[p.Hash()] = i
	}
}

func TestDetectorIsSmallAndHoldsNoPointers(t *testing.T) {
	size := unsafe.Sizeof(Detector{})
	if size > 1331 {
		t.Errorf("%d bytes, want at most 1.3 KiB", size)
	}
	var d Detector
	judge(&d, shipped(t), noisy(20_000))
	t.Logf("%d bytes in memory, %d marshalled", size, len(d.MarshalAppend(nil)))
	noPointers(t, reflect.TypeFor[Detector]())
}

func noPointers(t *testing.T, of reflect.Type) {
	t.Helper()
	switch of.Kind() {
	case reflect.Struct:
		for i := range of.NumField() {
			noPointers(t, of.Field(i).Type)
		}
	case reflect.Array:
		noPointers(t, of.Elem())
	case reflect.Pointer, reflect.Slice, reflect.Map, reflect.String, reflect.Interface, reflect.Func, reflect.Chan:
		t.Errorf("holds a %v", of)
	}
}

func FuzzDetectorUnmarshal(f *testing.F) {
	p := shipped(f)
	var d Detector
	f.Add(d.MarshalAppend(nil))
	judge(&d, p, noisy(300))
	f.Add(d.MarshalAppend(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		var d Detector
		if err := d.Unmarshal(b); err != nil {
			if d != (Detector{}) {
				t.Fatal("an error changed the detector")
			}
			return
		}
		if again := d.MarshalAppend(nil); !bytes.Equal(again, b) {
			t.Fatalf("%x marshalled again is %x", b, again)
		}
		for i := range 3 {
			d.Observe(p, d.time+int64(i), float64(i))
		}
	})
}

func BenchmarkDetectorHot(b *testing.B) {
	p, values := shipped(b), noisy(1024)
	var d Detector
	judge(&d, p, noisy(5000))
	b.ReportAllocs()
	for i := range b.N {
		d.Observe(p, int64(5000+i)*minute, values[i&1023])
	}
}

func BenchmarkDetectorInterleaved50k(b *testing.B) {
	p, values := shipped(b), noisy(1024)
	all := make([]Detector, 50_000)
	for k := range all {
		for i := range 20 {
			all[k].Observe(p, int64(i)*minute, values[(i+k)&1023])
		}
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		all[i%len(all)].Observe(p, int64(20+i/len(all))*minute, values[(i+i/len(all))&1023])
	}
}

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
