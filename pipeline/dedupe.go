package pipeline

import (
	"slices"
	"strings"
)

// Bounds of what a device's duplicates are recognised by.
const (
	// maxSessions is how many sessions of a device are remembered; the least recently used goes first.
	maxSessions = 4
	// seqWindow is how many sequence numbers of a session, counted from its highest, are told apart.
	seqWindow = 1024
)

// dedupe drops records that the device's state contains already (the partition is read again from the
// last committed offset after a change of owner) and those whose sequence number was seen before (the
// device sent a frame twice).
//
// A sequence number is a duplicate only at an offset above its first one. A bitmap suffices to decide that:
// every number in the window was first seen at an offset ≤ applied, and a record whose offset is ≤ applied
// does not get as far as the window.
type dedupe struct {
	dirty []*device
	// now is when the batch was fetched (µs).
	now int64
	m   *counters
}

// record gives its verdict on a record of so many readings. decode asks before it takes anything of the record
// into account.
func (s *dedupe) record(r *record, readings int) {
	d := r.device
	if r.offset <= d.applied {
		r.verdict = replayed
		s.m.replayed.Inc()
		return
	}
	d.applied = r.offset
	if heard := min(r.ingest, s.now); heard > 0 {
		d.heard = max(d.heard, heard)
	} else {
		d.heard = s.now
	}
	if !d.dirty {
		d.dirty = true
		s.dirty = append(s.dirty, d)
	}
	if r.session == "" {
		return
	}
	w := d.seen.window(r.session)
	switch w.see(r.seq) {
	case seqDuplicate:
		r.verdict = duplicate
		s.m.duplicates.Add(readings)
	case seqForgotten:
		s.m.forgotten.Inc()
	}
}

// take returns the devices that changed since the last call. They are valid until the next record.
func (s *dedupe) take() []*device {
	dirty := s.dirty
	clear(dirty[len(dirty):cap(dirty)]) // what was evicted since is not to be held
	s.dirty = s.dirty[:0]
	return dirty
}

// sessions are the windows of a device, least recently used first.
type sessions []seqs

// window returns the window of a session and makes it the most recently used.
func (s *sessions) window(session string) *seqs {
	list := *s
	last := len(list) - 1
	for i := last; i >= 0; i-- {
		if list[i].session == session {
			if i != last {
				w := list[i]
				copy(list[i:], list[i+1:])
				list[last] = w
			}
			return &list[last]
		}
	}
	if len(list) == maxSessions {
		list = slices.Delete(list, 0, 1)
	}
	list = append(list, seqs{session: strings.Clone(session), empty: true})
	*s = list
	return &list[len(list)-1]
}

// seqs is the set of sequence numbers seen in (max-seqWindow, max].
type seqs struct {
	session string
	max     uint64
	empty   bool
	seen    [seqWindow / 64]uint64
}

type seqVerdict uint8

const (
	seqNew seqVerdict = iota
	seqDuplicate
	// seqForgotten: too far below the maximum to know; taken as new.
	seqForgotten
)

// see adds seq to the set and tells whether it was there.
func (w *seqs) see(seq uint64) seqVerdict {
	switch {
	case w.empty:
		w.empty, w.max = false, seq
	case seq > w.max:
		w.forget(seq)
		w.max = seq
	case w.max-seq >= seqWindow:
		return seqForgotten
	case w.has(seq):
		return seqDuplicate
	}
	w.seen[seq%seqWindow/64] |= 1 << (seq % 64)
	return seqNew
}

func (w *seqs) has(seq uint64) bool { return w.seen[seq%seqWindow/64]&(1<<(seq%64)) != 0 }

// forget clears the places of the numbers between the maximum and seq, which were held by those that fall
// out of the window.
func (w *seqs) forget(seq uint64) {
	if seq-w.max >= seqWindow {
		clear(w.seen[:])
		return
	}
	for n := seq; n != w.max; n-- { // not upwards: seq may be the largest number there is
		w.seen[n%seqWindow/64] &^= 1 << (n % 64)
	}
}
