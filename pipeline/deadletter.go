package pipeline

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"weir/kafka"
	"weir/wire"
)

// formatOfRecords is how what stands in weir.readings is to be read.
const formatOfRecords = "columns"

// Bounds of dead letters: what is longer is cut, so that one fits into every topic's largest message. A record
// that could not be buried would stop its partition for good.
const (
	maxRaw     = 512 << 10
	maxMessage = 8 << 10
	maxKey     = 1 << 10
	// maxBuried bounds what an outbox holds, in bytes, until the next checkpoint.
	maxBuried = 1 << 20
)

// outbox holds records of a topic that the next checkpoint writes before it commits. A replay, which starts at a
// commit, writes again what its predecessor had written since: a record is there at least once. Only when too many
// wait they are written early; early is the flight of those, which a checkpoint waits for.
type outbox struct {
	topic   string
	records []kafka.Record
	bytes   int
	early   flight
}

func (d *outbox) add(key, value []byte, headers []kafka.Header) {
	d.records = append(d.records, kafka.Record{Key: bytes.Clone(key), Value: value, Headers: headers})
	d.bytes += len(value)
}

func (d *outbox) take() []kafka.Record {
	records := d.records
	d.records, d.bytes = nil, 0
	return records
}

// relieve writes early what an outbox holds, if that is too much.
func (s *emit) relieve(d *outbox) error {
	if d.bytes < maxBuried {
		return nil
	}
	for _, record := range d.take() {
		if err := s.launch(&d.early, d.topic, s.partition, record); err != nil {
			return err
		}
	}
	return nil
}

// bury takes the records of b that cannot be applied.
func (s *emit) bury(b *Batch) error {
	for i := range b.records {
		r := &b.records[i]
		if r.fault == nil {
			continue
		}
		key := r.key[:min(len(r.key), maxKey)]
		value := wire.AppendDeadLetter(nil, s.letter(r, key))
		s.dead.add(key, value, s.headers)
		s.m.buried(r.fault.code)
		if r.fault.code == wire.CodePipelinePanic {
			s.panicked(r)
		}
	}
	return s.relieve(&s.dead)
}

// panicked counts a record that a stage panicked on, and says so: of the first few each, then of ever fewer, for the dead
// letters have them all.
func (s *emit) panicked(r *record) {
	s.m.panics.Inc()
	if s.panics++; s.panics&(s.panics-1) == 0 {
		cause, _, _ := strings.Cut(r.fault.message, "\n")
		s.log.Error("a record made a stage panic; it is in the dead letters, and the partition goes on",
			"offset", r.offset, "device", string(r.key), "cause", cause, "so_far", s.panics)
	}
}

// letter tells all that is known about a record with a fault.
func (s *emit) letter(r *record, key []byte) *wire.DeadLetter {
	message := r.fault.message[:min(len(r.fault.message), maxMessage)]
	raw := r.value
	if len(raw) > maxRaw {
		raw = raw[:maxRaw]
		message = fmt.Sprintf("%s (raw is truncated, the record has %d bytes)", message, len(r.value))
	}
	return &wire.DeadLetter{
		Code:      r.fault.code,
		Path:      r.fault.path,
		Message:   strings.ToValidUTF8(message, "\uFFFD"),
		Device:    strings.ToValidUTF8(string(key), "\uFFFD"),
		Time:      time.Now().UnixMicro(),
		Raw:       raw,
		Stage:     wire.StagePipeline,
		Format:    formatOfRecords,
		Rejected:  r.fault.rejected,
		Size:      len(r.value),
		Topic:     wire.TopicReadings,
		Partition: int32(s.partition),
		Offset:    r.offset,
	}
}
