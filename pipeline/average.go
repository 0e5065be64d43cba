package pipeline

import "weir/pipeline/window"

// average gives each reading the moving average of its series as of that reading.
type average struct {
	config window.Config
}

func (s *average) apply(b *Batch) *Batch {
	b.each("average", fresh, func(r *record) {
		for _, of := range r.buried {
			of.mean = window.Mean{}
		}
		readings := b.of(r)
		for i := range readings {
			if r := &readings[i]; r.fate == counted {
				r.avg = r.series.mean.Add(r.time, r.value, &s.config)
			}
		}
	})
	return b
}
