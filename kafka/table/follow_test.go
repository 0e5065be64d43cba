package table

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"weir/kafka"
	"weir/kafka/embedded"
	"weir/kafka/kafkatest"
)

// cluster is an embedded broker with the topic t of one partition.
type cluster struct {
	broker   *embedded.Broker
	client   *kafka.Client
	producer *kafka.Producer
}

func start(t *testing.T) *cluster {
	t.Helper()
	b := kafkatest.InMemory(t, kafka.TopicSpec{Name: "t", Partitions: 1, Compact: true})
	return &cluster{b.Broker, b.Client, b.Producer}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestFollowGoesOnBehindDamage(t *testing.T) {
	c := start(t)
	tail := c.client.NewTail(kafka.TailOptions{Topic: "t", Partition: 0, Offset: 3})
	defer func() { _ = tail.Close() }()
	var lost, behind int64
	o := FollowOptions{Lost: func(n, next int64, _ error) { lost, behind = n, next }}
	o.recover(t.Context(), tail, &kafka.CorruptError{First: 3, Next: 5, Cause: errors.New("checksum")})
	if tail.Offset() != 5 || lost != 2 || behind != 5 {
		t.Errorf("it goes on at %d, want 5; %d offsets are told as lost before %d", tail.Offset(), lost, behind)
	}
	o.recover(t.Context(), tail, &kafka.ErrOffsetOutOfRange{})
	if tail.Offset() != kafka.FirstOffset {
		t.Errorf("behind the retention it goes on at %d", tail.Offset())
	}
}

func TestWhatIsLostIsNotWaitedFor(t *testing.T) {
	tb := New(Options{Topic: "t", Partitions: 1})
	tb.passOver(0, 2, 5, errors.New("checksum"))
	if n := tb.lost.Get(); n != 2 {
		t.Errorf("%d records are counted as lost, want 2", n)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := tb.await(ctx, 0, 4); err != nil {
		t.Errorf("whoever waits for what was lost waits for ever: %v", err)
	}
}

func TestFollowLoadsWhatIsThere(t *testing.T) {
	c := start(t)
	var records []kafka.Record
	for i := range 10 {
		records = append(records, kafka.Record{Key: []byte{byte(i)}, Value: []byte("v")})
	}
	_, err := c.producer.ProduceSync(t.Context(), "t", 0, records)
	check(t, err)
	for name, there := range map[string]kafka.OffsetRange{
		"empty": {}, "emptied": {First: 10, End: 10}, "full": {First: 0, End: 10}} {
		ctx, cancel := context.WithCancel(t.Context())
		loaded, applied := 0, int64(0)
		Follow(ctx, FollowOptions{
			Client: c.client, Topic: "t", There: there, MaxWait: 5 * time.Second,
			Loaded: func() { loaded++; cancel() },
			Apply:  func(_ *kafka.Fetch, next int64) { applied = next },
		})
		cancel()
		// What was empty is loaded before anything is read: one more fetch would still be made, and fail.
		if want := there.End - there.First; loaded != 1 || applied != want {
			t.Errorf("%s: loaded %d times, %d applied, want %d", name, loaded, applied, want)
		}
	}
}

func TestARewriteLeavesTheCopiesCounted(t *testing.T) {
	c := start(t)
	tb := New(Options{
		Client: c.client, Producer: c.producer, Topic: "t", Partitions: 1, Trimmer: c.broker, CompactAbove: 1, CompactEvery: time.Hour})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- tb.Run(ctx) }()
	defer func() { cancel(); check(t, <-ended) }()
	<-tb.Ready()
	for i := range 50 {
		check(t, tb.Put(t.Context(), string(rune('a'+i%5)), []byte("value")))
	}
	check(t, tb.compact(t.Context(), 0))
	check(t, tb.Put(t.Context(), "a", []byte("value")))
	tb.mu.RLock()
	defer tb.mu.RUnlock()
	if p := tb.parts[0]; p.records != 6 || p.bytes != 36 || p.live != 5 {
		t.Errorf("%d records of %d bytes and %d keys are counted, want the 5 copies and one more", p.records, p.bytes, p.live)
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
