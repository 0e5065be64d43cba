package pipeline

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"runtime"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"weir/kafka"
	"weir/pipeline/rx"
	"weir/telemetry"
	"weir/wire"
)

// stream yields batches of records of a fleet, with source times and values that go on, at next to no cost.
type stream struct {
	records  []kafka.Record // one of each device
	seconds  []int64        // how many records each device has sent
	slots    []kafka.Record // the next batch
	timeAt   int            // from the end of a record, where its first time is
	readings int            // of a batch
	at       int
	offset   int64
	noise    [1 << 12]float64
	values   int
}

const (
	benchMetrics = 10
	benchRecords = 50 // of a batch
	windowRounds = 70 // the window is a minute, and everybody sends once a second
)

// newStream has a record per device with a reading of each of ten metrics, fifty records a batch.
func newStream(seriesN int) *stream {
	rng := rand.New(rand.NewPCG(1, 1))
	s := &stream{readings: benchRecords * benchMetrics, slots: make([]kafka.Record, benchRecords), seconds: make([]int64, seriesN/benchMetrics)}
	for i := range s.noise {
		s.noise[i] = 20 + rng.NormFloat64()
	}
	for d := range s.seconds {
		b := telemetry.Batch{Device: fmt.Sprintf("plant%d/line%d/press%d", d%7, d%31, d), Ingest: epoch}
		for m := range benchMetrics {
			b.Readings = append(b.Readings, telemetry.Reading{Metric: fmt.Sprintf("metric%d", m), Time: epoch + int64(m), Value: 20})
		}
		s.records = append(s.records, kafka.Record{Key: []byte(b.Device), Value: wire.AppendReadingBatch(nil, &b)})
	}
	// The columns of times (the first, then nine steps of a microsecond) and of values end a record; the latter has two
	// bytes of head.
	s.timeAt = 8*benchMetrics + 2 + (benchMetrics - 1) + len(binary.AppendVarint(nil, epoch))
	return s
}

// load fills b with the next records of the fleet, of as many devices.
func (s *stream) load(b *Batch) {
	for i := range s.slots {
		s.put(i, s.at)
		if s.at++; s.at == len(s.records) {
			s.at = 0
		}
	}
	s.fill(b)
}

// loadHot fills b with records of the next device only.
func (s *stream) loadHot(b *Batch) {
	for i := range s.slots {
		s.put(i, s.at)
	}
	if s.at++; s.at == len(s.records) {
		s.at = 0
	}
	s.fill(b)
}

// put makes the next record of a device.
func (s *stream) put(slot, device int) {
	r := &s.slots[slot]
	r.Key = s.records[device].Key
	r.Value = append(r.Value[:0], s.records[device].Value...)
	r.Offset = s.offset
	s.offset++
	binary.PutVarint(r.Value[len(r.Value)-s.timeAt:], epoch+s.seconds[device]*1e6)
	s.seconds[device]++
	for at := len(r.Value) - 8*benchMetrics; at < len(r.Value); at += 8 {
		s.values = (s.values + 1021) % len(s.noise)
		binary.LittleEndian.PutUint64(r.Value[at:], math.Float64bits(s.noise[s.values]))
	}
}

func (s *stream) fill(b *Batch) {
	b.reset()
	b.load(s.slots, s.offset)
}

// storeAll acknowledges at once.
type storeAll struct{ offset int64 }

func (s *storeAll) Produce(_ context.Context, _ string, _ int, recs []kafka.Record, done func(int64, error)) error {
	base := s.offset
	s.offset += int64(len(recs))
	done(base, nil)
	return nil
}

// newBenchStages are the stages of a partition's driver as newDriver makes them, with a broker that stores at once.
func newBenchStages(done func(*Batch)) *stages {
	client, err := kafka.New(kafka.Options{Brokers: []string{"nowhere:1"}})
	if err != nil {
		panic(err)
	}
	p, err := New(Options{Client: client, Config: DefaultConfig(), Metrics: metrics.NewSet()})
	if err != nil {
		panic(err)
	}
	o := p.newOwner(0, -1, nil)
	o.work, o.fail = context.Background(), func(err error) { panic(err) }
	o.headers, o.gauges = kafka.FenceHeaders(1), newGauges(p.metrics, 0)
	d := o.newDriver(&restored{
		registry: newRegistry(p.config.MaxSeriesPerDevice), partitions: 1, changed: make(map[string]*telemetry.Alert),
	}, fences{updates: -1, alerts: -1})
	d.stages.emit.producer, d.stages.emit.done = &storeAll{}, done
	return d.stages
}

// step is a stage as a function.
type step struct {
	name  string
	apply func(*Batch) *Batch
	spent time.Duration
}

// steps lists the stages in their order.
func (s *stages) steps() []step {
	return []step{
		{name: "decode", apply: s.decode.apply},
		{name: "validate", apply: s.validate.apply},
		{name: "compute", apply: s.compute.apply},
		{name: "average", apply: s.average.apply},
		{name: "detect", apply: s.judge.apply},
		{name: "rules", apply: s.rules.apply},
		{name: "summarise", apply: s.summarise.apply},
		{name: "emit", apply: func(b *Batch) *Batch { s.emit.apply(b); return b }},
	}
}

// warmed has seen a full window of every series of the stream.
func warmed(stream *stream, done func(*Batch)) *stages {
	s := newBenchStages(func(*Batch) {})
	steps, batch := s.steps(), new(Batch)
	for range windowRounds * len(stream.records) / benchRecords {
		stream.load(batch)
		for i := range steps {
			steps[i].apply(batch)
		}
	}
	s.emit.done = done
	return s
}

// BenchmarkGraph is a partition's graph with a broker that stores at once, by the number of series: what each stage
// costs a reading, one after the other on one core (stages), and the whole with its goroutines (whole): in ns of CPU
// time, of the whole also by the clock (its CPU time contains the making of the records).
// Interleaved, each batch is of fifty other devices, 10 readings a record; hot, all its records are of one device.
func BenchmarkGraph(b *testing.B) {
	for _, n := range []int{10, 1_000, 50_000, 1_000_000} {
		if n > 50_000 && testing.Short() {
			continue // 2 GB
		}
		b.Run(fmt.Sprintf("%d_series", n), func(b *testing.B) {
			stream := newStream(n)
			free := make(chan *Batch, 4)
			for range cap(free) {
				free <- new(Batch)
			}
			s := warmed(stream, func(b *Batch) { free <- b })
			for _, order := range []struct {
				name string
				load func(*Batch)
			}{{"interleaved", stream.load}, {"hot", stream.loadHot}} {
				b.Run(order.name+"/stages", func(b *testing.B) { benchStages(b, s, stream, order.load, free) })
				b.Run(order.name+"/whole", func(b *testing.B) { benchWhole(b, s, stream, order.load, free) })
			}
		})
	}
}

func benchStages(b *testing.B, s *stages, stream *stream, load func(*Batch), free chan *Batch) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	steps := s.steps()
	b.ReportAllocs()
	for b.Loop() {
		batch := <-free
		load(batch)
		for i := range steps {
			before := threadTime()
			steps[i].apply(batch)
			steps[i].spent += threadTime() - before
		}
	}
	readings, total := float64(b.N*stream.readings), time.Duration(0)
	for i := range steps {
		b.ReportMetric(float64(steps[i].spent)/readings, steps[i].name+"-ns/reading")
		total += steps[i].spent
	}
	b.ReportMetric(float64(total)/readings, "all-ns/reading")
}

func benchWhole(b *testing.B, s *stages, stream *stream, load func(*Batch), free chan *Batch) {
	source := rx.NewSource[Batch](0)
	done := s.start(source, func(f rx.Fault[Batch]) { panic(f.Value) })
	b.ReportAllocs()
	before := processTime()
	for b.Loop() {
		batch := <-free
		load(batch)
		_ = source.Send(context.Background(), batch)
	}
	readings := float64(b.N * stream.readings)
	b.ReportMetric(float64(processTime()-before)/readings, "cpu-ns/reading")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/readings, "ns/reading")
	source.Close()
	<-done
}

// BenchmarkCheckpoint encodes the state of a partition of which everything has changed, for which the graph stands still.
func BenchmarkCheckpoint(b *testing.B) {
	const n = 100_000
	stream := newStream(n)
	s := warmed(stream, func(*Batch) {})
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	steps, batch, c := s.steps(), new(Batch), new(checkpoint)
	change := func() *Batch {
		for range n / stream.readings {
			stream.load(batch)
			for i := range steps {
				steps[i].apply(batch)
			}
		}
		last := &Batch{kind: barrier}
		s.summarise.apply(last)
		s.emit.apply(last)
		return last
	}
	c.take(change(), s, stream.offset, kafka.FenceHeaders(1)) // the first one makes room
	var spent time.Duration
	size, allocated := 0, uint64(0)
	for b.Loop() {
		last := change()
		before := mallocs()
		started := threadTime()
		c.take(last, s, stream.offset, kafka.FenceHeaders(1))
		spent += threadTime() - started
		allocated += mallocs() - before
		size = 0
		for _, r := range c.state {
			size += len(r.Key) + len(r.Value)
		}
	}
	b.ReportMetric(float64(spent.Nanoseconds())/float64(b.N*n), "ns/series")
	b.ReportMetric(float64(spent.Milliseconds())/float64(b.N), "pause-cpu-ms")
	b.ReportMetric(float64(allocated)/float64(b.N*n), "allocs/series")
	b.ReportMetric(float64(size)/n, "B-state/series")
}

func mallocs() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.Mallocs
}

// BenchmarkRestore reads the state of a partition with full windows back from the embedded broker.
func BenchmarkRestore(b *testing.B) {
	const n = 100_000
	w := newWorld(b, 1)
	for d := range n / benchMetrics {
		frame := telemetry.Batch{Device: fmt.Sprintf("plant%d/line%d/press%d", d%7, d%31, d), Ingest: epoch}
		for i := range windowRounds * benchMetrics {
			frame.Readings = append(frame.Readings, telemetry.Reading{
				Metric: fmt.Sprintf("metric%d", i%benchMetrics), Time: epoch + int64(i/benchMetrics)*1e6, Value: float64(20 + i*d%13),
			})
		}
		record := kafka.Record{Key: []byte(frame.Device), Value: wire.AppendReadingBatch(nil, &frame)}
		if err := w.producer.Produce(context.Background(), wire.TopicReadings, 0, []kafka.Record{record}, nil); err != nil {
			b.Fatal(err)
		}
	}
	if err := w.producer.Flush(w.context()); err != nil {
		b.Fatal(err)
	}
	w.drain(windowRounds * n)
	p := w.pipeline(keepingAll)
	var spent, used time.Duration
	for b.Loop() {
		o := p.newOwner(0, -1, nil)
		f, err := o.acquire(context.Background())
		if err != nil {
			b.Fatal(err)
		}
		started, before := time.Now(), processTime()
		from, err := o.restore(context.Background(), f)
		if err != nil {
			b.Fatal(err)
		}
		spent += time.Since(started)
		used += processTime() - before
		if from.registry.seriesN != n {
			b.Fatalf("%d series restored", from.registry.seriesN)
		}
		o.closeProducer()
	}
	b.ReportMetric(float64(used.Nanoseconds())/float64(b.N*n), "cpu-ns/series")
	b.ReportMetric(float64(spent.Milliseconds())/float64(b.N), "restore-ms")
}

// BenchmarkMemory tells what a series takes once its window is full: all of it, and what each part of the struct is
// without what it points to.
func BenchmarkMemory(b *testing.B) {
	const n = 50_000
	before := heapBytes()
	stream := newStream(n)
	of := heapBytes() - before
	s := warmed(stream, func(*Batch) {})
	size := heapBytes() - before - of
	for b.Loop() {
	}
	b.ReportMetric(float64(size)/n, "B/series")
	parts := reflect.TypeFor[series]()
	b.ReportMetric(float64(parts.Size()), "B-struct")
	for i := range parts.NumField() {
		if part := parts.Field(i); part.Type.Size() > 16 {
			b.ReportMetric(float64(part.Type.Size()), "B-"+part.Name)
		}
	}
	runtime.KeepAlive(s)
	runtime.KeepAlive(stream)
}

func heapBytes() int64 {
	runtime.GC()
	runtime.GC() // what the first has only found unused
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
