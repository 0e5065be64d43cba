package devices

import (
	"strings"
	"sync/atomic"
	"time"
)

const (
	// skewSpan is over how long, at least, the clock's skew is estimated.
	skewSpan = 5 * time.Minute
	// maxErrors is how many refusals of a device are remembered, maxCodes of how many codes they are counted.
	maxErrors = 10
	maxCodes  = 24
	// maxSessionName bounds what is kept of a session's name.
	maxSessionName = 64
	maxErrorPath   = 96
	// clockSlack is by how much (µs) a frame may seem older than the one before; beyond that, the server's clock was
	// set back.
	clockSlack = 60 * 1e6
	otherCode  = "other"
)

// health are the counts of one device. Those of readings count since the device was first heard of here.
type health struct {
	first, last                                           int64 // µs; of its frames
	frames                                                uint64
	accepted, duplicate, late, backlog, rejected, limited uint64
	missing, outOfOrder                                   uint64
	sessions                                              uint32
	session                                               string
	seq                                                   uint64
	skew                                                  skew
	rate                                                  rate
	faults                                                *faults // nil: none yet
	hasSeq                                                bool
}

// take counts a frame.
func (h *health) take(f *FrameInfo) {
	if h.first == 0 {
		h.first = f.Now
	}
	if f.Now > h.last || h.last-f.Now > clockSlack {
		h.last = f.Now
	}
	h.frames++
	h.accepted += uint64(f.Accepted)
	h.duplicate += uint64(f.Duplicate)
	h.late += uint64(f.Late)
	h.backlog += uint64(f.Backlog)
	h.rejected += uint64(f.Rejected)
	h.outOfOrder += uint64(f.OutOfOrder)
	if f.Limited != "" {
		h.limited += uint64(max(f.LimitedN, 1))
		return // nothing of it is stored, and the device sends it again
	}
	h.rate.add(f.Now, f.Accepted+f.Late+f.Duplicate+f.Rejected)
	if f.Newest != 0 && f.Backlog == 0 {
		h.skew.observe(f.Newest-f.Now, f.Now)
	}
	if f.HasSeq {
		h.sequence(f)
	}
}

// sequence looks for holes. A seq below the highest one fills a hole, unless it is known to be a resend.
func (h *health) sequence(f *FrameInfo) {
	if !h.hasSeq || f.Session != h.session {
		h.hasSeq, h.seq = true, f.Seq
		if f.Session != h.session || h.sessions == 0 {
			h.sessions++
			h.session = strings.Clone(f.Session[:min(len(f.Session), maxSessionName)])
		}
		return
	}
	switch {
	case f.Seq > h.seq:
		h.missing += f.Seq - h.seq - 1
		h.seq = f.Seq
	case f.Duplicate == 0 && f.Seq < h.seq:
		h.outOfOrder++
		if h.missing > 0 {
			h.missing--
		}
	}
}

// skew estimates by how much (µs) a device's clock is ahead of the server's. A reading comes some time after it was
// taken, never before: so the greatest difference seen between its time and its arrival is the one least delayed,
// and the clock's error plus the shortest delay. Two spans in turn forget what is old.
type skew struct {
	now, before int64
	since       int64
	known       uint8 // 1: now, 2: both
}

func (s *skew) observe(ahead, at int64) {
	switch {
	case s.known == 0:
		s.now, s.since, s.known = ahead, at, 1
	case at < s.since-clockSlack: // by another clock, nothing of before counts
		s.now, s.since, s.known = ahead, at, 1
	case at-s.since >= skewSpan.Microseconds():
		s.before, s.now, s.since, s.known = s.now, ahead, at, 2
	default:
		s.now = max(s.now, ahead)
	}
}

func (s *skew) estimate() (ahead int64, ok bool) {
	if s.known == 2 {
		return max(s.now, s.before), true
	}
	return s.now, s.known == 1
}

// rate counts readings by the minute.
type rate struct {
	minute      int64
	now, before uint32
}

const perMinute = int64(60 * 1e6)

func (r *rate) turn(at int64) {
	switch m := at / perMinute; {
	case m == r.minute+1:
		r.minute, r.before, r.now = m, r.now, 0
	case m > r.minute+1, m < r.minute-1: // after a pause, or the clock was set back
		r.minute, r.before, r.now = m, 0, 0
	}
}

func (r *rate) add(at int64, n int) {
	r.turn(at)
	r.now += uint32(n)
}

// perSecond is the rate over the last 60 s, the share of the minute before taken as even.
func (r *rate) perSecond(at int64) float64 {
	r.turn(at)
	rest := float64(perMinute-at%perMinute) / float64(perMinute)
	return (float64(r.now) + rest*float64(r.before)) / 60
}

// faults are a device's refusals. Few devices have any.
type faults struct {
	codes   []codeCount
	limits  []codeCount
	last    [maxErrors]fault
	next, n int
}

type codeCount struct {
	code string
	n    uint64
}

// fault is one refusal, or several in a row for the same reason.
type fault struct {
	at         int64
	code, path string
	n          uint64
}

func count(list []codeCount, code string, n uint64) []codeCount {
	for i := range list {
		if list[i].code == code {
			list[i].n += n
			return list
		}
	}
	if len(list) == maxCodes {
		list[maxCodes-1] = codeCount{otherCode, list[maxCodes-1].n + n}
		return list
	}
	return append(list, codeCount{strings.Clone(code), n})
}

func (f *faults) take(info *FrameInfo) {
	if info.Limited != "" {
		f.limits = count(f.limits, info.Limited, uint64(max(info.LimitedN, 1)))
		f.note(info.Now, info.Limited, "")
		return
	}
	if len(info.Rejections) == 0 {
		f.codes = count(f.codes, info.Code, uint64(max(info.Rejected, 1)))
		f.note(info.Now, info.Code, info.Path)
		return
	}
	for i := range info.Rejections {
		r := &info.Rejections[i]
		f.codes = count(f.codes, r.Code, 1)
		if i < maxErrors {
			f.note(info.Now, r.Code, r.Path)
		}
	}
}

func (f *faults) note(at int64, code, path string) {
	path = path[:min(len(path), maxErrorPath)]
	if f.n > 0 {
		last := &f.last[(f.next+maxErrors-1)%maxErrors]
		if last.code == code && last.path == path {
			last.at = at
			last.n++
			return
		}
	}
	f.last[f.next] = fault{at: at, code: strings.Clone(code), path: strings.ToValidUTF8(strings.Clone(path), ""), n: 1}
	f.next = (f.next + 1) % maxErrors
	f.n = min(f.n+1, maxErrors)
}

// recent lists the refusals, newest first.
func (f *faults) recent() []fault {
	out := make([]fault, 0, f.n)
	for i := range f.n {
		out = append(out, f.last[(f.next+2*maxErrors-1-i)%maxErrors])
	}
	return out
}

// Frame counts what became of a device's part of a frame. It keeps nothing of f and does not block.
func (r *Registry) Frame(device string, f *FrameInfo) {
	s := r.shards.of(device)
	s.mu.Lock()
	e := r.shards.takeLocked(s, device)
	if e == nil {
		s.mu.Unlock()
		r.m.untracked.Inc()
		return
	}
	e.health.take(f)
	if f.Code != "" || f.Limited != "" || len(f.Rejections) > 0 {
		e.health.fault(f, &r.shards.faulty)
	}
	changed := f.Accepted+f.Duplicate+f.Late > 0 && e.presence.heard(f, r.up())
	s.mu.Unlock()
	if changed {
		r.announce(e.device)
	}
}

// fault notes why something was refused, if there is memory for it: that is for maxFaulty devices.
func (h *health) fault(f *FrameInfo, faulty *atomic.Int32) {
	if h.faults == nil {
		if faulty.Add(1) > maxFaulty {
			faulty.Add(-1)
			return
		}
		h.faults = new(faults)
	}
	h.faults.take(f)
}

// clear forgets everything.
func (h *health) clear(faulty *atomic.Int32) {
	if h.faults != nil {
		faulty.Add(-1)
	}
	*h = health{}
}

// maxFaulty is of how many devices refusals are told one by one, about 2 KB each.
const maxFaulty = 20_000
