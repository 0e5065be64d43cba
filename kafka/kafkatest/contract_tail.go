package kafkatest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"weir/kafka"
)

func (s *suite) tail() {
	s.sub("a tail starts at first, end or an offset and follows", (*suite).tailStarts)
	s.sub("a tail survives lost connections", (*suite).tailReconnects)
	s.sub("an empty fetch returns after its wait", (*suite).tailWaits)
	s.sub("context and close end a waiting tail", (*suite).tailEnds)
	s.sub("an offset beyond the end is out of range", (*suite).tailBeyondEnd)
	s.sub("a trimmed offset is out of range", (*suite).tailTrimmed)
	s.sub("reading a range stops at its end", (*suite).readRange)
}

// fill produces values 0 to n-1.
func (s *suite) fill(p *kafka.Producer, topic string, n int) {
	s.Helper()
	for i := range n {
		s.ok(p.Produce(s.context(), topic, 0, []kafka.Record{record("k", fmt.Sprint(i))}, nil))
	}
	s.ok(p.Flush(s.context()))
}

func (s *suite) newTail(c *kafka.Client, topic string, offset int64) *kafka.Tail {
	t := c.NewTail(kafka.TailOptions{Topic: topic, Offset: offset, MaxWait: 200 * time.Millisecond})
	s.Cleanup(func() { _ = t.Close() })
	return t
}

// next returns the values of the next n records.
func (s *suite) next(t *kafka.Tail, n int) (out []string) {
	s.Helper()
	ctx := s.context()
	for len(out) < n {
		f, err := t.Next(ctx)
		s.ok(err)
		out = append(out, values(f.Records)...)
	}
	return out
}

func (s *suite) tailStarts() {
	c := s.client()
	topic := s.topic(c, 1)
	p := s.producer(c, kafka.ProducerOptions{})
	s.fill(p, topic, 10)

	first, middle, end := s.newTail(c, topic, kafka.FirstOffset), s.newTail(c, topic, 7), s.newTail(c, topic, kafka.EndOffset)
	f, err := end.Next(s.context())
	s.ok(err)
	if len(f.Records) != 0 || f.HighWatermark != 10 || f.LogStart != 0 {
		s.Fatalf("tail at the end got %d records, watermark %d, start %d", len(f.Records), f.HighWatermark, f.LogStart)
	}
	if got := s.next(first, 10); got[0] != "0" || len(got) != 10 {
		s.Fatalf("from first: %v", got)
	}
	if got := s.next(middle, 3); !slices.Equal(got, []string{"7", "8", "9"}) {
		s.Fatalf("from 7: %v", got)
	}
	_, err = p.ProduceSync(s.context(), topic, 0, []kafka.Record{record("k", "new")})
	s.ok(err)
	for _, t := range []*kafka.Tail{first, middle, end} {
		if got := s.next(t, 1); !slices.Equal(got, []string{"new"}) || t.Offset() != 11 {
			s.Fatalf("following: %v, then at %d", got, t.Offset())
		}
	}
}

func (s *suite) tailReconnects() {
	var faults Faults
	c := s.client(faults.Apply)
	topic := s.topic(c, 1)
	p := s.producer(c, kafka.ProducerOptions{})
	t := s.newTail(c, topic, kafka.FirstOffset)
	var want []string
	var got []string
	for round := range 5 {
		value := fmt.Sprint(round)
		_, err := p.ProduceSync(s.context(), topic, 0, []kafka.Record{record("k", value)})
		s.ok(err)
		want = append(want, value)
		got = append(got, s.next(t, 1)...)
		faults.Cut()
	}
	if !slices.Equal(got, want) {
		s.Fatalf("read %v, want %v", got, want)
	}
}

func (s *suite) tailWaits() {
	c := s.client()
	t := s.newTail(c, s.topic(c, 1), kafka.FirstOffset)
	_, err := t.Next(s.context()) // connects
	s.ok(err)
	began := time.Now()
	f, err := t.Next(s.context())
	s.ok(err)
	if d := time.Since(began); len(f.Records) != 0 || d < 150*time.Millisecond || d > 5*time.Second {
		s.Fatalf("%d records after %v", len(f.Records), d)
	}
}

func (s *suite) tailEnds() {
	c := s.client()
	t := c.NewTail(kafka.TailOptions{Topic: s.topic(c, 1), MaxWait: time.Minute})
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	_, err := t.Next(ctx)
	s.isError(err, context.DeadlineExceeded)

	ended := make(chan error)
	go func() {
		_, err := t.Next(context.Background())
		ended <- err
	}()
	s.ok(t.Close())
	s.isError(<-ended, kafka.ErrClosed)
	_, err = t.Next(context.Background())
	s.isError(err, kafka.ErrClosed)
}

// outOfRange checks that reading at an offset fails and tells what is there.
func (s *suite) outOfRange(t *kafka.Tail, want kafka.OffsetRange) {
	s.Helper()
	_, err := t.Next(s.context())
	var out *kafka.ErrOffsetOutOfRange
	if !errors.As(err, &out) {
		s.Fatalf("error is %v", err)
	}
	if out.First != want.First || out.End != want.End {
		s.Fatalf("range [%d, %d], want %v", out.First, out.End, want)
	}
	if kafka.Classify(err) != kafka.ReasonOffsetRange || kafka.Retriable(err) {
		s.Fatalf("classified as %s", kafka.Classify(err))
	}
}

func (s *suite) tailBeyondEnd() {
	c := s.client()
	topic := s.topic(c, 1)
	s.fill(s.producer(c, kafka.ProducerOptions{}), topic, 5)
	s.outOfRange(s.newTail(c, topic, 100), kafka.OffsetRange{End: 5})
}

func (s *suite) tailTrimmed() {
	trimmer, ok := s.cluster.(kafka.Trimmer)
	if !ok {
		s.Skip("the broker trims by itself")
	}
	c := s.client()
	topic := s.topic(c, 1)
	s.fill(s.producer(c, kafka.ProducerOptions{MaxBatchBytes: 200}), topic, 10)
	s.ok(trimmer.DeleteRecords(s.context(), topic, 0, 4))
	s.outOfRange(s.newTail(c, topic, 2), kafka.OffsetRange{First: 4, End: 10})
	if got := s.next(s.newTail(c, topic, kafka.FirstOffset), 6); got[0] != "4" {
		s.Fatalf("from first: %v", got)
	}
}

func (s *suite) readRange() {
	c := s.client()
	topic := s.topic(c, 1)
	s.fill(s.producer(c, kafka.ProducerOptions{}), topic, 10)
	var got []string
	collect := func(r *kafka.Record) error {
		got = append(got, string(r.Value))
		return nil
	}
	s.ok(c.ReadRange(s.context(), topic, 0, 3, 6, collect))
	if !slices.Equal(got, []string{"3", "4", "5"}) {
		s.Fatalf("read %v", got)
	}
	got = nil
	s.ok(c.ReadRange(s.context(), topic, 0, kafka.FirstOffset, 0, collect))
	s.ok(c.ReadRange(s.context(), topic, 0, 6, 6, collect))
	if got != nil {
		s.Fatalf("read %v from nothing", got)
	}
	stop := errors.New("enough")
	s.isError(c.ReadRange(s.context(), topic, 0, 0, 10, func(*kafka.Record) error { return stop }), stop)
}
