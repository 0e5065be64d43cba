package table

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"weir/kafka"
	"weir/kafka/embedded"
)

func TestATableGoesOnBehindDamage(t *testing.T) {
	broker, err := embedded.Open(embedded.Options{Config: embedded.DefaultConfig()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = broker.Close() })
	client, err := kafka.New(broker.Options())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	tb := New(Options{Client: client, Topic: "t", Partitions: 1})
	tail := client.NewTail(kafka.TailOptions{Topic: "t", Partition: 0, Offset: 3})
	defer func() { _ = tail.Close() }()
	tb.recover(t.Context(), tail, 0, &kafka.CorruptError{First: 3, Next: 5, Cause: errors.New("checksum")})
	if tail.Offset() != 5 {
		t.Errorf("it goes on at %d, want 5", tail.Offset())
	}
	if n := tb.lost.Get(); n != 2 {
		t.Errorf("%d records are counted as lost, want 2", n)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := tb.await(ctx, 0, 4); err != nil {
		t.Errorf("whoever waits for what was lost waits for ever: %v", err)
	}
	tb.recover(t.Context(), tail, 0, &kafka.ErrOffsetOutOfRange{})
	if tail.Offset() != kafka.FirstOffset {
		t.Errorf("behind the retention it goes on at %d", tail.Offset())
	}
}

func TestAWriterStopsWaitingForARewriteWhenItsContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tb := New(Options{Topic: "t", Partitions: 1})
		if err := tb.writing.Acquire(t.Context(), alone); err != nil { // as compact holds it
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var refused error
		tb.PutAsync(ctx, "k", nil, func(err error) { refused = err })
		if !errors.Is(refused, context.DeadlineExceeded) {
			t.Errorf("PutAsync: %v", refused)
		}
		if err := tb.Put(ctx, "k", nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Put: %v", err)
		}
	})
}
