package pipeline

import (
	"context"
	"testing"
	"time"

	"weir/kafka"
	"weir/wire"
)

// benchOwner runs an owner of partition 0 with the default configuration until the benchmark ends.
func (w *world) benchOwner(change func(*Config)) {
	p := w.pipeline(func(o *Options) {
		o.Config = DefaultConfig()
		change(&o.Config)
	})
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- p.newOwner(0, -1, func(context.Context, int64) error { return nil }).run(ctx)
	}()
	w.t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			w.t.Error(err)
		}
	})
}

// BenchmarkBacklog is how fast a partition of the embedded broker is read, applied and emitted: a million
// readings of a thousand series.
func BenchmarkBacklog(b *testing.B) {
	const batches = 2000
	readings := 0
	for b.Loop() {
		b.StopTimer()
		w := newWorld(b, 1)
		stream := newStream(1000)
		for range batches {
			w.sendBatch(stream)
		}
		if err := w.producer.Flush(w.context()); err != nil {
			b.Fatal(err)
		}
		readings += batches * stream.readings
		b.StartTimer()
		w.drain(batches * stream.readings)
	}
	b.ReportMetric(float64(readings)/b.Elapsed().Seconds()/1e6, "M-readings/s")
}

func (w *world) sendBatch(s *stream) {
	batch := new(Batch)
	s.load(batch)
	records := make([]kafka.Record, len(batch.records))
	for i := range records {
		records[i] = kafka.Record{Key: batch.records[i].key, Value: batch.records[i].value}
	}
	if err := w.producer.Produce(w.context(), wire.TopicReadings, 0, records, nil); err != nil {
		w.t.Fatal(err)
	}
}

// drain runs an owner until it has read everything, and lets it write its last checkpoint.
func (w *world) drain(readings int) {
	p := w.pipeline(keepingAll)
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	ended := make(chan error, 1)
	go func() {
		ended <- p.newOwner(0, -1, func(context.Context, int64) error { return nil }).run(ctx)
	}()
	w.await("all is read", func() bool { return p.m.readings.Get() >= uint64(readings) })
	stop()
	if err := <-ended; err != nil {
		w.t.Error(err)
	}
}

// keepingAll is the default without eviction: readings of the epoch's time are of devices that were not heard of for years.
func keepingAll(o *Options) {
	o.Config = DefaultConfig()
	o.Config.EvictAfter, o.Config.DropAfter = 0, 0
}

// BenchmarkIdleReading is the way of a single reading from weir.readings to weir.updates, both ends at a client
// of the embedded broker.
func BenchmarkIdleReading(b *testing.B) {
	w := newWorld(b, 1)
	w.benchOwner(func(c *Config) { c.FlushPeriod = time.Microsecond })
	tail := w.client.NewTail(kafka.TailOptions{Topic: wire.TopicUpdates, Offset: kafka.FirstOffset})
	defer func() { _ = tail.Close() }()
	updates := func() (n int) {
		f, err := tail.Next(context.Background())
		if err != nil {
			b.Fatal(err)
		}
		for i := range f.Records {
			if string(f.Records[i].Key) != kafka.FenceKey {
				n++
			}
		}
		return n
	}
	t := epoch
	for b.Loop() {
		t += 1000
		w.send(oneReading("plant/a", "x", t, 1))
		for n := 0; n < 1; n = updates() {
		}
	}
}
