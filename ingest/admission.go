package ingest

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"weir/wire"
)

// Admission says how far behind the pipeline may be before devices are slowed down, and before they are refused.
type Admission struct {
	// Slow is the age of the oldest reading that the pipeline has not applied from which credit shrinks, Stop
	// that from which frames of the partition are refused.
	Slow time.Duration `koanf:"slow"`
	Stop time.Duration `koanf:"stop"`
}

func (a *Admission) validate() error {
	if a.Stop <= a.Slow {
		return errors.Join(positive("admission.slow", a.Slow),
			fmt.Errorf("admission.stop: must be above admission.slow (%s), is %s", a.Slow, a.Stop))
	}
	return positive("admission.slow", a.Slow)
}

// limits are the age and the bytes of a lag from which on a partition takes nothing; 0 bytes: no bound. Nothing accepted may
// be deleted unread, however Stop is set.
func (a *Admission) limits(retention Retention) (age time.Duration, bytes int64) {
	age = a.Stop
	if most := retention.Age / 2; most > 0 {
		age = min(age, most)
	}
	return age, retention.Bytes / 2
}

// Refuses reports whether a partition of a topic with the retention takes no readings while the pipeline is so far behind.
func (a *Admission) Refuses(lag Lag, retention Retention) bool {
	age, bytes := a.limits(retention)
	return lag.Age >= age || bytes > 0 && lag.Bytes >= bytes
}

// Lag is how far the pipeline is behind on a partition of weir.readings.
type Lag struct {
	// Age is that of the oldest reading that is not applied.
	Age time.Duration
	// Records are not applied yet. Bytes is what they take in the log, about; 0: not known.
	Records, Bytes int64
}

// Lags tells the lag of partitions. It is asked a few times a second.
type Lags interface {
	// Lag is false when nothing is known of a partition.
	Lag(partition int) (lag Lag, known bool)
}

const (
	// refreshAdmission is how often the lag is looked at.
	refreshAdmission = 250 * time.Millisecond
	// fullPressure is where nothing is admitted, in thousandths.
	fullPressure = 1000
	// unknownPressure is that of a partition of which nothing is known: half the credit.
	unknownPressure = fullPressure / 2
	// lagRetry is about when a device comes again that was refused because the pipeline lags; each at another
	// moment, between half of it and half as much more.
	lagRetry = 2 * time.Second
	// assumedRecordBytes is taken for the size of records while none have been seen.
	assumedRecordBytes = 512
)

// admission has the pressure of each partition, in thousandths: 0 admits freely, fullPressure nothing. Frames cost it
// one atomic load.
type admission struct {
	lags       Lags // nil: everything is admitted
	slow, stop time.Duration
	bytes      int64 // of a partition's retention, half; 0: no bound
	pressures  []atomic.Uint32
}

func newAdmission(c Admission, lags Lags, partitions int, retention Retention) *admission {
	a := &admission{lags: lags, slow: c.Slow, pressures: make([]atomic.Uint32, partitions)}
	if a.stop, a.bytes = c.limits(retention); a.stop < c.Stop {
		a.slow = min(a.slow, a.stop/2)
	}
	if lags != nil {
		for p := range a.pressures {
			a.pressures[p].Store(unknownPressure)
		}
	}
	return a
}

// refresh looks at the lag of all partitions. recordBytes is what a record takes that this server has written.
func (a *admission) refresh(recordBytes float64) {
	if a.lags == nil {
		return
	}
	for p := range a.pressures {
		lag, known := a.lags.Lag(p)
		pressure := uint32(unknownPressure)
		if known {
			pressure = a.pressure(lag, recordBytes)
		}
		a.pressures[p].Store(pressure)
	}
}

func (a *admission) pressure(lag Lag, recordBytes float64) uint32 {
	pressure := between(float64(lag.Age), float64(a.slow), float64(a.stop))
	if a.bytes > 0 {
		bytes := max(float64(lag.Bytes), float64(lag.Records)*recordBytes)
		pressure = max(pressure, between(bytes, float64(a.bytes)/2, float64(a.bytes)))
	}
	return pressure
}

// between is 0 up to low, fullPressure from high on, and proportional in between.
func between(value, low, high float64) uint32 {
	switch {
	case value <= low:
		return 0
	case value >= high:
		return fullPressure
	}
	return uint32(fullPressure * (value - low) / (high - low))
}

// of is the pressure of a partition.
func (a *admission) of(partition int) uint32 { return a.pressures[partition].Load() }

// highest is that of the partition which is behind most, and how many are stopped.
func (a *admission) highest() (pressure uint32, stopped int) {
	for p := range a.pressures {
		of := a.of(p)
		if pressure = max(pressure, of); of >= fullPressure {
			stopped++
		}
	}
	return pressure, stopped
}

var errLagging = wire.NewError(wire.CodeLagging, "")

// lagging refuses a frame with readings for a partition that the pipeline is too far behind on.
func (e *encoder) lagging(r *receipt) bool {
	if e.pressure < fullPressure {
		return false
	}
	e.srv.metrics.lagging.Inc()
	r.refuse(errLagging, e.srv.around(lagRetry), false)
	return true
}
