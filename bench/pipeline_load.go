package bench

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"weir/kafka"
	"weir/telemetry"
	"weir/wire"
)

// Fleet makes records of weir.readings as ingest writes them: one frame of one device each. Values follow from the
// series and the number of the reading alone: noise on a season of ten minutes, and one reading in 10,000 is a spike.
type Fleet struct {
	// Name is the first part of the devices' paths.
	Name             string
	Devices, Metrics int
	// Batch is how many readings a record holds, of all metrics of the device in turn.
	Batch int
	// Step is the source time between two readings of a series, From the number of the first one.
	Step time.Duration
	From int
	// Session is what the devices call this boot of theirs; each run that goes on with a series needs its own.
	Session string

	names   []string
	metrics []string
	frame   telemetry.Batch
	// sent is how many records were made.
	sent int
	buf  []byte
}

// fleetEpoch is the source time of the first reading (µs).
const fleetEpoch = 1_700_000_000_000_000

// Check names what cannot be.
func (f *Fleet) Check() error {
	if f.Devices < 1 || f.Metrics < 1 || f.Metrics > 500 {
		return errors.New("there must be a device, and between 1 and 500 metrics")
	}
	if f.Batch < 1 || f.Batch > telemetry.MaxReadingsPerRecord {
		return fmt.Errorf("a record holds between 1 and %d readings", telemetry.MaxReadingsPerRecord)
	}
	return nil
}

func (f *Fleet) begin() {
	for d := range f.Devices {
		f.names = append(f.names, fmt.Sprintf("%s/line%d/press%d", f.Name, d%31, d))
	}
	for m := range f.Metrics {
		f.metrics = append(f.metrics, fmt.Sprintf("metric%d", m))
	}
	f.frame.Session = f.Session
	f.frame.Readings = make([]telemetry.Reading, f.Batch)
}

// next makes the next record, of the devices in turn. Its value is valid until buf is cut.
func (f *Fleet) next(now int64) (device string, value []byte) {
	if f.names == nil {
		f.begin()
	}
	d, round := f.sent%f.Devices, f.sent/f.Devices
	f.sent++
	f.frame.Device, f.frame.Seq, f.frame.Ingest = f.names[d], uint64(round+1), now
	at := round * f.Batch
	for i := range f.frame.Readings {
		metric, step := (at+i)%f.Metrics, f.From+(at+i)/f.Metrics
		f.frame.Readings[i] = telemetry.Reading{
			Metric: f.metrics[metric],
			Time:   fleetEpoch + int64(step)*f.Step.Microseconds(),
			Value:  value1(d*f.Metrics+metric, step),
		}
	}
	start := len(f.buf)
	f.buf = wire.AppendReadingBatch(f.buf, &f.frame)
	return f.frame.Device, f.buf[start:len(f.buf):len(f.buf)]
}

const (
	seasonSteps = 600
	noiseValues = 1 << 12
	spikeEvery  = 10_000
)

var season, noise = func() (season [seasonSteps]float64, noise [noiseValues]float64) {
	for i := range season {
		season[i] = 5 * math.Sin(2*math.Pi*float64(i)/seasonSteps)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range noise {
		noise[i] = 0.5 * rng.NormFloat64()
	}
	return season, noise
}()

// value1 is the value of a series at a step.
func value1(series, step int) float64 {
	// splitmix64, so that neighbours have nothing in common.
	x := uint64(series)<<32 + uint64(step)
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	x ^= x >> 31
	v := 20 + season[(step+series)%seasonSteps] + noise[x%noiseValues]
	if (x>>12)%spikeEvery == 0 {
		v += 10
	}
	return math.Round(v*100) / 100
}

// loader writes records of a fleet to weir.readings.
type loader struct {
	client     *kafka.Client
	partitions int
}

// callBytes is about how much goes to a partition in one call.
const callBytes = 256 << 10

// preload writes n records as fast as the broker takes them.
func (l *loader) preload(ctx context.Context, f *Fleet, n int) error {
	producer, err := l.client.NewProducer(ctx, kafka.ProducerOptions{})
	if err != nil {
		return err
	}
	var failed atomic.Pointer[error]
	w := writer{loader: l, producer: producer, failed: &failed, pending: make([][]kafka.Record, l.partitions)}
	round := max(1, callBytes*l.partitions/(12*f.Batch+64))
	for n > 0 && failed.Load() == nil {
		m := min(n, round)
		n -= m
		if err := w.write(ctx, f, m); err != nil {
			return errors.Join(err, producer.Close())
		}
	}
	if err := errors.Join(producer.Flush(ctx), producer.Close()); err != nil {
		return err
	}
	if err := failed.Load(); err != nil {
		return *err
	}
	return nil
}

// pace writes rate readings a second until ctx ends.
func (l *loader) pace(ctx context.Context, f *Fleet, rate float64) error {
	producer, err := l.client.NewProducer(ctx, kafka.ProducerOptions{})
	if err != nil {
		return err
	}
	var failed atomic.Pointer[error]
	w := writer{loader: l, producer: producer, failed: &failed, pending: make([][]kafka.Record, l.partitions)}
	started, done := time.Now(), 0
	ticker := time.NewTicker(paceStep)
	defer ticker.Stop()
	for ctx.Err() == nil && failed.Load() == nil {
		due := int(time.Since(started).Seconds() * rate / float64(f.Batch))
		if err := w.write(ctx, f, due-done); err != nil && ctx.Err() == nil {
			return errors.Join(err, producer.Close())
		}
		done = due
		select {
		case <-ctx.Done():
		case <-ticker.C:
		}
	}
	if err := failed.Load(); err != nil {
		return errors.Join(*err, producer.Close())
	}
	return producer.Close()
}

// writer gathers records by partition.
type writer struct {
	*loader
	producer *kafka.Producer
	failed   *atomic.Pointer[error]
	pending  [][]kafka.Record
}

func (w *writer) write(ctx context.Context, f *Fleet, records int) error {
	now := time.Now().UnixMicro()
	f.buf = f.buf[:0]
	for range records {
		device, value := f.next(now)
		p := kafka.PartitionFor(device, w.partitions)
		w.pending[p] = append(w.pending[p], kafka.Record{Key: []byte(device), Value: value})
	}
	for p, recs := range w.pending {
		for len(recs) > 0 {
			n := max(1, min(len(recs), callBytes/max(1, len(recs[0].Value))))
			err := w.producer.Produce(ctx, wire.TopicReadings, p, recs[:n], func(_ int64, err error) {
				if err != nil {
					w.failed.CompareAndSwap(nil, &err)
				}
			})
			if err != nil {
				return err
			}
			recs = recs[n:]
		}
		w.pending[p] = w.pending[p][:0]
	}
	return nil
}
