package window

import "encoding/binary"

// meanLayout is the first byte of a marshalled Mean; another one is refused. (1 had wider panes.)
const meanLayout = 2

// MarshalAppend appends the state to dst. It has no length of its own: Unmarshal takes exactly these bytes.
//
//	layout byte, shift byte, front uvarint, total uvarint, backSum float64 LE, oldest start (µs) varint,
//	total × { sum float64 LE, samples of this pane alone uvarint, and for all but the oldest
//	          the distance to the start before, less the distance before that, varint }
func (m *Mean) MarshalAppend(dst []byte) []byte {
	dst = append(dst, meanLayout, m.shift)
	dst = binary.AppendUvarint(dst, uint64(m.back-m.head))
	dst = binary.AppendUvarint(dst, uint64(len(m.panes)-int(m.head)))
	dst = appendFloat(dst, m.backSum)
	if len(m.panes) == 0 {
		return dst
	}
	dst = binary.AppendVarint(dst, m.start(int(m.head)))
	step := int64(0)
	for i := int(m.head); i < len(m.panes); i++ {
		p, n := m.panes[i], m.panes[i].n
		if i+1 < int(m.back) {
			n -= m.panes[i+1].n
		}
		dst = appendFloat(dst, p.sum)
		dst = binary.AppendUvarint(dst, uint64(n))
		if i > int(m.head) {
			d := int64(p.start) - int64(m.panes[i-1].start)
			dst = binary.AppendVarint(dst, d-step)
			step = d
		}
	}
	return dst
}

// Unmarshal replaces m by the state in b, after which it answers as the marshalled Mean would have. On an
// error m is unchanged.
func (m *Mean) Unmarshal(b []byte) error {
	r := reader{b: b}
	if r.byte() != meanLayout {
		return ErrState
	}
	out := Mean{shift: r.byte()}
	front, total := r.uvarint(), r.uvarint()
	out.backSum = r.float()
	if r.bad || total > maxPanes || front > total || (front == total && total > 0) || out.shift > unitShift(MaxWindow.Microseconds()) {
		return ErrState
	}
	out.back = uint8(front)
	if total > 0 {
		out.base = r.varint()
		out.panes = make([]pane, total)
		if !out.readPanes(&r) {
			return ErrState
		}
	}
	if !r.done() {
		return ErrState
	}
	*m = out
	return nil
}

// readPanes fills the panes and counts their samples, and reports whether Add could have made them.
func (m *Mean) readPanes(r *reader) bool {
	var start, step int64
	var samples uint64
	for i := range m.panes {
		sum, n := r.float(), r.uvarint()
		if i > 0 {
			step += r.varint()
			start += step
			if step <= 0 || start > 1<<32-1 {
				return false
			}
		}
		if n == 0 || n > 1<<32-1-samples || r.bad {
			return false
		}
		samples += n
		m.panes[i] = pane{sum: sum, start: uint32(start), n: uint32(n)}
		if i >= int(m.back) {
			m.backN += uint32(n)
		}
	}
	for i := int(m.back) - 2; i >= 0; i-- {
		m.panes[i].n += m.panes[i+1].n
	}
	return true
}
