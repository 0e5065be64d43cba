package conformance

import (
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"math"
	"slices"
	"time"

	"weir/wire"
)

// maxKept is how many frames of a session are kept to be compared with.
const maxKept = 8192

// key is what tells a frame from others.
type key struct {
	session string
	seq     uint64
}

func (k key) String() string { return fmt.Sprintf("session %q seq %d", k.session, k.seq) }

// seen is a frame that has come.
type seen struct {
	key      key
	numbered bool
	conn     int
	frame    uint64
	at       time.Time
	snippet  string
	content  uint64 // hash of the readings; 0 when they have no times of their own, as then no two are alike
	again    bool   // it had come before
	backlog  bool
	readings int
	rejected []wire.Rejection
}

func (s *seen) evidence(format string, args ...any) Evidence {
	return Evidence{Conn: s.conn, Frame: s.frame, What: fmt.Sprintf(format, args...), Snippet: s.snippet}
}

// notebook remembers frames, to compare later ones with.
type notebook struct {
	seed     maphash.Seed
	sessions map[string]*session
	contents map[uint64]key // of frames that are owed: by content
	owed     map[key]*seen  // without a receipt, their connection lost
	refused  map[key]*seen  // with retry_after_ms
	fresh    int            // the newest connection that brought a frame which had not come before
	minAge   time.Duration  // the smallest age of a newest reading
	aged     *seen
}

type session struct {
	high   uint64
	kept   map[uint64]uint64 // seq to content
	oldest []uint64
}

func newNotebook() *notebook {
	return &notebook{seed: maphash.MakeSeed(), sessions: map[string]*session{}, contents: map[uint64]key{},
		owed: map[key]*seen{}, refused: map[key]*seen{}, minAge: math.MaxInt64}
}

// note checks a frame by itself and beside those before it.
func (n *notebook) note(s *seen, f *wire.Frame, now int64, t tally) {
	s.readings, s.rejected = f.Total, slices.Clone(f.Rejected)
	s.key, s.numbered, s.backlog = key{f.Session, f.Seq}, f.HasSeq && f.Session != "", f.Backlog
	t.pass(checkSyntax)
	n.rejections(s, f, t)
	n.times(s, f, now, t)
	s.content = n.contentOf(f, now)
	if !s.numbered {
		t.fail(checkNumbers, s.evidence("no session or no seq: a frame that is sent again would count twice"))
		return
	}
	t.pass(checkNumbers)
	n.number(s, t)
}

// number checks the seq.
func (n *notebook) number(s *seen, t tally) {
	in := n.sessions[s.key.session]
	if in == nil {
		in = &session{kept: map[uint64]uint64{}}
		n.sessions[s.key.session] = in
	}
	before, known := in.kept[s.key.seq]
	switch {
	case known && (before != s.content || s.content == 0):
		if s.content == 0 || before == 0 {
			s.again = true // without times it cannot be told whether the content is the same
			break
		}
		t.fail(checkReuse, s.evidence("%v came before with other readings", s.key))
		return
	case known:
		s.again = true
		t.pass(checkReuse)
	case len(in.kept) > 0 && s.key.seq < in.high:
		t.fail(checkOrder, s.evidence("%v is new and came after seq %d", s.key, in.high))
	default:
		t.pass(checkOrder)
		t.pass(checkReuse)
	}
	n.settle(s, t)
	if !s.again {
		n.fresh = max(n.fresh, s.conn)
	}
	in.high = max(in.high, s.key.seq)
	if !known {
		in.oldest = append(in.oldest, s.key.seq)
		if len(in.oldest) > maxKept {
			delete(in.kept, in.oldest[0])
			in.oldest = in.oldest[1:]
		}
	}
	in.kept[s.key.seq] = s.content
}

// settle looks whether the frame is one that is owed.
func (n *notebook) settle(s *seen, t tally) {
	if n.owed[s.key] != nil {
		t.pass(checkResend)
		t.pass(checkRenumber)
	}
	if n.refused[s.key] != nil {
		t.pass(checkRetry)
		t.pass(checkRenumber)
	}
	n.forget(n.owed, s.key)
	n.forget(n.refused, s.key)
	if first, ok := n.contents[s.content]; ok && s.content != 0 && first != s.key {
		was := n.owed[first]
		if was == nil {
			was = n.refused[first]
		}
		t.fail(checkRenumber, s.evidence("the readings of %v (connection %d, frame %d), which had no receipt, came again as %v", first, was.conn, was.frame, s.key))
		n.forget(n.owed, first)
		n.forget(n.refused, first)
	}
}

// forget strikes a frame out. What contents holds is always of a frame in owed or refused: a device that uses a number
// twice can owe two contents under one key.
func (n *notebook) forget(from map[key]*seen, k key) {
	if was := from[k]; was != nil && n.contents[was.content] == k {
		delete(n.contents, was.content)
	}
	delete(from, k)
}

// owe notes that a frame has to come again.
func (n *notebook) owe(s *seen, refused bool) {
	if !s.numbered || !refused && n.refused[s.key] != nil {
		return
	}
	in := n.owed
	if refused {
		in = n.refused
	}
	n.forget(in, s.key)
	in[s.key] = s
	if s.content != 0 {
		n.contents[s.content] = s.key
	}
}

// conclude judges what never came again. Who brought no new frame since then has not passed it over; and what was
// refused after recently may still come.
func (n *notebook) conclude(t tally, recently time.Time) {
	for _, s := range n.owed {
		if n.fresh <= s.conn {
			continue
		}
		t.fail(checkResend, s.evidence("%v had no receipt when the connection was lost, and never came again", s.key))
	}
	for _, s := range n.refused {
		if s.at.After(recently) {
			continue
		}
		t.fail(checkRetry, s.evidence("%v was refused with retry_after_ms, and never came again", s.key))
	}
	if n.aged == nil {
		return
	}
	if n.minAge > maxSkew {
		t.fail(checkSkew, n.aged.evidence("of all frames, the newest reading is at least %v old: the clock is behind, or readings wait", n.minAge.Round(time.Millisecond)))
		return
	}
	t.pass(checkSkew)
}

// contentOf hashes the readings, unless the device left the time to the server.
func (n *notebook) contentOf(f *wire.Frame, now int64) uint64 {
	var h maphash.Hash
	h.SetSeed(n.seed)
	var buf []byte
	for _, b := range f.Batches {
		_, _ = h.WriteString(b.Device)
		for _, r := range b.Readings {
			if r.Time == now {
				return 0
			}
			buf = binary.LittleEndian.AppendUint64(append(buf[:0], r.Metric...), uint64(r.Time))
			buf = binary.LittleEndian.AppendUint64(buf, math.Float64bits(r.Value))
			_, _ = h.Write(buf)
		}
	}
	if len(f.Batches) == 0 {
		return 0
	}
	return max(1, h.Sum64())
}

// rejections sorts what the decoder refused.
func (n *notebook) rejections(s *seen, f *wire.Frame, t tally) {
	good := len(f.Batches) > 0
	for i := range f.Rejected {
		r := &f.Rejected[i]
		t.fail(checkOf(r.Code), s.evidence("%s at %s: %s", r.Code, r.Path, r.Message))
	}
	if good {
		t.pass(checkNames)
		t.pass(checkValues)
	}
}

// checkOf is the check that a code belongs to.
func checkOf(code string) check {
	switch code {
	case wire.CodeTimeFuture:
		return checkFuture
	case wire.CodeTimeInvalid, wire.CodeTimeType, wire.CodeTimeUnit:
		return checkUnits
	case wire.CodeValueMissing, wire.CodeValueType, wire.CodeValueNotFinite, wire.CodeValueUnsafe:
		return checkValues
	case wire.CodeReadingType:
		return checkSyntax
	case wire.CodeFrameTooLarge, wire.CodeReadingsTooMany, wire.CodeEncodingTooLarge:
		return checkSize
	case wire.CodeEncodingInvalid:
		return checkFraming
	case wire.CodeSessionInvalid, wire.CodeSeqInvalid, wire.CodeSeqMissing:
		return checkNumbers
	case wire.CodeJSONSyntax, wire.CodeJSONUTF8, wire.CodeJSONDepth, wire.CodeFrameEmpty, wire.CodeFrameType,
		wire.CodeReadingsType, wire.CodeFormatUnknown, wire.CodeFormatSyntax:
		return checkSyntax
	}
	return checkNames
}
