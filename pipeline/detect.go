package pipeline

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/fnv"
	"math"
	"strconv"
	"time"

	"weir/pipeline/detect"
	"weir/telemetry"
)

// ruleDeviation is the one rule there is: every series is watched by the deviation detector.
const ruleDeviation = "deviation"

// alertState is a series' place in the life of its alert.
type alertState struct {
	open bool
	// raised and started are of the open alert: version and source time (µs) of the reading that raised it.
	raised  telemetry.Version
	started int64
	// last is the newest transition that weir.alerts held when this owner took over, nil once the replay has
	// passed it. Until then transitions come by again and must not be emitted twice.
	last *telemetry.Alert
}

// takeOver believes weir.alerts, from the reading on that caused its newest transition. A detector whose state
// could not be read back may think otherwise, and then nobody would ever resolve what its predecessor raised.
func (a *alertState) takeOver() {
	last := a.last
	*a = alertState{open: last.Phase != telemetry.Resolved}
	if a.open {
		a.raised, a.started = last.Raised, last.StartedTime
	}
}

// judge is the stage of the detector: it scores each reading and turns onset and end of what the detector
// finds into transitions of an alert.
type judge struct {
	partition int
	m         *counters
}

func (s *judge) apply(b *Batch) *Batch {
	b.each("detect", fresh, func(r *record) {
		for _, of := range r.buried {
			s.bury(b, r, of)
		}
		readings := b.of(r)
		for i := range readings {
			r := &readings[i]
			a := &r.series.alert
			if a.last != nil && r.version > a.last.Version {
				a.takeOver() // the reading did not come by, or in another shape
			}
			if r.fate == counted {
				s.reading(b, r)
			}
			if a.last != nil && r.version == a.last.Version {
				a.takeOver()
			}
		}
	})
	return b
}

func (s *judge) reading(b *Batch, r *reading) {
	v := r.series.detector.Observe(r.time, r.value)
	r.score, r.lo, r.hi, r.state = v.Score, v.Lo, v.Hi, v.State
	a := &r.series.alert
	switch {
	case !a.open && v.Onset:
		a.open, a.raised, a.started = true, r.version, r.time
		s.transition(b, r, telemetry.Firing)
	case a.open && v.State != telemetry.Alerting:
		// Not v.Clear: a detector whose state could not be read back forgot that it had raised an alert.
		s.transition(b, r, telemetry.Resolved)
		a.open = false
	}
}

// bury forgets a series that was deleted. An alert that is open ends with it.
func (s *judge) bury(b *Batch, r *record, of *series) {
	a := &of.alert
	version := telemetry.VersionOf(r.offset, 0)
	if a.last != nil && version > a.last.Version {
		a.takeOver()
	}
	if a.open {
		s.transition(b, &reading{
			series: of, version: version, time: max(r.ingest, a.started), value: math.NaN(), lo: math.NaN(), hi: math.NaN(),
		}, telemetry.Resolved)
		a.open = false
	}
	if a.last != nil && version == a.last.Version {
		a.takeOver()
	}
	of.detector = detect.Deviation{}
}

func (s *judge) transition(b *Batch, r *reading, phase telemetry.Phase) {
	a := &r.series.alert
	if a.last != nil { // emitted by the predecessor
		return
	}
	s.m.transitions[phase].Inc()
	lo, hi := r.lo, r.hi
	if math.IsNaN(lo) || math.IsNaN(hi) { // the detector forgot, and expects nothing yet
		lo, hi = r.value, r.value
	}
	b.alerts = append(b.alerts, telemetry.Alert{
		ID:          alertID(s.partition, ruleDeviation, r.series.name, a.raised),
		Rule:        ruleDeviation,
		Series:      r.series.name,
		Phase:       phase,
		Version:     r.version,
		Raised:      a.raised,
		StartedTime: a.started,
		Time:        r.time,
		Value:       r.value,
		Score:       r.score,
		Lo:          lo,
		Hi:          hi,
		Detector:    ruleDeviation,
		Summary:     summary(phase, r, a.started),
	})
}

func summary(phase telemetry.Phase, r *reading, started int64) string {
	if math.IsNaN(r.value) {
		return r.series.name + " was deleted"
	}
	if phase == telemetry.Resolved {
		lasted := time.Duration(max(r.time-started, 0)) * time.Microsecond
		return fmt.Sprintf("%s is back to normal after %s", r.series.name, lasted.Round(time.Second))
	}
	return fmt.Sprintf("%s is %.6g, expected between %.6g and %.6g", r.series.name, r.value, r.lo, r.hi)
}

// alertID names an alert by its partition and a hash (FNV-1a, 128 bits) of what raised it, so that a replay
// gives it the same name.
func alertID(partition int, rule, series string, raised telemetry.Version) string {
	h := fnv.New128a()
	var sum [16]byte
	_, _ = h.Write([]byte(rule + "\x00" + series + "\x00"))
	_, _ = h.Write(binary.BigEndian.AppendUint64(sum[:0], uint64(raised)))
	return strconv.Itoa(partition) + "-" + hex.EncodeToString(h.Sum(sum[:0]))
}
