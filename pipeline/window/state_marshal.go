package window

import "encoding/binary"

// stateLayout is the first byte of a marshalled State; another one is refused.
const stateLayout = 1

// mostPanes is the most that any window keeps. State with more panes than w keeps, because the grace was longer,
// is taken: the oldest windows are closed when room is needed.
const mostPanes = 2*MaxPanes + 1

// MarshalAppend appends the state, kept for w, to dst. It has no length of its own: Unmarshal takes exactly these
// bytes.
//
//	layout byte, window's hash uint32 LE, begun byte, next varint if begun, missed uvarint, panes uvarint,
//	panes × { start varint (difference to the one before), body as of a Partial }
func (s *State) MarshalAppend(dst []byte, w *Window) []byte {
	dst = append(dst, stateLayout)
	dst = binary.LittleEndian.AppendUint32(dst, w.hash)
	if s.begun {
		dst = binary.AppendVarint(append(dst, 1), s.next)
	} else {
		dst = append(dst, 0)
	}
	dst = binary.AppendUvarint(dst, s.missed)
	dst = binary.AppendUvarint(dst, uint64(len(s.panes)))
	before := int64(0)
	for i := range s.panes {
		p := &s.panes[i]
		dst = p.appendBody(binary.AppendVarint(dst, p.Start-before))
		before = p.Start
	}
	return dst
}

// Unmarshal replaces s by the state in b, after which it answers as the marshalled State would have. State of a
// window with another hash is ErrState, as is a malformed one, and leaves s unchanged.
func (s *State) Unmarshal(b []byte, w *Window) error {
	r := reader{b: b}
	if r.byte() != stateLayout || r.uint32() != w.hash {
		return ErrState
	}
	var out State
	switch r.byte() {
	case 0:
	case 1:
		out.begun, out.next = true, r.varint()
	default:
		return ErrState
	}
	out.missed = r.uvarint()
	total := r.uvarint()
	if r.bad || total > mostPanes || out.next < -5*timeLimit || out.next > 3*timeLimit {
		return ErrState
	}
	out.panes = make([]Partial, total)
	before := int64(0)
	for i := range out.panes {
		p := &out.panes[i]
		p.Start = before + r.varint()
		p.readBody(&r, w)
		if r.bad || i > 0 && !w.follows(&out.panes[i-1], p) {
			return ErrState
		}
		before = p.Start
	}
	if !r.done() || !out.open(w) {
		return ErrState
	}
	*s = out
	return nil
}

// follows reports whether b can be the pane after a.
func (w *Window) follows(a, b *Partial) bool {
	if w.kind == Session {
		return b.Start-a.LastTime >= w.pane
	}
	return b.Start > a.Start
}

// open reports whether the panes are all of open windows, and together of as many as can be kept.
func (s *State) open(w *Window) bool {
	if len(s.panes) == 0 {
		return true
	}
	first, last := s.panes[0].Start, s.panes[len(s.panes)-1].Start
	switch w.kind {
	case Sliding:
		return !s.begun && last-first < paneShare*w.pane
	case Session:
		return !s.begun || first >= s.next
	}
	return !s.begun || first >= s.next-w.size && s.next-w.size == floor(s.next-w.size, w.every)
}
