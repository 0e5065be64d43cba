package pipeline

import (
	"context"
	"errors"
	"fmt"
	"time"

	"weir/kafka"
	"weir/wire"
)

// load copies the records of a fetch, whose bytes are valid only until the next one.
func (b *Batch) load(records []kafka.Record, next int64) {
	size := 0
	for i := range records {
		size += len(records[i].Key) + len(records[i].Value)
	}
	if cap(b.raw) < size {
		b.raw = make([]byte, 0, size)
	}
	keep := func(bytes []byte) []byte {
		start := len(b.raw)
		b.raw = append(b.raw, bytes...)
		return b.raw[start:len(b.raw):len(b.raw)]
	}
	for i := range records {
		r := &records[i]
		b.records = append(b.records, record{offset: r.Offset, key: keep(r.Key), value: keep(r.Value), verdict: fresh})
	}
	b.arrived = time.Now().UnixMicro()
	b.next = next
}

// fetch reads the partition from position on and hands batches to the driver, until ctx ends. While all
// batches are in flight it does not fetch: that is the back-pressure into Kafka.
func (o *owner) fetch(ctx context.Context, position int64, fetched chan<- *Batch) error {
	tail := o.client.NewTail(kafka.TailOptions{
		Topic: wire.TopicReadings, Partition: o.partition, Offset: position,
		MaxBytes: o.config.FetchBytes, MaxWait: o.config.FetchWait,
	})
	defer func() { _ = tail.Close() }()
	for {
		var b *Batch
		select {
		case b = <-o.free:
		case <-ctx.Done():
			return nil
		}
		for len(b.records) == 0 {
			err := o.fill(ctx, tail, b)
			if ctx.Err() != nil {
				return nil
			}
			if err != nil {
				return err
			}
		}
		select {
		case fetched <- b:
		case <-ctx.Done():
			return nil
		}
	}
}

// fill loads b with the next fetch. A part of the log that cannot be read, twice and over two connections, is
// loaded as one record for the dead letters, and passed over: or it would stop the partition for good.
func (o *owner) fill(ctx context.Context, tail *kafka.Tail, b *Batch) error {
	f, err := tail.Next(ctx)
	var corrupt *kafka.CorruptError
	if errors.As(err, &corrupt) {
		f, err = tail.Next(ctx)
	}
	switch {
	case errors.As(err, &corrupt):
		o.log.Error("log cannot be read, going on behind", "first", corrupt.First, "next", corrupt.Next, "error", corrupt.Cause)
		o.m.lost.Add(int(corrupt.Next - corrupt.First))
		tail.SeekTo(corrupt.Next)
		b.loadCorrupt(corrupt)
		o.fetched(b, corrupt.Next, nil)
		return nil
	case err != nil:
		return err
	}
	o.gauges.lag.Set(float64(f.HighWatermark - tail.Offset()))
	b.load(f.Records, tail.Offset())
	o.fetched(b, f.HighWatermark, f.Records)
	return nil
}

// fetched tells the lag about a batch. It is counted before it is handed on.
func (o *owner) fetched(b *Batch, end int64, records []kafka.Record) {
	var first, newest int64
	if n := len(records); n > 0 {
		first, newest = records[0].Time, records[n-1].Time
	}
	o.lag.fetched(b, end, first, newest)
}

// loadCorrupt loads what stands for records that cannot be read.
func (b *Batch) loadCorrupt(corrupt *kafka.CorruptError) {
	b.load([]kafka.Record{{Offset: corrupt.First}}, corrupt.Next)
	b.records[0].refuse(&fault{
		code:    wire.CodeRecordCorrupt,
		message: fmt.Sprintf("offsets [%d, %d): %v", corrupt.First, corrupt.Next, corrupt.Cause),
	})
}
