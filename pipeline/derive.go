package pipeline

import (
	"slices"

	"weir/expr"
	"weir/telemetry"
)

// derivation makes a series of several of a device.
type derivation struct {
	program *expr.Program
	// maxAge (µs) is how much older than the reading that leads to it an input may be.
	maxAge int64
	// inputs has nil for a metric that the device has not sent.
	inputs []*series
	to     *output
	// place follows those of the derivations that inputs come from.
	place int
}

// derive makes what the readings of a record, and what was made of them, come to together: in order of time, once for
// all that are of the same time. So a frame that holds voltage and current leads to one power, and not to one that is
// made of the new voltage and the old current. What is made has the version of the last reading of its instant, or of one
// before: versions grow.
func (s *compute) derive(b *Batch, r *record) {
	s.order = s.order[:0]
	for i := r.first; i < len(b.readings); i++ {
		if x := &b.readings[i]; x.fate == counted && x.treat.outs != nil && len(x.treat.outs.derived) > 0 {
			s.order = append(s.order, int32(i))
		}
	}
	if len(s.order) == 0 {
		return
	}
	slices.SortStableFunc(s.order, func(i, j int32) int {
		switch a, b := b.readings[i].time, b.readings[j].time; {
		case a < b:
			return -1
		case a > b:
			return 1
		}
		return 0
	})
	version := telemetry.NoVersion
	for first := 0; first < len(s.order); {
		end := first + 1
		for end < len(s.order) && b.readings[s.order[end]].time == b.readings[s.order[first]].time {
			end++
		}
		last := b.readings[s.order[end-1]]
		s.pending = s.pending[:0]
		for _, i := range s.order[first:end] {
			version = max(version, b.readings[i].version)
			s.enter(&b.readings[i])
		}
		last.version = version
		s.evaluate(b, r, &last)
		first = end
	}
}

// enter makes a reading the newest that derived series are made of, if it is, and notes which are to be made.
func (s *compute) enter(x *reading) {
	c := s.on(x.series, x.treat)
	if x.time < c.inputTime {
		return
	}
	c.inputTime, c.input = x.time, x.value
	for _, d := range x.treat.outs.derived {
		at, found := slices.BinarySearchFunc(s.pending, d.place, func(p *derivation, place int) int { return p.place - place })
		if !found {
			s.pending = slices.Insert(s.pending, at, d)
		}
	}
}

// evaluate makes what is pending. What one makes may be an input of the ones behind it.
func (s *compute) evaluate(b *Batch, r *record, x *reading) {
	for i := 0; i < len(s.pending); i++ {
		d := s.pending[i]
		v, ok := s.value(d, x.time)
		if !ok {
			continue
		}
		at := len(b.readings)
		s.made(b, r, x, d.to, x.time, v)
		for ; at < len(b.readings); at++ {
			if made := b.readings[at]; made.treat.outs != nil && len(made.treat.outs.derived) > 0 {
				s.enter(&made)
			}
		}
	}
}

func (s *compute) value(d *derivation, at int64) (v float64, ok bool) {
	s.env.Numbers = s.env.Numbers[:0]
	for _, in := range d.inputs {
		v := unknown
		if in != nil {
			if c := in.compute; c != nil && c.inputTime != minTime && at-c.inputTime <= d.maxAge {
				v = c.input
			}
		}
		s.env.Numbers = append(s.env.Numbers, v)
	}
	v, err := d.program.Float(&s.env)
	if err != nil {
		s.m.underived.Inc()
		return 0, false
	}
	return v, true
}
