package pipeline

import (
	"weir/pipeline/detect"
)

type detectorState struct {
	detect.Deviation
	frozen
	used bool
}

func (d *detectorState) marshalAppend(dst []byte) []byte {
	if !d.used {
		return append(dst, d.frozen...)
	}
	return d.MarshalAppend(dst)
}

// judge is the stage of the detector: it scores each reading.
type judge struct {
	m *counters
}

func (s *judge) apply(b *Batch) *Batch {
	if b.kind == look {
		s.inspect(b.looked)
	}
	b.each("detect", fresh, func(r *record) {
		for _, of := range r.buried {
			of.detector = detectorState{}
		}
		readings := b.of(r)
		for i := range readings {
			if r := &readings[i]; r.fate == counted {
				s.reading(r)
			}
		}
	})
	return b
}

func (s *judge) reading(r *reading) {
	p := r.treat.detector
	if p == nil {
		r.lo, r.hi = unknown, unknown
		return
	}
	d := &r.series.detector
	if !d.used {
		d.used = true
		if b := d.frozen.take(); b != nil && d.Unmarshal(b) != nil {
			s.m.layouts.Inc()
		}
	}
	v := d.Observe(r.time, r.value)
	r.score, r.lo, r.hi, r.state = v.Score, v.Lo, v.Hi, v.State
	r.onset, r.clear, r.head = v.Onset, v.Clear, "deviation"
}
