package pipeline

import (
	"weir/kafka"
	"weir/pipeline/rule"
	"weir/telemetry"
)

// silences are those of a partition. They are state of the partition as a whole: a checkpoint writes them behind all
// devices, so that they are never newer than a device's state.
type silences struct {
	rule.Silences
	changed bool
}

func (s *silences) put(silence *telemetry.Silence, now int64) error {
	if err := s.Put(*silence, now); err != nil {
		return err
	}
	s.changed = true
	return nil
}

// silences adds those of the partition, if they changed.
func (c *checkpoint) silences(s *silences, headers []kafka.Header) {
	if !s.changed {
		return
	}
	s.changed = false
	c.state = append(c.state, kafka.Record{Key: c.encoder.keyed(silencesKey, ""), Value: s.MarshalAppend(nil), Headers: headers})
	c.devices = append(c.devices, len(c.state))
}
