package pipeline

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"weir/kafka"
	"weir/pipeline/rx"
	"weir/telemetry"
	"weir/wire"
)

// stream yields batches of records of a fleet, with source times that go on, at next to no cost.
type stream struct {
	records  []kafka.Record
	timeAt   []int // where each record holds the time of its first reading
	readings int   // of a batch
	perBatch int
	at       int
	offset   int64
	clock    int64
}

const benchMetrics = 10

// newStream has a record per device with a reading of each of ten metrics, fifty records a batch.
func newStream(seriesN int) *stream {
	rng := rand.New(rand.NewPCG(1, 1))
	s := &stream{perBatch: 50, readings: 50 * benchMetrics, clock: epoch}
	first := binary.AppendVarint(nil, epoch)
	for d := range seriesN / benchMetrics {
		b := telemetry.Batch{Device: fmt.Sprintf("plant%d/line%d/press%d", d%7, d%31, d), Ingest: epoch}
		for m := range benchMetrics {
			b.Readings = append(b.Readings, telemetry.Reading{
				Metric: fmt.Sprintf("metric%d", m), Time: epoch + int64(m), Value: 20 + rng.Float64(),
			})
		}
		value := wire.AppendReadingBatch(nil, &b)
		s.records = append(s.records, kafka.Record{Key: []byte(b.Device), Value: value})
		s.timeAt = append(s.timeAt, bytes.Index(value, first))
	}
	return s
}

// load fills b with the next records of the fleet. Everybody sends once a second.
func (s *stream) load(b *Batch) {
	b.reset()
	first := s.at
	for i := first; i < first+s.perBatch; i++ {
		r := &s.records[i]
		r.Offset = s.offset
		s.offset++
		binary.PutVarint(r.Value[s.timeAt[i]:], s.clock)
	}
	b.load(s.records[first:first+s.perBatch], s.offset)
	if s.at += s.perBatch; s.at == len(s.records) {
		s.at = 0
		s.clock += 1e6
	}
}

// storeAll acknowledges at once.
type storeAll struct{ offset int64 }

func (s *storeAll) Produce(_ context.Context, _ string, _ int, recs []kafka.Record, done func(int64, error)) error {
	base := s.offset
	s.offset += int64(len(recs))
	done(base, nil)
	return nil
}

func newBenchStages(done func(*Batch)) *stages {
	c := DefaultConfig()
	m := newCounters(metrics.NewSet())
	summarise := newSummarise(c.FlushPeriod, func(time.Duration) {}, m)
	return &stages{
		decode:    &decode{registry: newRegistry(c.MaxSeriesPerDevice), dedupe: &dedupe{m: m}, partitions: 1, m: m, gauges: newGauges(metrics.NewSet(), 0), log: orDiscard(nil)},
		validate:  newValidate(c.Lateness, m),
		average:   &average{config: c.Average},
		judge:     &judge{m: m},
		summarise: summarise,
		emit: &emit{
			ctx: context.Background(), producer: &storeAll{}, headers: kafka.FenceHeaders(1),
			updates: newLane(0), alerts: newLane(0), giveBack: summarise.giveBack, acknowledged: summarise.acknowledged,
			fail: func(err error) { panic(err) }, at: func(string) error { return nil }, done: done,
			changed: make(map[string]*telemetry.Alert), m: m,
		},
	}
}

var benchSeries = []int{1_000, 50_000}

// BenchmarkStages tells what each stage costs a reading, one after the other on one core.
func BenchmarkStages(b *testing.B) {
	for _, n := range benchSeries {
		b.Run(fmt.Sprintf("%dk series", n/1000), func(b *testing.B) {
			stream := newStream(n)
			s := newBenchStages(func(*Batch) {})
			steps := []struct {
				name  string
				apply func(*Batch) *Batch
				spent time.Duration
			}{
				{name: "decode", apply: s.decode.apply},
				{name: "validate", apply: s.validate.apply},
				{name: "average", apply: s.average.apply},
				{name: "detect", apply: s.judge.apply},
				{name: "summarise", apply: s.summarise.apply},
				{name: "emit", apply: func(b *Batch) *Batch { s.emit.apply(b); return b }},
			}
			batch := new(Batch)
			warm := 70 * n / stream.readings // the window is a minute
			for range warm {
				stream.load(batch)
				for i := range steps {
					steps[i].apply(batch)
				}
			}
			b.ReportAllocs()
			for b.Loop() {
				stream.load(batch)
				for i := range steps {
					started := time.Now()
					steps[i].apply(batch)
					steps[i].spent += time.Since(started)
				}
			}
			readings := float64(b.N * stream.readings)
			total := time.Duration(0)
			for i := range steps {
				b.ReportMetric(float64(steps[i].spent)/readings, steps[i].name+"-ns/reading")
				total += steps[i].spent
			}
			b.ReportMetric(float64(total)/readings, "all-ns/reading")
		})
	}
}

// BenchmarkGraph is the whole graph with its goroutines, as a partition runs it.
func BenchmarkGraph(b *testing.B) {
	for _, n := range benchSeries {
		b.Run(fmt.Sprintf("%dk series", n/1000), func(b *testing.B) {
			stream := newStream(n)
			free := make(chan *Batch, 4)
			for range cap(free) {
				free <- new(Batch)
			}
			s := newBenchStages(func(b *Batch) { free <- b })
			source := rx.NewSource[Batch](0)
			done := s.start(source, func(f rx.Fault[Batch]) { panic(f.Value) })
			send := func() {
				batch := <-free
				stream.load(batch)
				_ = source.Send(context.Background(), batch)
			}
			for range 70 * n / stream.readings {
				send()
			}
			b.ReportAllocs()
			for b.Loop() {
				send()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*stream.readings), "ns/reading")
			source.Close()
			<-done
		})
	}
}

// BenchmarkCheckpoint encodes the state of a partition of which everything has changed.
func BenchmarkCheckpoint(b *testing.B) {
	const n = 10_000
	stream := newStream(n)
	s := newBenchStages(func(*Batch) {})
	batch, c := new(Batch), new(checkpoint)
	round := func() {
		for range n / stream.readings {
			stream.load(batch)
			for _, apply := range []func(*Batch) *Batch{s.decode.apply, s.validate.apply, s.average.apply, s.judge.apply, s.summarise.apply} {
				apply(batch)
			}
		}
		s.summarise.apply(&Batch{kind: barrier})
	}
	for range 70 {
		round()
	}
	var spent time.Duration
	size := 0
	for b.Loop() {
		round()
		started := time.Now()
		c.take(&Batch{}, s, stream.offset, kafka.FenceHeaders(1))
		spent += time.Since(started)
		size = 0
		for _, r := range c.state {
			size += len(r.Key) + len(r.Value)
		}
	}
	b.ReportMetric(float64(spent.Nanoseconds())/float64(b.N*n), "ns/series")
	b.ReportMetric(float64(size)/n, "B-state/series")
}

// BenchmarkMemory tells what a series takes once its window is full.
func BenchmarkMemory(b *testing.B) {
	const n = 50_000
	before := heap()
	stream := newStream(n)
	of := heap() - before
	s := newBenchStages(func(*Batch) {})
	batch := new(Batch)
	for range 70 * n / stream.readings {
		stream.load(batch)
		for _, apply := range []func(*Batch) *Batch{s.decode.apply, s.validate.apply, s.average.apply, s.judge.apply, s.summarise.apply} {
			apply(batch)
		}
		s.emit.apply(batch)
	}
	size := heap() - before - of
	for b.Loop() {
	}
	b.ReportMetric(float64(size)/n, "B/series")
	runtime.KeepAlive(s)
	runtime.KeepAlive(stream)
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
