package kafkatest

import (
	"slices"

	"weir/kafka"
)

func (s *suite) fence() {
	s.sub("a successor fences the former owner", (*suite).successorFences)
	s.sub("a renewed producer goes on and still is fenced", (*suite).renewal)
	s.sub("readers leave out what a fence has ended", (*suite).filter)
}

func (s *suite) fenced(c *kafka.Client, id string) *kafka.Producer {
	s.Helper()
	return s.producer(c, kafka.ProducerOptions{TransactionalID: id})
}

func (s *suite) successorFences() {
	c, id := s.client(), s.name()
	topic := s.topic(c, 2)
	first := s.fenced(c, id)
	_, err := first.ProduceSync(s.context(), topic, 0, []kafka.Record{record("k", "1")})
	s.ok(err)

	second := s.fenced(c, id)
	_, err = second.ProduceSync(s.context(), topic, 0, []kafka.Record{kafka.FenceRecord(kafka.OwnOffset)})
	s.ok(err)
	_, err = first.ProduceSync(s.context(), topic, 0, []kafka.Record{record("k", "late")})
	s.isError(err, kafka.ErrFenced)
	if kafka.Classify(err) != kafka.ReasonFenced || kafka.Retriable(err) {
		s.Fatalf("classified as %s", kafka.Classify(err))
	}
	// Fenced is for ever, and everywhere.
	_, err = first.ProduceSync(s.context(), topic, 1, []kafka.Record{record("k", "late")})
	s.isError(err, kafka.ErrFenced)
	s.isError(first.Renew(s.context()), kafka.ErrFenced)

	_, err = second.ProduceSync(s.context(), topic, 0, []kafka.Record{record("k", "2")})
	s.ok(err)
	got := values(s.read(c, topic, 0))
	if want := []string{"1", "", "2"}; !slices.Equal(got, want) {
		s.Fatalf("read %q, want %q", got, want)
	}
}

func (s *suite) renewal() {
	c, id := s.client(), s.name()
	topic := s.topic(c, 1)
	first := s.fenced(c, id)
	for range 3 {
		_, err := first.ProduceSync(s.context(), topic, 0, []kafka.Record{record("k", "v")})
		s.ok(err)
		s.ok(first.Renew(s.context()))
	}
	_, err := first.ProduceSync(s.context(), topic, 0, []kafka.Record{record("k", "v")})
	s.ok(err)
	second := s.fenced(c, id)
	_, err = second.ProduceSync(s.context(), topic, 0, []kafka.Record{kafka.FenceRecord(kafka.OwnOffset)})
	s.ok(err)
	s.isError(first.Renew(s.context()), kafka.ErrFenced)
	_, err = first.ProduceSync(s.context(), topic, 0, []kafka.Record{record("k", "late")})
	s.isError(err, kafka.ErrFenced)
	_, err = second.ProduceSync(s.context(), topic, 0, []kafka.Record{record("k", "v")})
	s.ok(err)
	if n := len(s.read(c, topic, 0)); n != 6 {
		s.Fatalf("%d records", n)
	}
}

func (s *suite) filter() {
	c := s.client()
	topic := s.topic(c, 1)
	p := s.producer(c, kafka.ProducerOptions{})
	under := func(fence int64, value string) kafka.Record {
		r := record("k", value)
		r.Headers = kafka.FenceHeaders(fence)
		return r
	}
	// Offset 0 defines fence 0, offset 3 fence 3.
	_, err := p.ProduceSync(s.context(), topic, 0, []kafka.Record{
		kafka.FenceRecord(kafka.OwnOffset), under(0, "first owner"), record("k", "nobody's"),
		kafka.FenceRecord(kafka.OwnOffset), under(0, "zombie"), under(3, "second owner"),
	})
	s.ok(err)
	var filter kafka.FenceFilter
	var got []string
	for _, r := range s.read(c, topic, 0) {
		if filter.Accept(&r) {
			got = append(got, string(r.Value))
		}
	}
	if want := []string{"first owner", "nobody's", "second owner"}; !slices.Equal(got, want) {
		s.Fatalf("read %q, want %q", got, want)
	}
}
