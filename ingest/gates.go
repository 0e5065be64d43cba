package ingest

import (
	"math/rand/v2"
	"sync/atomic"
	"time"
)

// Retention bounds a topic: how old, and how large (bytes per partition), it may become. Zero: no bound.
type Retention struct {
	Age   time.Duration
	Bytes int64
}

// defaultBuffer is the producer's, where nobody says.
const defaultBuffer = 64 << 20

// gates are what a frame has to pass between being decoded and being produced, as far as all connections share it.
type gates struct {
	born      time.Time // what monotonic counts from
	admission *admission
	limits    [lanes]*limiter
	shares    [lanes]share
	lateness  int64 // µs; 0: nothing is late
	written   written
	tracker   Tracker
	random    func() float64
}

func newGates(o *Options) *gates {
	buffer := int64(o.BufferBytes)
	if buffer == 0 {
		buffer = defaultBuffer
	}
	c := &o.Config
	g := &gates{
		born:      time.Now(),
		admission: newAdmission(c.Admission, o.Lags, o.Partitions, o.Retention),
		limits: [lanes]*limiter{
			live:    newLimiter(&c.Limits, c.Limits.Global, perServer),
			backlog: newLimiter(&c.Limits, c.Backlog.limit(), inBacklog),
		},
		lateness: c.Lateness.Microseconds(),
		tracker:  o.Tracker,
		random:   rand.Float64,
	}
	g.shares[backlog].most = buffer / backlogShare
	g.shares[live].most = buffer - buffer/backlogShare
	return g
}

// around is a time at which a device is to come again, in ms: between half of d and half as much more, so that those
// refused together do not come back together.
func (g *gates) around(d time.Duration) int64 {
	return int64(float64(d.Milliseconds()) * (0.5 + g.random()))
}

// written counts records that were produced, of some of the frames.
type written struct{ records, bytes atomic.Int64 }

func (w *written) add(records, bytes int) {
	w.records.Add(int64(records))
	w.bytes.Add(int64(bytes))
}

// recordBytes is what one takes in the log, on average.
func (w *written) recordBytes() float64 {
	records := w.records.Load()
	if records == 0 {
		return assumedRecordBytes
	}
	return float64(w.bytes.Load()) / float64(records)
}
