package alerts

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"weir/kafka"
	"weir/telemetry"
	"weir/wire"
)

// stream stands for weir.readings, the pipeline, weir.alerts and push: it stores commands, applies them, and tells of
// the transitions.
type stream struct {
	mu       sync.Mutex
	open     map[string]telemetry.Alert
	watchers map[string][]*func(*telemetry.Alert)
	records  [partitions][]wire.Control
	failing  map[int]bool // partitions that store nothing
	silent   bool         // nothing is applied
	unsure   bool         // offsets are not told
	notReady bool
	// instead, if set, happens in place of applying a command.
	instead func(*telemetry.Alert)
}

func newStream() *stream {
	return &stream{open: make(map[string]telemetry.Alert), watchers: make(map[string][]*func(*telemetry.Alert)), failing: make(map[int]bool)}
}

func (s *stream) Ready() bool { return !s.notReady }

func (s *stream) Alert(id string) (telemetry.Alert, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, ok := s.open[id]
	return a, ok
}

func (s *stream) Alerts(ended bool) (out []telemetry.Alert) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.open {
		if ended || a.Phase != telemetry.Resolved {
			out = append(out, a)
		}
	}
	return out
}

func (s *stream) WatchAlert(id string, fn func(*telemetry.Alert)) func() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watchers[id] = append(s.watchers[id], &fn)
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		for i, w := range s.watchers[id] {
			if w == &fn {
				s.watchers[id] = append(s.watchers[id][:i], s.watchers[id][i+1:]...)
				return
			}
		}
		panic("stopped twice")
	}
}

var errAway = errors.New("the broker is away")

func (s *stream) ProduceSync(_ context.Context, topic string, partition int, recs []kafka.Record) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failing[partition] {
		return -1, errAway
	}
	c, err := wire.DecodeControl(recs[0].Value)
	if err != nil || topic != wire.TopicReadings || len(recs) != 1 {
		panic(fmt.Sprint(topic, recs, err))
	}
	s.records[partition] = append(s.records[partition], c)
	offset := int64(99 + len(s.records[partition]))
	if c.Kind == wire.ControlAlert && !s.silent {
		s.applyLocked(&c, offset)
	}
	if s.unsure {
		return -1, nil
	}
	return offset, nil
}

func (s *stream) applyLocked(c *wire.Control, offset int64) {
	a := s.open[c.Alert.Alert]
	if s.instead != nil {
		s.instead(&a)
		s.tellLocked(a)
		return
	}
	a.Version = telemetry.VersionOf(offset, 0)
	note := telemetry.Note{By: c.By, Time: c.Time, Text: c.Alert.Text}
	switch c.Alert.Action {
	case telemetry.ActionAcknowledge:
		a.Phase, a.Reason, a.Marked = telemetry.Acknowledged, telemetry.Acked, &note
	case telemetry.ActionUnacknowledge:
		a.Phase, a.Reason, a.Marked = telemetry.Firing, telemetry.Unacked, nil
	case telemetry.ActionComment:
		a.Reason, a.Comments = telemetry.Commented, append(a.Comments, note)
	case telemetry.ActionAssign:
		a.Reason, a.Assignee = telemetry.Assigned, c.Alert.Text
	}
	s.tellLocked(a)
}

func (s *stream) tellLocked(a telemetry.Alert) {
	s.open[a.ID] = a
	for _, fn := range s.watchers[a.ID] {
		(*fn)(&a)
	}
}

// given are the records of kind alert.
func (s *stream) given() (out []wire.Control) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, records := range s.records {
		for _, c := range records {
			if c.Kind == wire.ControlAlert {
				out = append(out, c)
			}
		}
	}
	return out
}
