package device

import (
	"slices"
	"time"
)

// spread is how far apart, in numbers of one session, frames may be that are in flight. The server's window is
// 1,024.
const spread = 512

// lane is how a frame is sent. It is decided before it is sent for the first time, and for good.
type lane uint8

const (
	undecided lane = iota
	live
	backlog
	lanes
)

// entry is a frame without a receipt.
type entry struct {
	seq      uint64
	at       int64 // when it was made, Unix ms
	lane     lane
	readings int
	size     int
	body     []byte // its readings, encoded; nil when they are on disk
	session  string // in which it is numbered, if that is not the client's of now

	// Of the connection: the frame's number there, 0 if it has not been sent on it, and when it was.
	number uint64
	sent   time.Time
	// again says that it was sent before, refusals how often the server failed on it.
	again    bool
	refusals int
}

// queue holds entries: those that wait, by seq in each lane, and those in flight in the order in which they were
// sent.
type queue struct {
	live, backlog []*entry
	flight        []*entry
	bytes         int64
	readings      int
}

func (q *queue) len() int { return len(q.live) + len(q.backlog) + len(q.flight) }

func (q *queue) add(e *entry) {
	if e.lane == backlog {
		q.backlog = append(q.backlog, e)
	} else {
		q.live = append(q.live, e)
	}
	q.bytes += int64(e.size)
	q.readings += e.readings
}

// forget takes off the totals of an entry that has left.
func (q *queue) forget(e *entry) {
	q.bytes -= int64(e.size)
	q.readings -= e.readings
}

// plan says which lanes the waiting entries that have none are to be given: backlog up to the last that was made
// before the deadline (Unix ms), live after it. It returns the bounds, 0 where there is nothing: seqs first … aged
// are to be backlog, those above to last live.
func (q *queue) plan(deadline int64) (first, aged, last uint64) {
	for _, e := range q.live {
		if e.lane != undecided {
			continue
		}
		if first == 0 {
			first = e.seq
		}
		last = e.seq
		if e.at < deadline {
			aged = e.seq
		}
	}
	return first, aged, last
}

// decide gives the waiting entries that have no lane the planned ones.
func (q *queue) decide(aged uint64) {
	kept := q.live[:0]
	for _, e := range q.live {
		switch {
		case e.lane == undecided && e.seq <= aged:
			e.lane = backlog
			q.backlog = append(q.backlog, e)
			continue
		case e.lane == undecided:
			e.lane = live
		}
		kept = append(kept, e)
	}
	clear(q.live[len(kept):])
	q.live = kept
	slices.SortFunc(q.backlog, bySeq)
}

// next is the entry of a lane to send, or nil: none too far from one that is in flight.
func (q *queue) next(of lane) *entry {
	waiting := q.live
	if of == backlog {
		waiting = q.backlog
	}
	if len(waiting) > 0 && q.near(waiting[0]) {
		return waiting[0]
	}
	return nil
}

// flying is how many entries of a lane are in flight.
func (q *queue) flying(of lane) (n int) {
	for _, f := range q.flight {
		if f.lane == of {
			n++
		}
	}
	return n
}

func (q *queue) near(e *entry) bool {
	for _, f := range q.flight {
		if (f.lane == backlog) == (e.lane == backlog) && e.seq > f.seq && e.seq-f.seq >= spread {
			return false
		}
	}
	return true
}

// launch moves the entry that next returned into flight.
func (q *queue) launch(e *entry, number uint64, now time.Time) {
	waiting := &q.live
	if e.lane == backlog {
		waiting = &q.backlog
	}
	(*waiting)[0] = nil
	if *waiting = (*waiting)[1:]; len(*waiting) == 0 {
		*waiting = nil
	}
	e.number, e.sent = number, now
	q.flight = append(q.flight, e)
}

// land takes the entry of that number out of flight; nil if none has it.
func (q *queue) land(number uint64) *entry {
	i := slices.IndexFunc(q.flight, func(e *entry) bool { return e.number == number })
	if i < 0 {
		return nil
	}
	e := q.flight[i]
	q.flight = slices.Delete(q.flight, i, i+1)
	e.number = 0
	return e
}

// wait puts an entry that was in flight back among those that wait.
func (q *queue) wait(e *entry) {
	waiting := &q.live
	if e.lane == backlog {
		waiting = &q.backlog
	}
	i, _ := slices.BinarySearchFunc(*waiting, e, bySeq)
	*waiting = slices.Insert(*waiting, i, e)
}

// ground ends all flights, when the connection is lost.
func (q *queue) ground() {
	for _, e := range q.flight {
		e.number = 0
		q.wait(e)
	}
	q.flight = nil
}

// oldest takes out the waiting entry of the lowest seq, or returns nil.
func (q *queue) oldest() *entry {
	from := &q.live
	if len(q.live) == 0 || len(q.backlog) > 0 && q.backlog[0].seq < q.live[0].seq {
		from = &q.backlog
	}
	if len(*from) == 0 {
		return nil
	}
	e := (*from)[0]
	*from = (*from)[1:]
	q.forget(e)
	return e
}

// holds reports whether an entry up to seq is left.
func (q *queue) holds(seq uint64) bool {
	return len(q.live) > 0 && q.live[0].seq <= seq || len(q.backlog) > 0 && q.backlog[0].seq <= seq ||
		slices.ContainsFunc(q.flight, func(e *entry) bool { return e.seq <= seq })
}

func bySeq(a, b *entry) int {
	switch {
	case a.seq < b.seq:
		return -1
	case a.seq > b.seq:
		return 1
	}
	return 0
}
