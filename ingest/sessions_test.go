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
	favourite := m.get("plant1/a", "boot")
	favourite.acknowledge(1)
	for i := range 10_000 {
		m.get(fmt.Sprintf("plant1/d%d", i), "boot")
		if m.len() > 100 {
			t.Fatalf("%d sessions kept with a limit of 100", m.len())
		}
		if m.get("plant1/a", "boot") != favourite {
			t.Fatalf("a session in use was forgotten after %d others", i)
		}
	}
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
