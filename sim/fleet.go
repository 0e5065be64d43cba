package sim

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"weir/telemetry"
)

// Fleet describes made-up devices.
type Fleet struct {
	// Devices is how many there are, Metrics how many each measures.
	Devices, Metrics int
	// Rate is in readings per second, over all devices.
	Rate float64
	// Batch is how many readings make a frame, 0 meaning one of each metric. It is less when readings come
	// so slowly that one would wait longer than a second for its frame.
	Batch int
	// Seed decides shapes and faults.
	Seed uint64
	// Faults breaks devices now and then.
	Faults bool
}

// Validate names the field that is wrong.
func (f *Fleet) Validate() error {
	var errs []error
	if f.Devices < 1 {
		errs = append(errs, errors.New("devices: must be at least 1"))
	}
	if f.Metrics < 1 {
		errs = append(errs, errors.New("metrics: must be at least 1"))
	}
	if !(f.Rate > 0) || math.IsInf(f.Rate, 0) {
		errs = append(errs, errors.New("rate: must be above 0 readings per second"))
	}
	if f.Batch < 0 || f.Batch > telemetry.MaxReadingsPerRecord {
		errs = append(errs, fmt.Errorf("batch: must be between 1 and %d", telemetry.MaxReadingsPerRecord))
	}
	return errors.Join(errs...)
}

// Sources makes one source for each device: plant1/line1/press1 and on, ten presses a line, five lines a
// plant.
func (f *Fleet) Sources() []Source {
	sources := make([]Source, f.Devices)
	for i := range sources {
		sources[i] = f.device(i)
	}
	return sources
}

func (f *Fleet) device(i int) *machine {
	rng := rand.New(rand.NewPCG(f.Seed, uint64(i)))
	m := &machine{
		path:   fmt.Sprintf("plant%d/line%d/press%d", i/50+1, i/10%5+1, i%10+1),
		period: float64(f.Devices) / f.Rate * float64(time.Second),
		batch:  f.Batch,
	}
	if m.batch == 0 {
		m.batch = f.Metrics
	}
	m.batch = min(m.batch, 1+int(min(float64(frameAge)/m.period, telemetry.MaxReadingsPerRecord)))
	// The devices' frames are spread over time as if they had been switched on one after the other.
	m.phase = time.Duration(rng.Float64() * m.period * float64(m.batch))
	for j := range f.Metrics {
		m.metrics = append(m.metrics, metricName(j))
		m.signals = append(m.signals, newSignal(kinds[j%len(kinds)], rand.New(rand.NewPCG(rng.Uint64(), rng.Uint64()))))
	}
	if f.Faults {
		m.faults = newFaults(rand.New(rand.NewPCG(rng.Uint64(), rng.Uint64())), f.Metrics)
	}
	return m
}

// frameAge is the longest that a reading waits for its frame to fill.
const frameAge = time.Second

// machine is one device of a fleet. Its k-th reading is due at start + k × period and belongs to its
// metrics in turn.
type machine struct {
	path    string
	metrics []string
	signals []*signal
	faults  *faults
	period  float64 // ns
	phase   time.Duration
	batch   int

	start time.Time
	k     int64
	frame []telemetry.Reading
}

// Device implements Source.
func (m *machine) Device() string { return m.path }

// Step implements Source.
func (m *machine) Step(now time.Time) Step {
	if m.start.IsZero() {
		m.start = now.Add(m.phase)
	}
	var out Step
	out.Skipped = m.forget(now)
	if due := m.frameDue(); now.Before(due) {
		out.Next = due
		return out
	}
	m.frame = m.frame[:0]
	for taken := 0; taken < m.batch && !m.due(m.k).After(now); taken++ {
		m.read()
	}
	out.Readings = m.frame
	out.Next = m.frameDue()
	if m.faults != nil {
		out.Disconnect = m.faults.disconnects(m.since(m.k))
	}
	return out
}

// read makes the next reading and appends it to the frame, unless a fault swallows it.
func (m *machine) read() {
	metric := int(m.k % int64(len(m.metrics)))
	since := m.since(m.k)
	s := m.signals[metric]
	value, ok := s.at(since), true
	if m.faults != nil {
		value, ok = m.faults.apply(since, metric, s.level, value)
	}
	if ok {
		m.frame = append(m.frame, telemetry.Reading{
			Metric: m.metrics[metric],
			Time:   m.start.Add(since).UnixMicro(),
			Value:  math.Round(value*1e4) / 1e4,
		})
	}
	m.k++
}

// forget gives up the readings that are older than a device remembers.
func (m *machine) forget(now time.Time) (skipped int) {
	late := now.Sub(m.due(m.k)) - memory
	if late <= 0 {
		return 0
	}
	skipped = int(float64(late)/m.period) + 1
	m.k += int64(skipped)
	return skipped
}

func (m *machine) since(k int64) time.Duration { return time.Duration(float64(k) * m.period) }

func (m *machine) due(k int64) time.Time { return m.start.Add(m.since(k)) }

// frameDue is when the frame that begins with the next reading is full.
func (m *machine) frameDue() time.Time { return m.due(m.k + int64(m.batch) - 1) }
