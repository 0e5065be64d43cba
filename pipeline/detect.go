package pipeline

import (
	"encoding/binary"

	"weir/pipeline/detect"
)

// detectorState is a series' detector, and what the settings that it runs with are known by.
type detectorState struct {
	*detect.Detector
	hash uint64
	frozen
}

const hashBytes = 8

// use makes it one of the settings: it goes on when they are those it was made with, and else begins anew.
func (d *detectorState) use(p *detect.Params) (known bool) {
	b := d.take()
	anew := detectorState{Detector: new(detect.Detector), hash: p.Hash()}
	if len(b) > hashBytes && binary.LittleEndian.Uint64(b) == anew.hash {
		known = anew.Unmarshal(b[hashBytes:]) == nil
	} else {
		known = len(b) == 0
	}
	*d = anew
	return known
}

func (d *detectorState) marshalAppend(dst []byte) []byte {
	if d.Detector == nil {
		return append(dst, d.frozen...)
	}
	return d.MarshalAppend(binary.LittleEndian.AppendUint64(dst, d.hash))
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
	if (d.Detector == nil || d.hash != p.Hash()) && !d.use(p) {
		s.m.layouts.Inc()
	}
	v := d.Observe(p, r.time, r.value)
	r.score, r.lo, r.hi, r.state = v.Score, v.Lo, v.Hi, v.State
	r.onset, r.clear, r.head = v.Onset, v.Clear, v.Head
}
