package rule

import (
	"encoding/binary"
	"errors"
	"maps"
	"math"
	"slices"

	"weir/telemetry"
)

// layout is the first byte of a marshalled Watch; another one is refused.
const layout = 1

// ErrState is returned by Unmarshal for bytes that nothing of the type wrote.
var ErrState = errors.New("rule: malformed state")

// MaxRules is how many rules one series may have.
const MaxRules = 64

// Flags of a marshalled Watch, of a state and of an alert.
const (
	flagAfresh = 1 << iota
)
const (
	flagPhase = 3 // two bits
	flagAlert = 1 << 2
)
const (
	flagFlapping = 1 << iota
	flagMarked
	flagAccount
)

// MarshalAppend appends the state to dst. It has no length of its own: Unmarshal takes exactly these bytes.
//
//	layout byte, flags, newest varint, n, late, invalid uvarint,
//	used uvarint, used × { time varint (difference to the one before), value float64 LE }, oldest first
//	states uvarint, × { hash uint64 LE, flags, since, due, moved varint, came uvarint × varint (differences), [alert] }
func (w *Watch) MarshalAppend(dst []byte) []byte {
	var flags byte
	if w.afresh {
		flags = flagAfresh
	}
	dst = append(dst, layout, flags)
	dst = binary.AppendVarint(dst, w.newest)
	for _, n := range [...]uint64{w.n, uint64(w.late), uint64(w.invalid), uint64(w.used)} {
		dst = binary.AppendUvarint(dst, n)
	}
	before := int64(0)
	for n := int(w.used) - 1; n >= 0; n-- {
		at := w.back(n)
		dst = binary.AppendVarint(dst, w.times[at]-before)
		dst = appendFloat(dst, w.values[at])
		before = w.times[at]
	}
	dst = binary.AppendUvarint(dst, uint64(len(w.states)))
	for i := range w.states {
		dst = w.states[i].marshal(dst)
	}
	return dst
}

func (st *state) marshal(dst []byte) []byte {
	flags := byte(st.phase)
	if st.alert != nil {
		flags |= flagAlert
	}
	dst = append(binary.LittleEndian.AppendUint64(dst, st.hash), flags)
	dst = binary.AppendVarint(dst, st.since)
	dst = binary.AppendVarint(dst, st.due)
	dst = binary.AppendVarint(dst, int64(st.moved))
	dst = binary.AppendUvarint(dst, uint64(len(st.came)))
	before := int64(0)
	for _, t := range st.came {
		dst = binary.AppendVarint(dst, t-before)
		before = t
	}
	if st.alert != nil {
		dst = st.alert.marshal(dst)
	}
	return dst
}

func (a *alert) marshal(dst []byte) []byte {
	var flags byte
	if a.flapping {
		flags |= flagFlapping
	}
	if a.marked != nil {
		flags |= flagMarked
	}
	if a.account != nil {
		flags |= flagAccount
	}
	dst = append(dst, flags)
	for _, s := range [...]string{a.rule, string(a.kind), string(a.severity), a.detector, a.assignee} {
		dst = appendString(dst, s)
	}
	dst = binary.AppendVarint(dst, int64(a.raised))
	dst = binary.AppendVarint(dst, a.started)
	dst = a.evidence.marshal(dst)
	dst = binary.AppendUvarint(dst, uint64(a.count))
	dst = binary.AppendUvarint(dst, uint64(a.told))
	dst = binary.AppendVarint(dst, a.first)
	dst = binary.AppendUvarint(dst, uint64(len(a.labels)))
	for _, key := range slices.Sorted(maps.Keys(a.labels)) {
		dst = appendString(appendString(dst, key), a.labels[key])
	}
	if a.marked != nil {
		dst = appendNote(dst, a.marked)
	}
	dst = binary.AppendUvarint(dst, uint64(len(a.comments)))
	for i := range a.comments {
		dst = appendNote(dst, &a.comments[i])
	}
	if a.account != nil {
		dst = a.account.marshal(dst)
	}
	return dst
}

func (e *evidence) marshal(dst []byte) []byte {
	for _, f := range [...]float64{e.value, e.score, e.lo, e.hi, e.observed, e.limit} {
		dst = appendFloat(dst, f)
	}
	return dst
}

func appendNote(dst []byte, n *telemetry.Note) []byte {
	return appendString(binary.AppendVarint(appendString(dst, n.By), n.Time), n.Text)
}

func appendString(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

func appendFloat(dst []byte, f float64) []byte {
	return binary.LittleEndian.AppendUint64(dst, math.Float64bits(f))
}

// Unmarshal replaces w by the state in b, after which it answers as the marshalled Watch would have. On an error w is
// unchanged.
func (w *Watch) Unmarshal(b []byte) error {
	if len(b) < 2 || b[0] != layout || b[1]&^flagAfresh != 0 {
		return ErrState
	}
	r := reader{b: b[2:]}
	out := Watch{afresh: b[1]&flagAfresh != 0, newest: r.varint(), n: r.uvarint()}
	out.late, out.invalid = uint32(r.atMost(math.MaxUint32)), uint32(r.atMost(math.MaxUint32))
	out.used = uint8(r.atMost(ringSize))
	before := int64(0)
	for i := range int(out.used) {
		before += r.varint()
		out.times[i], out.values[i] = before, r.float()
	}
	out.head = out.used % ringSize
	if n := r.atMost(2 * MaxRules); n > 0 && !r.bad {
		out.states = make([]state, n)
	}
	for i := range out.states {
		out.states[i].unmarshal(&r)
	}
	if r.bad || len(r.b) > 0 {
		return ErrState
	}
	*w = out
	return nil
}

func (st *state) unmarshal(r *reader) {
	st.hash = r.word()
	flags := r.byte()
	st.phase = phase(flags & flagPhase)
	st.since, st.due, st.moved = r.varint(), r.varint(), telemetry.Version(r.varint())
	r.refuse(st.phase > on || flags&^(flagPhase|flagAlert) != 0 || st.due < 0 || st.moved < telemetry.NoVersion)
	if n := r.atMost(MaxFlapCount); n > 0 && !r.bad {
		st.came = make([]int64, n)
	}
	before := int64(0)
	for i := range st.came {
		before += r.varint()
		st.came[i] = before
	}
	if flags&flagAlert != 0 && !r.bad {
		st.alert = new(alert)
		st.alert.unmarshal(r)
		// Every alert waits for something: its condition to go, or its due.
		r.refuse(st.phase != on && st.due == 0 || st.alert.flapping && st.due == 0 || st.moved < st.alert.raised)
		return
	}
	r.refuse(st.phase == on || st.due != 0)
}

func (a *alert) unmarshal(r *reader) {
	flags := r.byte()
	a.flapping = flags&flagFlapping != 0
	a.rule, a.kind, a.severity = r.text(), Kind(r.text()), telemetry.Severity(r.text())
	a.detector, a.assignee = r.text(), r.text()
	a.raised, a.started = telemetry.Version(r.varint()), r.varint()
	a.evidence = r.evidence()
	a.count, a.told = uint32(r.atMost(math.MaxUint32)), uint32(r.atMost(math.MaxUint32))
	a.first = r.varint()
	r.refuse(flags&^(flagFlapping|flagMarked|flagAccount) != 0 || a.told > a.count || a.flapping != (a.count > 0) || a.flapping != (a.told > 0))
	if n := r.atMost(MaxLabels); n > 0 && !r.bad {
		a.labels = make(map[string]string, n)
		last := ""
		for i := range n {
			key := r.text()
			r.refuse(i > 0 && key <= last)
			a.labels[key], last = r.text(), key
		}
	}
	if flags&flagMarked != 0 {
		note := r.note()
		a.marked = &note
	}
	for range r.atMost(MaxComments) {
		a.comments = append(a.comments, r.note())
	}
	if flags&flagAccount != 0 && !r.bad {
		a.account = r.account()
	}
}
