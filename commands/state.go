package commands

import (
	"slices"
	"time"
)

const (
	// keepFinished is how many finished commands of a device are kept for those who ask.
	keepFinished = 16
	// entryBytes is about what a command takes besides its texts.
	entryBytes = 512
)

// entry is a command with what has become of it. It is the Hub's, under its lock.
type entry struct {
	Command
	status              Status
	result              Result
	delivered, finished time.Time
	bytes               int
	gone                bool          // no longer in its box
	over                chan struct{} // closed when it is finished
}

// box holds the commands of one device in the order of the log, and who is attached to it.
type box struct {
	entries  []*entry
	attached []*attachment
}

type attachment struct{ deliver func(*Command) bool }

func (b *box) find(id string) *entry {
	for _, e := range b.entries {
		if e.ID == id {
			return e
		}
	}
	return nil
}

// waiting is how many commands are unfinished.
func (b *box) waiting() int {
	n := 0
	for _, e := range b.entries {
		if !e.status.Finished() {
			n++
		}
	}
	return n
}

// state is what the log says, held within its bounds. Its methods need the Hub's lock.
type state struct {
	cfg   Config
	boxes map[string]*box
	// finished are the finished entries, the oldest first; some are gone.
	finished []*entry
	entries  int
	bytes    int
	// soonest: nothing unfinished expires before that; zero: nothing is unfinished.
	soonest time.Time
}

func newState(cfg Config) *state { return &state{cfg: cfg, boxes: make(map[string]*box)} }

// box finds or makes a device's.
func (s *state) box(device string) *box {
	b := s.boxes[device]
	if b == nil {
		b = new(box)
		s.boxes[device] = b
	}
	return b
}

// add takes a command that was not there, unless there is no room.
func (s *state) add(c Command) (*entry, bool) {
	e := &entry{
		Command: c, status: Pending, over: make(chan struct{}),
		bytes: entryBytes + len(c.ID) + len(c.Device) + len(c.Name) + len(c.Args) + len(c.By)}
	room := s.room(e.bytes) // before there is a box, as it may tidy one away
	b := s.box(c.Device)
	if !room || b.waiting() >= 2*s.cfg.MaxPerDevice {
		s.tidy(c.Device)
		return nil, false
	}
	b.entries = append(b.entries, e)
	s.entries++
	s.bytes += e.bytes
	s.expect(e.Expires)
	return e, true
}

// room makes room by forgetting finished commands.
func (s *state) room(bytes int) bool {
	for s.bytes+bytes > s.cfg.MaxBytes && len(s.finished) > 0 {
		s.forget(s.finished[0])
		s.finished = s.finished[1:]
	}
	return s.bytes+bytes <= s.cfg.MaxBytes
}

// finish ends a command.
func (s *state) finish(e *entry, status Status, at time.Time, r Result) {
	e.status, e.finished, e.result = status, at, r
	grown := len(r.Result) + len(r.Error)
	e.bytes += grown
	s.bytes += grown
	close(e.over)
	s.finished = append(s.finished, e)
	kept := 0
	for _, other := range slices.Backward(slices.Clone(s.boxes[e.Device].entries)) {
		if !other.status.Finished() {
			continue
		}
		if kept++; kept > keepFinished {
			s.forget(other)
		}
	}
	s.room(0)
	if len(s.finished) > 2*s.entries+keepFinished { // most are gone
		s.finished = slices.DeleteFunc(s.finished, func(e *entry) bool { return e.gone })
	}
}

func (s *state) forget(e *entry) {
	if e.gone {
		return
	}
	e.gone = true
	s.entries--
	s.bytes -= e.bytes
	b := s.boxes[e.Device]
	b.entries = slices.DeleteFunc(b.entries, func(other *entry) bool { return other == e })
	s.tidy(e.Device)
}

// tidy gives back an empty box.
func (s *state) tidy(device string) {
	if b := s.boxes[device]; b != nil && len(b.entries) == 0 && len(b.attached) == 0 {
		delete(s.boxes, device)
	}
}

// expect notes that something expires.
func (s *state) expect(expires time.Time) {
	if s.soonest.IsZero() || expires.Before(s.soonest) {
		s.soonest = expires
	}
}

// expire ends what has outlived its time. It looks at all there is only when something may have.
func (s *state) expire(now time.Time) int {
	if s.soonest.IsZero() || now.Before(s.soonest) {
		return 0
	}
	s.soonest = time.Time{}
	var over []*entry
	for _, b := range s.boxes {
		for _, e := range b.entries {
			switch {
			case e.status.Finished():
			case now.Before(e.Expires):
				s.expect(e.Expires)
			default:
				over = append(over, e)
			}
		}
	}
	for _, e := range over {
		s.finish(e, Expired, e.Expires, Result{})
	}
	return len(over)
}
