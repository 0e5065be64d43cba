package sim

import (
	"math/rand/v2"
	"time"
)

// Faults come to a device every faultEvery on average, the first not before faultGrace, so that detectors
// have learned what is normal.
const (
	faultEvery = 5 * time.Minute
	faultGrace = 30 * time.Second
)

type faultKind uint8

const (
	// spike is one reading far off.
	spike faultKind = iota
	// stuck repeats one value.
	stuck
	// dropout leaves the metric's readings out.
	dropout
	// shift moves the metric's level.
	shift
	// disconnect cuts the device's connection.
	disconnect
	faultKinds
)

// fault is active on one metric from begin until end, both since the start.
type fault struct {
	kind       faultKind
	metric     int
	begin, end time.Duration
	// size is a share of the metric's level.
	size float64
	// frozen is a stuck metric's value.
	frozen float64
	done   bool
}

// faults draws a device's faults one after the other.
type faults struct {
	rng     *rand.Rand
	metrics int
	now     fault
}

func newFaults(rng *rand.Rand, metrics int) *faults {
	f := &faults{rng: rng, metrics: metrics}
	f.now.end = faultGrace
	f.draw()
	return f
}

// draw plans the fault that comes after the current one.
func (f *faults) draw() {
	next := fault{
		kind:   faultKind(f.rng.IntN(int(faultKinds))),
		metric: f.rng.IntN(f.metrics),
		begin:  f.now.end + exponential(f.rng, faultEvery),
		size:   0.7 + 0.6*f.rng.Float64(),
	}
	if f.rng.IntN(2) == 0 {
		next.size = -next.size
	}
	seconds := 5 + 20*f.rng.Float64()
	if next.kind == disconnect {
		seconds = 2 + 4*f.rng.Float64()
	}
	next.end = next.begin + time.Duration(seconds*float64(time.Second))
	f.now = next
}

// apply is the value of a metric of the given level under the fault of that time; ok is false when there
// is no reading.
func (f *faults) apply(since time.Duration, metric int, level, value float64) (faulty float64, ok bool) {
	for since >= f.now.end {
		f.draw()
	}
	a := &f.now
	if since < a.begin || metric != a.metric {
		return value, true
	}
	first := !a.done
	a.done = true
	switch a.kind {
	case spike:
		if first {
			return value + a.size*level, true
		}
	case stuck:
		if first {
			a.frozen = value
		}
		return a.frozen, true
	case dropout:
		return 0, false
	case shift:
		return value + a.size*level, true
	}
	return value, true
}

// disconnects returns once, when a disconnect has begun, how long it lasts.
func (f *faults) disconnects(since time.Duration) time.Duration {
	a := &f.now
	if a.kind != disconnect || since < a.begin || since >= a.end || a.metric < 0 {
		return 0
	}
	a.metric = -1 // taken
	return a.end - since
}
