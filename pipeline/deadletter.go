package pipeline

import (
	"bytes"
	"time"

	"weir/kafka"
	"weir/wire"
)

// maxBuried bounds the dead letters, in bytes, that wait for the next checkpoint.
const maxBuried = 1 << 20

// deadLetters waits for the next checkpoint, which writes them before it commits: so a replay, which starts
// at a commit, does not bury twice. Only when too many wait they are written early, and may be written
// again by a successor.
type deadLetters struct {
	records []kafka.Record
	bytes   int
}

func (d *deadLetters) take() []kafka.Record {
	records := d.records
	*d = deadLetters{}
	return records
}

// bury takes the records of b that cannot be applied.
func (s *emit) bury(b *Batch) error {
	for i := range b.records {
		r := &b.records[i]
		if r.fault == nil {
			continue
		}
		letter := wire.DeadLetter{
			Code:      r.fault.code,
			Path:      r.fault.path,
			Message:   r.fault.message,
			Device:    string(r.key),
			Time:      time.Now().UnixMicro(),
			Raw:       r.value,
			Stage:     "pipeline",
			Topic:     wire.TopicReadings,
			Partition: int32(s.partition),
			Offset:    r.offset,
		}
		value := wire.AppendDeadLetter(nil, &letter)
		s.dead.records = append(s.dead.records, kafka.Record{Key: bytes.Clone(r.key), Value: value, Headers: s.headers})
		s.dead.bytes += len(value)
		s.m.deadLetters.Inc()
	}
	if s.dead.bytes < maxBuried {
		return nil
	}
	for _, record := range s.dead.take() {
		err := s.producer.Produce(s.ctx, wire.TopicDeadLetters, s.partition, []kafka.Record{record}, func(_ int64, err error) {
			if err != nil {
				s.fail(err)
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}
