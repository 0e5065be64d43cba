package pipeline

import (
	"fmt"
	"math"
	"testing"

	"github.com/VictoriaMetrics/metrics"
	"pgregory.net/rapid"
)

// offer shows one record of d and returns its verdict.
func (s *dedupe) offer(d *device, offset int64, session string, seq uint64) verdict {
	r := record{offset: offset, device: d, session: session, seq: seq, verdict: fresh}
	s.record(&r, 1)
	return r.verdict
}

func newTestDedupe() *dedupe { return &dedupe{m: newCounters(metrics.NewSet())} }

// The window is compared with a set that forgets nothing.
func TestWindowAgreesWithASetOfAllSequenceNumbers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, d := newTestDedupe(), &device{applied: -1}
		seen := make(map[uint64]bool)
		highest := uint64(0)
		base := rapid.SampledFrom([]uint64{0, 1023, 1 << 40, math.MaxUint64 - 2000}).Draw(t, "base")
		for offset := range rapid.IntRange(1, 200).Draw(t, "records") {
			seq := base + highest
			if rapid.Bool().Draw(t, "back") {
				seq -= min(seq, rapid.Uint64Range(0, 1500).Draw(t, "by"))
			} else {
				step := rapid.SampledFrom([]uint64{0, 1, 2, 63, 64, 1023, 1024, 5000}).Draw(t, "step")
				seq += min(step, math.MaxUint64-seq)
			}
			top := seq
			for n := range seen {
				top = max(top, n)
			}
			want := fresh
			if seen[seq] && top-seq < seqWindow {
				want = duplicate
			}
			if got := s.offer(d, int64(offset), "boot", seq); got != want {
				t.Fatalf("record %d, seq %d below maximum %d: verdict %d, want %d", offset, seq, top, got, want)
			}
			seen[seq] = true
			highest = top - min(top, base)
		}
	})
}

func TestLargestSequenceNumberIsOneLikeAnyOther(t *testing.T) {
	s, d := newTestDedupe(), &device{applied: -1}
	s.offer(d, 0, "boot", math.MaxUint64-1)
	for offset, want := range []verdict{fresh, duplicate} {
		if got := s.offer(d, 1+int64(offset), "boot", math.MaxUint64); got != want {
			t.Errorf("offered for the %d. time: verdict %d, want %d", 1+offset, got, want)
		}
	}
}

func TestRecordInTheStateIsAReplayAndNoDuplicate(t *testing.T) {
	s, d := newTestDedupe(), &device{applied: -1}
	s.offer(d, 10, "boot", 1)
	for offset, want := range map[int64]verdict{9: replayed, 10: replayed, 11: duplicate} {
		if got := s.offer(d, offset, "boot", 1); got != want {
			t.Errorf("seq 1 again at offset %d: verdict %d, want %d", offset, got, want)
		}
	}
}

func TestRecordWithoutSessionIsNeverADuplicate(t *testing.T) {
	s, d := newTestDedupe(), &device{applied: -1}
	for offset := range int64(3) {
		if got := s.offer(d, offset, "", 7); got != fresh {
			t.Errorf("verdict %d, want fresh", got)
		}
	}
}

func TestSequenceNumberFarBelowTheWindowCountsAndIsMeasured(t *testing.T) {
	s, d := newTestDedupe(), &device{applied: -1}
	s.offer(d, 0, "boot", 5000)
	s.offer(d, 1, "boot", 10)
	if got := s.offer(d, 2, "boot", 10); got != fresh {
		t.Errorf("verdict %d, want fresh", got)
	}
	if got := s.m.forgotten.Get(); got != 2 {
		t.Errorf("%d sequence numbers out of the window, want 2", got)
	}
}

func TestLeastRecentlyUsedSessionIsForgotten(t *testing.T) {
	s, d := newTestDedupe(), &device{applied: -1}
	offset := int64(0)
	offer := func(session int) verdict {
		offset++
		return s.offer(d, offset, fmt.Sprint("boot ", session), 1)
	}
	for session := range maxSessions {
		offer(session)
	}
	if got := offer(0); got != duplicate {
		t.Fatalf("session 0: verdict %d, want duplicate", got)
	}
	offer(maxSessions) // pushes out session 1
	for session, want := range map[int]verdict{0: duplicate, 2: duplicate, maxSessions: duplicate} {
		if got := offer(session); got != want {
			t.Errorf("session %d: verdict %d, want %d", session, got, want)
		}
	}
	if got := offer(1); got != fresh {
		t.Errorf("session 1: verdict %d, want fresh", got)
	}
}

func TestDeviceIsDirtyAlsoAfterADuplicate(t *testing.T) {
	s, d := newTestDedupe(), &device{applied: -1}
	s.offer(d, 0, "boot", 1)
	s.dirty, d.dirty = nil, false
	s.offer(d, 1, "boot", 1)
	if len(s.dirty) != 1 || d.applied != 1 {
		t.Errorf("dirty %d, applied %d: the offset of a duplicate must be remembered", len(s.dirty), d.applied)
	}
}
