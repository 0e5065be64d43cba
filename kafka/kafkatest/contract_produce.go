package kafkatest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"weir/kafka"
)

func (s *suite) produce() {
	s.sub("acknowledgements carry offsets in order", (*suite).acknowledgementsInOrder)
	s.sub("nil and empty and headers come back as they were", (*suite).roundTrip)
	s.sub("records of a call stay together", (*suite).callsStayTogether)
	s.sub("big records pass and bigger ones are refused", (*suite).bigRecords)
	s.sub("a full buffer blocks until context ends", (*suite).backPressure)
	s.sub("close loses nothing", (*suite).closeFlushes)
	s.sub("linger bounds the requests", (*suite).lingerBoundsRequests)
}

// outcomes collects what done functions are told.
type outcomes struct {
	mu    sync.Mutex
	bases []int64
	errs  []error
}

func (o *outcomes) done(base int64, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.bases, o.errs = append(o.bases, base), append(o.errs, err)
}

func (s *suite) acknowledgementsInOrder() {
	c := s.client()
	topic := s.topic(c, 2)
	p := s.producer(c, kafka.ProducerOptions{Linger: 2 * time.Millisecond})
	var got [2]outcomes
	for i := range 2000 {
		partition := i % 2
		recs := []kafka.Record{record("k", fmt.Sprint(i)), record("k", "second")}
		s.ok(p.Produce(s.context(), topic, partition, recs, got[partition].done))
	}
	s.ok(p.Flush(s.context()))
	for partition := range got {
		o := &got[partition]
		if len(o.bases) != 1000 {
			s.Fatalf("%d acknowledgements after Flush", len(o.bases))
		}
		for i, base := range o.bases {
			if o.errs[i] != nil || base != int64(2*i) {
				s.Fatalf("acknowledgement %d: offset %d, %v", i, base, o.errs[i])
			}
		}
		for i, r := range s.read(c, topic, partition) {
			if r.Offset != int64(i) || i%2 == 0 && string(r.Value) != fmt.Sprint(i+partition) {
				s.Fatalf("record %d: offset %d, value %s", i, r.Offset, r.Value)
			}
		}
	}
}

func (s *suite) roundTrip() {
	c := s.client()
	topic := s.topic(c, 1)
	p := s.producer(c, kafka.ProducerOptions{})
	now := time.Now().UnixMilli()
	want := []kafka.Record{
		{Time: now, Key: []byte("k"), Value: []byte("v")},
		{Time: now - 5000, Key: nil, Value: nil},
		{Time: now + 1, Key: []byte{}, Value: []byte{}},
		{Time: now, Key: []byte("tombstone"), Value: nil, Headers: []kafka.Header{{Key: "a", Value: []byte("1")}, {Key: "b", Value: nil}}},
		{Time: now, Value: []byte{0, 255}, Headers: []kafka.Header{{Key: "", Value: []byte{}}}},
	}
	base, err := p.ProduceSync(s.context(), topic, 0, want)
	s.ok(err)
	if base != 0 {
		s.Fatalf("base offset %d", base)
	}
	got := s.read(c, topic, 0)
	for i := range want {
		want[i].Offset = int64(i)
	}
	if !reflect.DeepEqual(got, want) {
		s.Fatalf("read %+v\nwant %+v", got, want)
	}
}

func (s *suite) callsStayTogether() {
	c := s.client()
	topic := s.topic(c, 1)
	p := s.producer(c, kafka.ProducerOptions{MaxBatchBytes: 4 << 10})
	var got outcomes
	value := bytes.Repeat([]byte("x"), 1000)
	for range 50 {
		s.ok(p.Produce(s.context(), topic, 0, []kafka.Record{{Value: value}, {Value: value}, {Value: value}}, got.done))
	}
	s.ok(p.Flush(s.context()))
	for i, base := range got.bases {
		if got.errs[i] != nil || base != int64(3*i) {
			s.Fatalf("call %d: offset %d, %v", i, base, got.errs[i])
		}
	}
	if n := len(s.read(c, topic, 0)); n != 150 {
		s.Fatalf("%d records", n)
	}
}

func (s *suite) bigRecords() {
	c := s.client()
	topic := s.topic(c, 1)
	p := s.producer(c, kafka.ProducerOptions{})
	big := bytes.Repeat([]byte("0123456789abcdef"), 3<<16) // 3 MiB
	_, err := p.ProduceSync(s.context(), topic, 0, []kafka.Record{{Value: big}, {Value: []byte("small")}})
	s.ok(err)
	_, err = p.ProduceSync(s.context(), topic, 0, []kafka.Record{{Value: make([]byte, kafka.MaxMessageBytes)}})
	s.isError(err, kafka.ErrTooLarge)
	_, err = p.ProduceSync(s.context(), topic, 0, []kafka.Record{{Value: []byte("after")}})
	s.ok(err)
	got := s.read(c, topic, 0)
	if len(got) != 3 || !bytes.Equal(got[0].Value, big) || string(got[2].Value) != "after" {
		s.Fatalf("read %d records", len(got))
	}
}

func (s *suite) backPressure() {
	var faults Faults
	c := s.client(faults.Apply)
	topic := s.topic(c, 1)
	p := s.producer(c, kafka.ProducerOptions{MaxBufferedBytes: kafka.MaxMessageBytes})
	_, err := p.ProduceSync(s.context(), topic, 0, []kafka.Record{record("", "before")})
	s.ok(err)

	faults.SetDown(true)
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	accepted := 1
	for {
		if err = p.Produce(ctx, topic, 0, []kafka.Record{{Value: make([]byte, 64<<10)}}, nil); err != nil {
			break
		}
		accepted++
	}
	s.isError(err, context.DeadlineExceeded)
	if accepted < 30 || accepted > 65 {
		s.Fatalf("%d calls of 64 KiB accepted into 4 MiB", accepted)
	}
	faults.SetDown(false)
	s.ok(p.Flush(s.context()))
	if n := len(s.read(c, topic, 0)); n != accepted {
		s.Fatalf("%d records of %d accepted", n, accepted)
	}
}

func (s *suite) closeFlushes() {
	c := s.client()
	topic := s.topic(c, 4)
	p := s.producer(c, kafka.ProducerOptions{Linger: time.Second})
	for i := range 400 {
		s.ok(p.Produce(s.context(), topic, i%4, []kafka.Record{record("", "v")}, nil))
	}
	began := time.Now()
	s.ok(p.Close())
	if d := time.Since(began); d > 900*time.Millisecond {
		s.Errorf("Close lingered: %v", d)
	}
	for partition := range 4 {
		if n := len(s.read(c, topic, partition)); n != 100 {
			s.Errorf("partition %d: %d records", partition, n)
		}
	}
	s.isError(p.Produce(s.context(), topic, 0, []kafka.Record{{}}, nil), kafka.ErrClosed)
}

func (s *suite) lingerBoundsRequests() {
	var faults Faults
	c := s.client(faults.Apply)
	topic := s.topic(c, 1)
	p := s.producer(c, kafka.ProducerOptions{Linger: 50 * time.Millisecond})
	began := time.Now()
	_, err := p.ProduceSync(s.context(), topic, 0, []kafka.Record{record("", "first")})
	s.ok(err)
	for range 100 {
		_, err := p.ProduceSync(s.context(), topic, 0, []kafka.Record{record("", "v")})
		s.ok(err)
		if time.Since(began) > 400*time.Millisecond {
			break
		}
	}
	most := int(time.Since(began)/(50*time.Millisecond)) + 1
	if n := faults.Requests(); n > most {
		s.Errorf("%d requests in %v", n, time.Since(began))
	}
}

func (s *suite) faults() {
	s.sub("a lost answer makes no duplicate", (*suite).lostAnswer)
	s.sub("lost answers under load keep order and lose nothing", (*suite).lostAnswersUnderLoad)
	s.sub("an unreachable broker fails calls in time", (*suite).unreachable)
}

func (s *suite) lostAnswer() {
	var faults Faults
	c := s.client(faults.Apply)
	topic := s.topic(c, 1)
	p := s.producer(c, kafka.ProducerOptions{})
	for i := range 3 {
		faults.LoseAnswers(2)
		base, err := p.ProduceSync(s.context(), topic, 0, []kafka.Record{record("a", "1"), record("b", "2")})
		s.ok(err)
		if base != int64(2*i) || faults.Left() != 0 {
			s.Fatalf("offset %d, %d answers not lost", base, faults.Left())
		}
	}
	if got := values(s.read(c, topic, 0)); !slices.Equal(got, []string{"1", "2", "1", "2", "1", "2"}) {
		s.Fatalf("read %v", got)
	}
}

func (s *suite) lostAnswersUnderLoad() {
	var faults Faults
	c := s.client(faults.Apply)
	topic := s.topic(c, 2)
	p := s.producer(c, kafka.ProducerOptions{Linger: time.Millisecond, MaxBatchBytes: 2 << 10})
	var got [2]outcomes
	for i := range 1000 {
		if i%100 == 50 {
			faults.LoseAnswers(1)
		}
		s.ok(p.Produce(s.context(), topic, i%2, []kafka.Record{record("k", fmt.Sprint(i))}, got[i%2].done))
		if i%100 == 99 {
			s.ok(p.Flush(s.context()))
		}
	}
	for partition := range got {
		records := s.read(c, topic, partition)
		if len(records) != 500 {
			s.Fatalf("partition %d: %d records", partition, len(records))
		}
		for i := range records {
			if string(records[i].Value) != fmt.Sprint(2*i+partition) || got[partition].bases[i] != int64(i) {
				s.Fatalf("partition %d, record %d: %s, acknowledged as %d", partition, i, records[i].Value, got[partition].bases[i])
			}
		}
	}
}

func (s *suite) unreachable() {
	var faults Faults
	c := s.client(faults.Apply)
	topic := s.topic(c, 1)
	p := s.producer(c, kafka.ProducerOptions{DeliveryTimeout: time.Second, MaxBatchBytes: 256})
	faults.SetDown(true)
	began := time.Now()
	var lost outcomes
	for range 20 {
		s.ok(p.Produce(s.context(), topic, 0, []kafka.Record{{Value: make([]byte, 200)}}, lost.done))
	}
	s.ok(p.Flush(s.context()))
	if d := time.Since(began); d > 15*time.Second { // one after the other would take 20
		s.Errorf("20 batches failed in %v, the timeout is a second", d)
	}
	for _, err := range lost.errs {
		s.isError(err, kafka.ErrTimeout)
		if reason := kafka.Classify(err); reason != kafka.ReasonTimeout && reason != kafka.ReasonInDoubt {
			s.Fatalf("classified as %s", reason)
		}
	}
	faults.SetDown(false)
	// A slow machine may have the next given up, too: they have other names until one is not.
	base, value, err := int64(-1), "", error(nil)
	for n := range 30 {
		value = fmt.Sprint("stored ", n)
		if base, err = p.ProduceSync(s.context(), topic, 0, []kafka.Record{record("", value)}); !errors.Is(err, kafka.ErrTimeout) {
			break
		}
	}
	s.ok(err)
	got := values(s.read(c, topic, 0))
	if int(base) != len(got)-1 || got[base] != value || !strings.HasPrefix(got[0], "stored ") {
		s.Fatalf("offset %d, read %q", base, got)
	}
}
