package kafkatest

import (
	"fmt"
	"time"

	"weir/kafka"
)

// restart stops the broker while records are produced and read.
func (s *suite) restart() {
	restarter, ok := s.cluster.(Restarter)
	if !ok {
		s.Skip("the broker cannot be restarted")
	}
	c := s.client()
	topic := s.topic(c, 1)
	p := s.producer(c, kafka.ProducerOptions{Linger: time.Millisecond})
	t := s.newTail(c, topic, kafka.FirstOffset)
	const n = 3000
	var acknowledged outcomes
	restarted := make(chan struct{})
	for i := range n {
		if i == n/2 {
			go func() {
				defer close(restarted)
				restarter.Restart(s)
			}()
		}
		s.ok(p.Produce(s.context(), topic, 0, []kafka.Record{record("k", fmt.Sprint(i))}, acknowledged.done))
		if i%50 == 0 {
			<-time.After(time.Millisecond) // spread over the restart
		}
	}
	<-restarted
	s.ok(p.Flush(s.context()))
	for i, err := range acknowledged.errs {
		if err != nil {
			s.Fatalf("call %d: %v", i, err)
		}
	}
	for i, value := range s.next(t, n) {
		if value != fmt.Sprint(i) {
			s.Fatalf("record %d is %s", i, value)
		}
	}
	ranges, err := c.Offsets(s.context(), topic)
	s.ok(err)
	if ranges[0].End != n {
		s.Fatalf("%d records stored of %d", ranges[0].End, n)
	}
}
