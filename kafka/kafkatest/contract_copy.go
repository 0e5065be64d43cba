package kafkatest

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"weir/kafka"
)

func (s *suite) copyForward() {
	trimmer, ok := s.cluster.(kafka.Trimmer)
	if !ok {
		s.Skip("the broker compacts by itself")
	}
	s.sub("the newest value of every key survives and the rest goes", func(s *suite) { s.copyKeepsNewest(trimmer) })
	s.sub("a failed trim changes nothing that is read", func(s *suite) { s.copyWithoutTrim() })
}

// compacted returns a topic with keys overwritten and deleted on both sides of the cut, and its content.
func (s *suite) compacted(c *kafka.Client, p *kafka.Producer) (topic string, cut int64) {
	topic = s.topic(c, 1, func(spec *kafka.TopicSpec) { spec.Compact = true })
	produce := func(recs ...kafka.Record) int64 {
		base, err := p.ProduceSync(s.context(), topic, 0, recs)
		s.ok(err)
		return base
	}
	tombstone := func(key string) kafka.Record { return kafka.Record{Key: []byte(key)} }
	produce(record("busy", "of a former owner"))
	fence := produce(kafka.FenceRecord(kafka.OwnOffset))
	zombie := record("idle", "zombie's")
	zombie.Headers = kafka.FenceHeaders(fence - 1)
	for i := range 100 {
		produce(record("busy", fmt.Sprint(i)), record(fmt.Sprint("key", i), "old"))
	}
	produce(record("idle", "kept"), record("deleted", "x"), record("deleted later", "x"), record("again", "x"), zombie)
	produce(tombstone("deleted"), tombstone("again"))
	cut = produce(record("busy", "newest"), tombstone("deleted later"), record("again", "new"))
	return topic, cut
}

// content is what a reader of a compacted topic makes of it.
func (s *suite) content(c *kafka.Client, topic string) map[string]string {
	out := make(map[string]string)
	var filter kafka.FenceFilter
	for _, r := range s.read(c, topic, 0) {
		switch {
		case !filter.Accept(&r):
		case r.Value == nil:
			delete(out, string(r.Key))
		default:
			out[string(r.Key)] = string(r.Value)
		}
	}
	return out
}

func (s *suite) copyKeepsNewest(trimmer kafka.Trimmer) {
	c := s.client()
	p := s.fenced(c, s.name())
	topic, cut := s.compacted(c, p)
	before := s.content(c, topic)
	if before["idle"] != "kept" || before["busy"] != "newest" {
		s.Fatalf("content before: %v", before)
	}
	opts := kafka.CopyForwardOptions{
		Topic: topic, Cut: cut, Producer: p, Headers: kafka.FenceHeaders(7), Trimmer: trimmer,
	}
	result, err := c.CopyForward(s.context(), opts)
	s.ok(err)
	if result.Copied != 101 || int64(result.Read) != cut || result.First != cut {
		s.Fatalf("result %+v, cut %d", result, cut)
	}
	if after := s.content(c, topic); !maps.Equal(before, after) {
		s.Fatalf("content after: %v, before: %v", after, before)
	}
	records := s.read(c, topic, 0)
	if records[0].Offset != cut {
		s.Fatalf("log begins at %d, cut at %d", records[0].Offset, cut)
	}
	copied := records[len(records)-1]
	if n, ok := kafka.FenceNumber(&copied); !ok || n != 7 || len(copied.Headers) != 1 {
		s.Fatalf("a copy carries %v", copied.Headers)
	}
	// A second round, over everything, lets the last tombstones vanish.
	opts.Cut = 0
	_, err = c.CopyForward(s.context(), opts)
	s.ok(err)
	records = s.read(c, topic, 0)
	if after := s.content(c, topic); !maps.Equal(before, after) || len(records) != len(before) {
		s.Fatalf("%d records for %d keys: %v", len(records), len(before), after)
	}
	if slices.ContainsFunc(records, func(r kafka.Record) bool { return r.Value == nil }) {
		s.Fatal("a tombstone is left")
	}
}

type noTrimmer struct{}

func (noTrimmer) DeleteRecords(context.Context, string, int, int64) error { return errCut }

func (s *suite) copyWithoutTrim() {
	c := s.client()
	p := s.fenced(c, s.name())
	topic, cut := s.compacted(c, p)
	before := s.content(c, topic)
	for range 2 {
		_, err := c.CopyForward(s.context(), kafka.CopyForwardOptions{
			Topic: topic, Cut: cut, Producer: p, Headers: kafka.FenceHeaders(7), Trimmer: noTrimmer{},
		})
		s.isError(err, errCut)
		if after := s.content(c, topic); !maps.Equal(before, after) {
			s.Fatalf("content after: %v, before: %v", after, before)
		}
	}
}
