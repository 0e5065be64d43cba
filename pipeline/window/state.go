package window

import (
	"encoding/binary"
	"errors"
	"math"
)

// layout is the first byte of a marshalled Mean; another one is refused.
const layout = 1

// ErrState is returned by Unmarshal for bytes that no Mean wrote.
var ErrState = errors.New("window: malformed state")

// MarshalAppend appends the state to dst. It has no length of its own: Unmarshal takes exactly these bytes.
//
//	layout byte, front, total uvarint, backSum float64 LE, backN uvarint,
//	total × { start varint (difference to the one before), sum float64 LE, n uvarint }
func (m *Mean) MarshalAppend(dst []byte) []byte {
	dst = append(dst, layout)
	dst = binary.AppendUvarint(dst, uint64(m.back-m.head))
	dst = binary.AppendUvarint(dst, uint64(len(m.panes)-int(m.head)))
	dst = appendFloat(dst, m.backSum)
	dst = binary.AppendUvarint(dst, m.backN)
	before := int64(0)
	for _, p := range m.panes[m.head:] {
		dst = binary.AppendVarint(dst, p.start-before)
		dst = appendFloat(dst, p.sum)
		dst = binary.AppendUvarint(dst, p.n)
		before = p.start
	}
	return dst
}

// Unmarshal replaces m by the state in b, after which it answers as the marshalled Mean would have. On an
// error m is unchanged.
func (m *Mean) Unmarshal(b []byte) error {
	if len(b) == 0 || b[0] != layout {
		return ErrState
	}
	r := reader{b: b[1:]}
	front, total := r.uvarint(), r.uvarint()
	if r.bad || total > maxPanes || front > total || (front == total && total > 0) {
		return ErrState
	}
	out := Mean{back: uint8(front), backSum: r.float(), backN: r.uvarint()}
	if total > 0 {
		out.panes = make([]pane, total)
	}
	before := int64(0)
	for i := range out.panes {
		p := pane{start: before + r.varint(), sum: r.float(), n: r.uvarint()}
		if i > 0 && p.start <= before {
			return ErrState
		}
		out.panes[i] = p
		before = p.start
	}
	if r.bad || len(r.b) > 0 || !out.consistent() {
		return ErrState
	}
	*m = out
	return nil
}

// consistent reports whether the counts are those that Add can produce.
func (m *Mean) consistent() bool {
	for i := 1; i < int(m.back); i++ {
		if m.panes[i].n >= m.panes[i-1].n {
			return false
		}
	}
	var n uint64
	for _, p := range m.panes[m.back:] {
		n += p.n
	}
	return n == m.backN && (n > 0 || len(m.panes) == 0)
}

func appendFloat(dst []byte, f float64) []byte {
	return binary.LittleEndian.AppendUint64(dst, math.Float64bits(f))
}

// reader takes numbers off the front of b; bad stays set once one is missing.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	r.skip(n)
	return v
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.b)
	r.skip(n)
	return v
}

func (r *reader) float() float64 {
	if len(r.b) < 8 {
		r.skip(0)
		return 0
	}
	v := math.Float64frombits(binary.LittleEndian.Uint64(r.b))
	r.skip(8)
	return v
}

// skip drops n bytes; n ≤ 0 says that no number was there.
func (r *reader) skip(n int) {
	if n <= 0 {
		r.bad, r.b = true, nil
		return
	}
	r.b = r.b[n:]
}
