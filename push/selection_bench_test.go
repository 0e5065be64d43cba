package push

import "testing"

// BenchmarkSelection applies updates of 1,000 series to a view with a selection, and decides what is in after each time
// that every series had one.
func BenchmarkSelection(b *testing.B) {
	for name, want := range map[string]choice{
		"filter": {filter: "max > 50 && state < 3"}, "limit": {limit: 50, order: "-last"}, "both": {filter: "max > 50", limit: 50},
	} {
		b.Run(name, func(b *testing.B) {
			h := testHub()
			next := benchBatch(1000)
			h.apply(0, next(), 0)
			want.patterns, want.hz = patterns("plant1/#"), 0.01
			h.mu.Lock()
			key, ps := want.key()
			v := h.openViewLocked(key, ps, h.store.selected(ps, 1<<30))
			v.flushed = h.now()
			h.mu.Unlock()
			defer v.stop()
			step := func(i int) {
				us := next()
				for j := range us {
					us[j].Last, us[j].Max = float64((i/1000+j*7)%100), float64((i/1000+j*7)%100)
				}
				h.apply(0, us, int64(i))
				v.choose()
				v.pending.reset()
			}
			step(0)
			b.ReportAllocs()
			b.ResetTimer()
			for i := 0; i < b.N; i += 1000 {
				step(i)
			}
		})
	}
}
