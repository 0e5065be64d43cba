package pipeline

import (
	"maps"
	"slices"
	"strings"

	"weir/kafka"
	"weir/pipeline/rule"
	"weir/telemetry"
)

// silences are those of a partition. They are state of the partition as a whole: a checkpoint writes them behind all
// devices, so that they are never newer than a device's state. Each has a record of its own: a replay meets the
// commands since the last checkpoint again, so some may be newer than others.
type silences struct {
	rule.Silences
	// changed are the ids of those that were put since the last checkpoint, written of those in weir.state.
	changed, written map[string]bool
}

func (s *silences) put(silence *telemetry.Silence, now int64) error {
	if err := s.Put(*silence, now); err != nil {
		return err
	}
	if s.changed == nil {
		s.changed = make(map[string]bool)
	}
	s.changed[silence.ID] = true
	return nil
}

// restore takes a record of weir.state; nil: the silence is over.
func (s *silences) restore(id string, value []byte) error {
	if s.written == nil {
		s.written = make(map[string]bool)
	}
	if value == nil {
		delete(s.written, id)
		s.Remove(id)
		return nil
	}
	s.written[id] = true
	return known(s.Unmarshal(id, value))
}

// silences adds those of the partition that changed, behind tombstones of those that are over.
func (c *checkpoint) silences(s *silences, headers []kafka.Header) {
	if len(s.changed) == 0 {
		return
	}
	first := len(c.state)
	var live []kafka.Record
	all := maps.Clone(s.changed)
	maps.Copy(all, s.written)
	for _, id := range slices.Sorted(maps.Keys(all)) {
		value, there := s.MarshalAppend(nil, id)
		switch {
		case there && s.changed[id]:
			live = append(live, kafka.Record{Key: c.encoder.keyed(silenceKey, id), Value: value, Headers: headers})
		case !there && s.written[id]:
			c.state = append(c.state, kafka.Record{Key: c.encoder.keyed(silenceKey, id), Headers: headers})
			delete(s.written, id)
		}
	}
	if s.written == nil {
		s.written = make(map[string]bool)
	}
	for i := range live {
		s.written[strings.TrimPrefix(string(live[i].Key), silenceKey)] = true
	}
	c.state = append(c.state, live...)
	for chunk := range chunks(c.state[first:]) {
		first += len(chunk)
		c.devices = append(c.devices, first)
	}
	s.changed = nil
}
