package pipeline

import (
	"math"
	"time"

	"weir/expr"
)

// minTime is the newest source time of a series without readings.
const minTime = math.MinInt64

// unknown is a value that is not known.
var unknown = math.NaN()

// newestState is the newest reading of a series by source time: when (µs), its value, and since when it has been
// that. changed is minTime while there is none.
type newestState struct {
	time    int64
	value   float64
	changed int64
}

// validate decides which readings are part of the values: not those that are no number (ingest refuses them; this is
// for other writers), not those that lie too far behind the newest of their device, and not those that the plan
// leaves out: by range, by how fast or how long not they change, by an expression.
type validate struct {
	lateness uint64
	env      *expr.Env
	m        *counters
}

func newValidate(lateness time.Duration, m *counters) *validate {
	return &validate{lateness: uint64(lateness.Microseconds()), env: expr.SeriesEnv(), m: m}
}

func (s *validate) apply(b *Batch) *Batch {
	if b.kind == look {
		s.inspect(b.looked)
	}
	b.each("validate", fresh, func(r *record) {
		for _, of := range r.buried {
			of.newest = newestState{time: minTime}
		}
		if r.deleted {
			r.device.newestTime = minTime
		}
		readings := b.of(r)
		for i := range readings {
			readings[i].fate = s.judge(&readings[i])
			b.late = b.late || readings[i].fate == late
		}
	})
	return b
}

func (s *validate) judge(r *reading) fate {
	r.rate = unknown
	// x-x is 0 for every finite x and NaN for all others.
	if r.value-r.value != 0 {
		return s.refuse(notFinite)
	}
	lateness := s.latenessOf(r.treat)
	d, newest := r.series.device, &r.series.newest
	if r.time < d.newestTime && uint64(d.newestTime)-uint64(r.time) > lateness { // unsigned: the difference may not fit an int64
		s.m.late.Inc()
		return late
	}
	if newest.time != minTime && r.time > newest.time {
		r.rate = (r.value - newest.value) / (float64(r.time-newest.time) / 1e6)
	}
	if why := s.admissible(r, newest); why != fine {
		return s.refuse(why)
	}
	d.newestTime = max(d.newestTime, r.time)
	r.watermark = d.newestTime
	if r.time >= newest.time {
		if r.value != newest.value || newest.time == minTime {
			newest.changed = r.time
		}
		newest.time, newest.value = r.time, r.value
	}
	return counted
}

// latenessOf is how far (µs) a reading may lie behind: what the plan says, else the server's setting.
func (s *validate) latenessOf(t *treatment) uint64 {
	if t.Lateness > 0 {
		return uint64(t.Lateness.Microseconds())
	}
	return s.lateness
}

// why a reading is left out.
type why uint8

const (
	fine why = iota
	notFinite
	outOfRange
	tooFast
	notWhole
	stuck
	filtered
	whys
)

var whyNames = [whys]string{notFinite: "not_finite", outOfRange: "range", tooFast: "rate", notWhole: "not_whole", stuck: "stuck", filtered: "filter"}

func (s *validate) refuse(w why) fate {
	s.m.invalid[w].Inc()
	return invalid
}

// admissible asks what the plan says about the reading. A reading too fast is compared with the newest that was taken.
func (s *validate) admissible(r *reading, newest *newestState) why {
	c := &r.treat.Checks
	switch {
	case r.value < c.Min || r.value > c.Max:
		return outOfRange
	case math.Abs(r.rate) > c.MaxRate:
		return tooFast
	case c.Whole && r.value != math.Trunc(r.value):
		return notWhole
	case c.StuckAfter > 0 && r.value == newest.value && newest.time != minTime && r.time-newest.changed >= c.StuckAfter.Microseconds():
		newest.time = max(newest.time, r.time)
		return stuck
	}
	if f := r.treat.Filter; f != nil {
		s.env.Numbers[expr.Value], s.env.Numbers[expr.Rate], s.env.Numbers[expr.TS] = r.value, r.rate, float64(r.time)/1e6
		if keep, err := f.Bool(s.env); err != nil {
			s.m.undecided.Inc() // what is not known is not left out
		} else if !keep {
			return filtered
		}
	}
	return fine
}
