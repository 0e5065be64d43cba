package window

import (
	"math"
	"slices"
	"testing"
	"time"
	"unsafe"
)

func BenchmarkAverageAdd(b *testing.B) {
	for name, s := range map[string]AverageSpec{
		"simple": {}, "exponential": {Kind: Exponential}, "median5": {Kind: Median},
		"median101": {Kind: Median, Samples: 101}, "median1m": {Kind: Median, Window: time.Minute},
	} {
		b.Run(name, func(b *testing.B) {
			spec := averageSpec(s)
			var a Average
			b.ReportAllocs()
			for i := range b.N {
				a.Add(int64(i)*1_000_000, float64(i*2654435761&1023), spec)
			}
			b.ReportMetric(float64(len(a.MarshalAppend(nil, spec))), "saved-B")
		})
	}
}

// size is the memory that s holds.
func (s *State) size() uintptr {
	n := unsafe.Sizeof(*s) + uintptr(cap(s.panes))*unsafe.Sizeof(Partial{})
	if s.work != nil {
		n += unsafe.Sizeof(*s.work)
	}
	for _, p := range s.panes[:cap(s.panes)] {
		if p.sketch != nil {
			n += unsafe.Sizeof(sketch{}) + 8*uintptr(cap(p.sketch.bins))
		}
	}
	return n
}

func BenchmarkStateAdd(b *testing.B) {
	mean, all := []string{"mean"}, append(slices.Clone(everything), "p50", "p99")
	for _, c := range []struct {
		name string
		step int64
		spec Spec
	}{
		{"tumbling 1m at 1Hz", 1e6, Spec{Size: time.Minute, Functions: mean}},
		{"tumbling 1m at 1Hz, all", 1e6, Spec{Size: time.Minute, Functions: all}},
		{"tumbling 1s at 1Hz", 1e6, Spec{Size: time.Second, Functions: mean}},
		{"hopping 10m by 1m at 1Hz", 1e6, Spec{Kind: Hopping, Size: 10 * time.Minute, Every: time.Minute, Functions: mean}},
		{"hopping 10m by 1m at 1Hz, all", 1e6, Spec{Kind: Hopping, Size: 10 * time.Minute, Every: time.Minute, Functions: all}},
		{"sliding 1m at 1Hz", 1e6, Spec{Kind: Sliding, Size: time.Minute, Functions: mean}},
		{"sliding 1m at 100Hz", 1e4, Spec{Kind: Sliding, Size: time.Minute, Functions: mean}},
		{"sliding 1m at 100Hz, all", 1e4, Spec{Kind: Sliding, Size: time.Minute, Functions: all}},
		{"session 5s at 1Hz", 1e6, Spec{Kind: Session, Gap: 5 * time.Second, Functions: mean}},
	} {
		b.Run(c.name, func(b *testing.B) {
			w := compile(b, c.spec)
			var s State
			var out []Result
			b.ReportAllocs()
			at := int64(0)
			for i := range b.N {
				at += c.step
				if c.spec.Kind == Session && i%100 == 0 {
					at += 10e6
				}
				out = s.Add(w, at, 20+math.Sin(float64(i&1023)/50), at, out[:0])
			}
			b.ReportMetric(float64(s.size()), "mem-B")
			b.ReportMetric(float64(len(s.MarshalAppend(nil, w))), "saved-B")
		})
	}
}

func BenchmarkGroupMerge(b *testing.B) {
	w := compile(b, Spec{Size: time.Minute, Functions: []string{"mean", "p99"}})
	var rs []reading
	for i := range int64(100) {
		rs = append(rs, reading{i * 1000, 20 + float64(i)/50})
	}
	p := partialOf(w, 0, rs)
	var g Group
	b.ReportAllocs()
	for range b.N {
		g.Merge(w, p)
	}
	b.ReportMetric(float64(len(p.MarshalAppend(nil, w))), "saved-B")
}
