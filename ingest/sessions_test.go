package ingest

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

func TestASessionKnowsExactlyTheAcknowledgedSeqsOfItsWindow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := new(session)
		stored := make(map[uint64]bool)
		high, base := uint64(0), rapid.SampledFrom([]uint64{0, 5_000, 1 << 40}).Draw(t, "base")
		steps := rapid.SliceOfN(rapid.IntRange(-1500, 1500), 1, 60).Draw(t, "steps")
		at := base
		for _, step := range steps {
			if int64(at)+int64(step) >= 0 {
				at = uint64(int64(at) + int64(step))
			}
			if len(stored) == 0 || at > high {
				high = at
			}
			if high-at < seqWindow {
				stored[at] = true
			}
			s.acknowledge(at)
			for _, seq := range []uint64{at, at + 1, at - 1, at + 700, at - 700, high, high - 1023, high - 1024} {
				want := stored[seq] && seq <= high && high-seq < seqWindow
				if got := s.acknowledged(seq); got != want {
					t.Fatalf("seq %d (high %d): %v, want %v", seq, high, got, want)
				}
			}
		}
	})
}

func TestTheMemoryOfSessionsIsBoundedAndKeepsTheRecent(t *testing.T) {
	m := newSessions(100)
	look := func(device string) *session { s, _ := m.get(sessionKey{device, "boot"}, nil); return s }
	favourite := look("plant1/a")
	favourite.acknowledge(1)
	for i := range 10_000 {
		look(fmt.Sprintf("plant1/d%d", i))
		if m.len() > 100 {
			t.Fatalf("%d sessions kept with a limit of 100", m.len())
		}
		if look("plant1/a") != favourite {
			t.Fatalf("a session in use was forgotten after %d others", i)
		}
	}
}

func TestASessionThatAConnectionUsesIsFoundByOthers(t *testing.T) {
	for _, pause := range []int{1, 7, 1000} { // sessions that begin between two frames; with 1000 all is forgotten meanwhile
		m := newSessions(100)
		var mine knownSession
		first := m.find(&mine, "plant1/a", "boot")
		for i := range 3000 {
			var other knownSession
			m.find(&other, fmt.Sprintf("plant1/d%d", i), "boot")
			if i%pause > 0 {
				continue
			}
			if m.find(&mine, "plant1/a", "boot") != first {
				t.Fatalf("pause %d: the connection lost its session after %d others", pause, i)
			}
			var again knownSession
			if m.find(&again, "plant1/a", "boot") != first {
				t.Fatalf("pause %d: another connection has a session of its own after %d others", pause, i)
			}
		}
		if m.find(&mine, "plant1/a", "boot2") == first || m.find(&mine, "plant1/b", "boot2") == first {
			t.Error("another session is the same")
		}
	}
}

func TestAFrameThatIsSentAgainIsADuplicateHoweverManySessionsHaveBegun(t *testing.T) {
	p := &logProducer{}
	s := start(t, p, func(o *Options) { o.Config.DedupeSessions = 8 })
	frame := func(device string, seq int) string {
		return fmt.Sprintf(`{"device":"plant1/%s","session":"s","seq":%d,"backlog":true,"metric":"m","value":1}`, device, seq)
	}
	d, others := s.dial(t, "", nil), s.dial(t, "", nil)
	for i := range 20 {
		d.send(frame("a", i))
		d.receipt()
		others.send(frame(fmt.Sprint("other", i), 1))
		others.receipt()
	}
	again := s.dial(t, "", nil)
	again.send(frame("a", 19))
	if r := again.receipt(); r.Duplicate != 1 || r.Accepted != 0 {
		t.Errorf("%+v", r)
	}
}

func TestAFrameOfSeveralSessionsIsClaimedInAllOfThemOrInNone(t *testing.T) {
	a, b := new(session), new(session)
	if !b.claim(7) {
		t.Fatal("nobody has claimed it")
	}
	r := newReceipt(func() {})
	r.begin(1, 64, 0)
	r.Seq = 7
	r.acks = append(r.acks, a, b)
	if r.claim() {
		t.Fatal("the second session's was claimed already")
	}
	r.disclaim() // has no claim to give up
	if b.claim(7) {
		t.Error("another's claim was given up")
	}
	b.disclaim(7)
	if !r.claim() || a.claim(7) || b.claim(7) {
		t.Error("not claimed in both")
	}
}

func TestASeqIsClaimedByOneAtATimeAndByNobodyOnceItIsStored(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := new(session)
		claimed, stored := make(map[uint64]bool), make(map[uint64]bool)
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			seq := rapid.Uint64Range(0, 20).Draw(t, "seq")
			if claimed[seq] && rapid.Bool().Draw(t, "ends") {
				if rapid.Bool().Draw(t, "stored") {
					s.acknowledge(seq)
					stored[seq] = true
				}
				s.disclaim(seq)
				delete(claimed, seq)
				continue
			}
			want := !claimed[seq] && !stored[seq]
			if got := s.claim(seq); got != want {
				t.Fatalf("claim of %d: %v (claimed %v, stored %v)", seq, got, claimed[seq], stored[seq])
			}
			if want {
				claimed[seq] = true
			}
			if len(s.claims) != len(claimed) {
				t.Fatalf("%d claims kept of %d", len(s.claims), len(claimed))
			}
		}
	})
}

func TestConfigNamesEveryFieldThatCannotWork(t *testing.T) {
	if err := DefaultConfig().Validate(); err != nil {
		t.Fatalf("the defaults do not work: %v", err)
	}
	c := DefaultConfig()
	c.Credit, c.IdleTimeout = 0, -1
	want := "credit: must be between 1 and 16384, is 0\nidle_timeout: must be > 0, is -1ns"
	if err := c.Validate(); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
