package pipeline

import (
	"math"
	"time"
)

// minTime is the newest source time of a series without readings.
const minTime = math.MinInt64

// validate decides which readings are part of the values: not those that are no number (ingest refuses
// them; this is for other writers), and not those that lie too far behind the newest of their series.
type validate struct {
	lateness uint64
	m        *counters
}

func newValidate(lateness time.Duration, m *counters) *validate {
	return &validate{lateness: uint64(lateness.Microseconds()), m: m}
}

func (s *validate) apply(b *Batch) *Batch {
	b.each("validate", fresh, func(r *record) {
		for _, of := range r.buried {
			of.newestTime = minTime
		}
		readings := b.of(r)
		for i := range readings {
			readings[i].fate = s.judge(&readings[i])
		}
	})
	return b
}

func (s *validate) judge(r *reading) fate {
	// x-x is 0 for every finite x and NaN for all others.
	if r.value-r.value != 0 {
		s.m.invalid.Inc()
		return invalid
	}
	newest := r.series.newestTime
	if r.time >= newest {
		r.series.newestTime = r.time
		return counted
	}
	if uint64(newest)-uint64(r.time) > s.lateness { // unsigned: the difference may not fit an int64
		s.m.late.Inc()
		return late
	}
	return counted
}
