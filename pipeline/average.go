package pipeline

import "weir/pipeline/window"

// averageState is a series' moving average, and the settings that it is of.
type averageState struct {
	window.Average
	spec *window.AverageSpec
	frozen
}

// use makes it one of the settings: it goes on when they are those it was made with, and else begins anew.
func (a *averageState) use(spec *window.AverageSpec) (known bool) {
	known = true
	switch {
	case a.frozen != nil:
		known = a.Unmarshal(a.take(), spec) == nil
	case a.spec != nil && *a.spec != *spec:
		a.Average = window.Average{}
	}
	a.spec = spec
	return known
}

func (a *averageState) marshalAppend(dst []byte) []byte {
	if a.spec == nil {
		return append(dst, a.frozen...)
	}
	return a.MarshalAppend(dst, a.spec)
}

// average gives each reading the moving average of its series as of that reading.
type average struct {
	m *counters
}

func (s *average) apply(b *Batch) *Batch {
	if b.kind == look {
		s.inspect(b.looked)
	}
	b.each("average", fresh, func(r *record) {
		for _, of := range r.buried {
			of.average = averageState{}
		}
		readings := b.of(r)
		for i := range readings {
			if r := &readings[i]; r.fate == counted {
				r.avg = s.add(r)
			}
		}
	})
	return b
}

func (s *average) add(r *reading) float64 {
	a, spec := &r.series.average, &r.treat.Average
	if a.spec != spec && !a.use(spec) {
		s.m.layouts.Inc()
	}
	return a.Add(r.time, r.value, spec)
}
