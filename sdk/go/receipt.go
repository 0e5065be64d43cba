package device

import (
	"net/http"
	"time"

	"weir/wire"
)

const (
	// patience is how often a frame is sent again on which the server failed.
	patience = 8
	// refusedWait is how long to wait after a refusal that does not say.
	refusedWait = time.Second
)

// Receipt says what became of a frame's readings. Accepted, duplicate and late ones are stored.
type Receipt struct {
	// Session and Seq are the frame's, as sent.
	Session string
	Seq     uint64
	Backlog bool

	Readings, Accepted, Duplicate, Late, Rejected int
}

// Rejection says why a reading, or a whole frame, was refused for good.
type Rejection struct {
	Session string
	Seq     uint64
	// Index is the reading's place in the frame, -1 for the whole frame; Readings is how many the rejection
	// concerns.
	Index, Readings int
	// Code is one of docs/protocol/codes.md; Path names the field.
	Code, Path, Message string
}

// receipt does what a receipt asks for.
func (s *session) receipt(r *wire.Receipt, now time.Time) {
	again := mayPass(r)
	s.mu.Lock()
	e := s.queue.land(r.Frame)
	if e == nil {
		s.mu.Unlock()
		return
	}
	s.lanes[e.lane].told(r, again, now)
	if again && s.bear(e, r) {
		s.queue.wait(e)
		s.mu.Unlock()
		return
	}
	out := s.outcome(e, r)
	s.queue.forget(e)
	err := s.store.remove(e)
	s.mu.Unlock()
	if err != nil {
		s.log.Error("a receipted frame stays in the buffer", "seq", e.seq, "error", err)
	}
	s.report(&out, r)
	// Whoever waits for the frame to leave finds it told.
	s.mu.Lock()
	s.movedLocked()
	s.mu.Unlock()
}

// told keeps what a receipt says of the frames of its lane.
func (p *laneState) told(r *wire.Receipt, again bool, now time.Time) {
	p.credit = max(1, r.Credit)
	if r.RetryAfter > 0 {
		p.pause = now.Add(min(time.Duration(min(r.RetryAfter, cutWait.Milliseconds()))*time.Millisecond, cutWait))
	} else if again {
		p.pause = now.Add(refusedWait)
	}
}

// mayPass reports whether a frame was refused as a whole for a reason that may pass. What is rejected beside such a
// reason is not the last word: the server has not stored the other readings, nor perhaps the dead letter.
func mayPass(r *wire.Receipt) bool {
	switch {
	case r.Accepted+r.Duplicate+r.Late > 0:
		return false
	case r.Err == nil:
		return r.RetryAfter > 0 && len(r.Rejected) == 0
	case r.RetryAfter > 0:
		return true
	}
	switch wire.StatusOf(r.Err.Code) {
	case http.StatusUnauthorized, http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return true
	}
	return r.Err.Code == wire.CodeInternal
}

// bear reports whether to try again: a frame that makes the server fail is given up at some time.
func (s *session) bear(e *entry, r *wire.Receipt) bool {
	if r.Err == nil || r.Err.Code != wire.CodeInternal {
		return true
	}
	e.refusals++
	return e.refusals < patience
}

// outcome is what a receipt says of a frame, which it counts.
func (s *session) outcome(e *entry, r *wire.Receipt) Receipt {
	out := Receipt{
		Session: s.enc.sessionOf(e), Seq: e.seq, Backlog: e.lane == backlog, Readings: e.readings,
		Accepted: r.Accepted, Duplicate: r.Duplicate, Late: r.Late, Rejected: len(r.Rejected),
	}
	if r.Err != nil {
		out.Rejected = e.readings
	}
	n := &s.count
	n.accepted.Add(int64(out.Accepted))
	n.duplicate.Add(int64(out.Duplicate))
	n.late.Add(int64(out.Late))
	n.rejected.Add(int64(out.Rejected))
	return out
}

// report tells of a receipt.
func (s *session) report(out *Receipt, r *wire.Receipt) {
	if out.Rejected > 0 {
		s.reject(out, r)
	}
	if s.o.OnReceipt != nil {
		s.o.OnReceipt(*out)
	}
}

func (s *session) reject(out *Receipt, r *wire.Receipt) {
	tell := s.o.OnRejected
	if tell == nil {
		tell = func(x Rejection) {
			s.log.Warn("readings refused", "seq", x.Seq, "index", x.Index, "code", x.Code, "path", x.Path, "message", x.Message)
		}
	}
	if r.Err != nil {
		tell(Rejection{Session: out.Session, Seq: out.Seq, Index: -1, Readings: out.Readings,
			Code: r.Err.Code, Path: r.Err.Path, Message: r.Err.Message})
		return
	}
	for i := range r.Rejected {
		x := &r.Rejected[i]
		tell(Rejection{Session: out.Session, Seq: out.Seq, Index: x.Index, Readings: 1, Code: x.Code, Path: x.Path, Message: x.Message})
	}
}
