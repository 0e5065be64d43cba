package pipeline

import (
	"bytes"
	"context"
	"sync"

	"weir/kafka"
)

// places tells where records of weir.state are that were moved since the last barrier. Who reads there holds it, so
// that nothing is trimmed meanwhile.
type places struct {
	mu    sync.RWMutex
	moved map[int64]int64
}

func (p *places) take() map[int64]int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	moved := p.moved
	p.moved = nil
	return moved
}

// now is an offset that may have been moved. The caller holds p.
func (p *places) now(offset int64) int64 {
	if to, ok := p.moved[offset]; ok {
		return to
	}
	return offset
}

// movingTrimmer publishes where records are before their old places are trimmed.
type movingTrimmer struct {
	kafka.Trimmer
	places *places
	moved  map[int64]int64
}

// note is told of a record that was copied. The headers of devices are what stubs say the place of.
func (t *movingTrimmer) note(r *kafka.Record, to int64) {
	if bytes.HasPrefix(r.Key, []byte(deviceKey)) {
		t.moved[r.Offset] = to
	}
}

func (t *movingTrimmer) DeleteRecords(ctx context.Context, topic string, partition int, before int64) error {
	t.places.mu.Lock()
	defer t.places.mu.Unlock()
	t.places.moved = t.moved
	return t.Trimmer.DeleteRecords(ctx, topic, partition, before)
}
