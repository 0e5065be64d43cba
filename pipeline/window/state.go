package window

import (
	"math"
	"slices"
)

// State is what one series has in the open windows of one Window, with which all its methods must be called.
// The zero value is empty and ready. It is not safe for concurrent use.
//
// Memory is bounded by the panes of one window and its grace. If readings run so far ahead of the watermark
// that more would be needed, the oldest window is closed before its time.
type State struct {
	panes []Partial // ascending, none empty; those beyond len keep the memory of their sketches for reuse
	work  *work     // of hopping and sliding windows; nil until needed and after Unmarshal
	// next is the end of the earliest window that is open, once begun. Of sessions: the end of the last one
	// that was closed.
	next   int64
	missed uint64
	begun  bool
}

// work is memory to merge panes in.
type work struct {
	sum   Partial
	older Partial // of a sliding window: all panes but the newest, unless stale
	fresh bool
}

// Missed counts the readings that came after a window they belong to had closed, or with an impossible time.
func (s *State) Missed() uint64 { return s.missed }

// Add takes the reading v at source time t, after it has closed every window whose end plus grace is at or
// before the watermark (all µs), appends their results to out and returns it. The watermark is the device's
// event time: the newest source time of all its readings, this one included. A reading of a window that is
// closed is counted as missed, and goes into those of its windows that are open still. A v that is not finite
// only moves the watermark.
//
// A reading that is older than the watermark by no more than the grace is never missed, and the results are
// the same as if the readings had come in order.
func (s *State) Add(w *Window, t int64, v float64, watermark int64, out []Result) []Result {
	out = s.Advance(w, watermark, out)
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return out
	}
	if t <= -timeLimit || t >= timeLimit {
		s.missed++
		return out
	}
	switch w.kind {
	case Sliding:
		return s.addSliding(w, t, v, out)
	case Session:
		return s.addSession(w, t, v, watermark, out)
	}
	out, p := s.place(w, t, out)
	if p != nil {
		p.add(t, v)
	}
	return out
}

// Advance closes the windows whose end plus grace is at or before the watermark, as Add does.
func (s *State) Advance(w *Window, watermark int64, out []Result) []Result {
	switch w.kind {
	case Sliding:
		return out
	case Session:
		return s.closeSessions(w, clamp(watermark)-w.grace, false, out)
	}
	return s.close(w, clamp(watermark)-w.grace, false, out)
}

// Close closes the windows that end at or before until (µs of source time, with no grace) although the event
// time of the device has not come that far, and marks their results with Gap. The caller reckons until from
// the processing time that has passed since the device was heard last. Readings of windows that were empty
// will still be taken. Sliding windows have nothing to close.
func (s *State) Close(w *Window, until int64, out []Result) []Result {
	switch w.kind {
	case Sliding:
		return out
	case Session:
		return s.closeSessions(w, clamp(until), true, out)
	}
	return s.close(w, clamp(until), true, out)
}

// Due is the source time (µs) at which the next window with readings ends: Close has something to do once until
// has come there, Advance once the watermark has come w.Grace() further. It is MaxInt64 if there is none.
func (s *State) Due(w *Window) int64 {
	switch {
	case len(s.panes) == 0 || w.kind == Sliding:
		return math.MaxInt64
	case w.kind == Session:
		return s.panes[0].LastTime + w.pane
	}
	return s.firstEnd(w)
}

// clamp keeps sums with t from overflowing.
func clamp(t int64) int64 { return min(max(t, -2*timeLimit), 2*timeLimit) }

// firstEnd is the end of the first open window with readings. There must be one.
func (s *State) firstEnd(w *Window) int64 { return max(s.next, w.endAfter(s.panes[0].Start)) }

// close closes tumbling or hopping windows that end at or before until. Empty ones cost nothing, however many
// there are.
func (s *State) close(w *Window, until int64, gap bool, out []Result) []Result {
	if !s.begun {
		s.begun, s.next = true, w.endAfter(-4*timeLimit)
	}
	if until < s.next {
		return out
	}
	for len(s.panes) > 0 {
		end := s.firstEnd(w)
		if end > until {
			break
		}
		out = s.emit(w, end, gap, out)
		s.next = end + w.every
		s.dropBefore(s.next - w.size)
	}
	if !gap {
		s.next = max(s.next, w.endAfter(until))
	}
	return out
}

// emit appends the result of the window that ends at end; it begins with the first pane or before it.
func (s *State) emit(w *Window, end int64, gap bool, out []Result) []Result {
	p := &s.panes[0]
	if w.size > w.pane && len(s.panes) > 1 {
		sum := &s.scratch().sum
		sum.assign(p)
		for i := 1; i < len(s.panes) && s.panes[i].Start < end; i++ {
			sum.Merge(&s.panes[i])
		}
		p = sum
	}
	return w.appendResult(out, p, end-w.size, end, gap)
}

func (s *State) scratch() *work {
	if s.work == nil {
		s.work = new(work)
	}
	return s.work
}

// place returns the pane for a reading at t of a tumbling or hopping window, or nil when all windows it
// belongs to are closed or there is no room before the oldest one.
func (s *State) place(w *Window, t int64, out []Result) ([]Result, *Partial) {
	i, found := s.find(w, t)
	for !found && i > 0 && len(s.panes) >= w.maxPanes && t >= s.next-w.size {
		out = s.close(w, s.firstEnd(w), false, out)
		i, found = s.find(w, t)
	}
	full := !found && len(s.panes) >= w.maxPanes
	if full || t < s.next-w.every {
		s.missed++
	}
	switch {
	case found:
		return out, &s.panes[i-1]
	case full || t < s.next-w.size:
		return out, nil
	}
	return out, s.insert(w, i, w.paneStart(t))
}

// find returns how many panes start at or before t, and whether the last of them holds t.
func (s *State) find(w *Window, t int64) (i int, found bool) {
	for i = len(s.panes); i > 0; i-- {
		if start := s.panes[i-1].Start; start <= t {
			return i, t-start < w.pane
		}
	}
	return 0, false
}

// insert makes an empty pane at place i.
func (s *State) insert(w *Window, i int, start int64) *Partial {
	n := len(s.panes)
	if n == cap(s.panes) {
		grown := make([]Partial, n, min(max(2*n, 2), max(w.maxPanes, n+1)))
		copy(grown, s.panes)
		s.panes = grown
	}
	s.panes = s.panes[:n+1]
	spare := s.panes[n]
	copy(s.panes[i+1:], s.panes[i:n])
	s.panes[i] = spare
	s.panes[i].clear(w, start)
	return &s.panes[i]
}

// remove removes pane i and keeps its memory.
func (s *State) remove(i int) {
	n := len(s.panes) - 1
	spare := s.panes[i]
	copy(s.panes[i:], s.panes[i+1:])
	s.panes[n] = spare
	s.panes = s.panes[:n]
}

// dropBefore removes the panes that start before start.
func (s *State) dropBefore(start int64) {
	n := 0
	for n < len(s.panes) && s.panes[n].Start < start {
		n++
	}
	switch {
	case n == len(s.panes):
		s.panes = s.panes[:0]
	case n == 1:
		s.remove(0)
	case n > 1:
		slices.Reverse(s.panes[:n]) // rotate left by n, in place
		slices.Reverse(s.panes[n:])
		slices.Reverse(s.panes)
		s.panes = s.panes[:len(s.panes)-n]
	}
}
