package kafkatest

import (
	"strings"

	"weir/kafka"
)

func (s *suite) topics() {
	c := s.client()
	specs := []kafka.TopicSpec{
		{Name: s.name(), Partitions: 3},
		{Name: s.name(), Partitions: 2, Compact: true},
	}
	s.ok(c.EnsureTopics(s.context(), specs))

	s.sub("creating again is no error", func(s *suite) { s.ok(c.EnsureTopics(s.context(), specs)) })
	s.sub("partitions are counted", func(s *suite) {
		n, err := c.Partitions(s.context(), specs[0].Name)
		s.ok(err)
		if n != 3 {
			s.Fatalf("%d partitions, want 3", n)
		}
	})
	s.sub("another number of partitions is refused by name", func(s *suite) {
		err := c.EnsureTopics(s.context(), []kafka.TopicSpec{{Name: specs[0].Name, Partitions: 4}})
		s.isError(err, kafka.ErrPartitionCount)
		if !strings.Contains(err.Error(), specs[0].Name) || kafka.Retriable(err) {
			s.Fatalf("error %q does not name the topic, or is retriable", err)
		}
	})
}

func (s *suite) offsets() {
	c := s.client()
	topic := s.topic(c, 2)
	p := s.producer(c, kafka.ProducerOptions{})
	_, err := p.ProduceSync(s.context(), topic, 1, []kafka.Record{record("a", "1"), record("b", "2")})
	s.ok(err)

	s.sub("offsets span what was written", func(s *suite) {
		ranges, err := c.Offsets(s.context(), topic)
		s.ok(err)
		if len(ranges) != 2 || ranges[0] != (kafka.OffsetRange{}) || ranges[1] != (kafka.OffsetRange{End: 2}) {
			s.Fatalf("ranges %v", ranges)
		}
	})
	s.sub("a group that never committed is behind by all", func(s *suite) {
		lag, err := c.Lag(s.context(), s.name(), topic)
		s.ok(err)
		if len(lag) != 2 || lag[0] != 0 || lag[1] != 2 {
			s.Fatalf("lag %v", lag)
		}
	})
	s.sub("a group that never committed has no offsets", func(s *suite) {
		committed, err := c.Committed(s.context(), s.name(), topic, 2)
		s.ok(err)
		if len(committed) != 2 || committed[0] != -1 || committed[1] != -1 {
			s.Fatalf("committed %v", committed)
		}
	})
}
