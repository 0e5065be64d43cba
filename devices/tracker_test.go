package devices

import (
	"fmt"
	"testing"
	"time"
	"unsafe"

	"pgregory.net/rapid"

	"weir/wire"
)

// TestCountsAddUp compares the tracker with a model that remembers every frame.
func TestCountsAddUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := open(&testing.T{}, options(newMemory(), "a"))
		now := int64(1_700_000_000_000_000)
		type session struct{ seen map[uint64]bool }
		var sum counts
		var missing, sessions uint64
		current, name := session{}, ""
		rejected := map[string]uint64{}
		limited := map[string]uint64{}
		finish := func() {
			if len(current.seen) == 0 {
				return
			}
			low, high := ^uint64(0), uint64(0)
			for seq := range current.seen {
				low, high = min(low, seq), max(high, seq)
			}
			missing += high - low + 1 - uint64(len(current.seen))
		}
		first := uint64(0)
		for range rapid.IntRange(1, 60).Draw(t, "frames") {
			now += rapid.Int64Range(0, 2_000_000).Draw(t, "pause")
			f := &FrameInfo{Now: now}
			if rapid.IntRange(0, 9).Draw(t, "limit") == 0 {
				f.Limited, f.LimitedN = wire.CodeLimitKey, rapid.IntRange(1, 9).Draw(t, "n")
				limited[f.Limited] += uint64(f.LimitedN)
				sum.Limited += uint64(f.LimitedN)
				r.Frame("p/d", f)
				continue
			}
			if name == "" || rapid.IntRange(0, 20).Draw(t, "reboot") == 0 {
				finish()
				sessions++
				name = fmt.Sprint("s", sessions)
				current = session{seen: map[uint64]bool{}}
				first = rapid.Uint64Range(0, 100).Draw(t, "first")
			}
			f.Session, f.HasSeq = name, true
			f.Seq = first + rapid.Uint64Range(0, 12).Draw(t, "seq")
			if len(current.seen) == 0 {
				f.Seq = first
			}
			n := rapid.IntRange(1, 5).Draw(t, "readings")
			if current.seen[f.Seq] {
				f.Duplicate = n
				sum.Duplicate += uint64(n)
			} else {
				f.Accepted = n
				sum.Accepted += uint64(n)
			}
			current.seen[f.Seq] = true
			for range rapid.IntRange(0, 2).Draw(t, "rejected") {
				code := rapid.SampledFrom([]string{"value_type", "ts_future"}).Draw(t, "code")
				f.Rejected++
				f.Rejections = append(f.Rejections, wire.Rejection{Code: code})
				rejected[code]++
				sum.Rejected++
			}
			r.Frame("p/d", f)
		}
		finish()
		h, ok := r.Health("p/d", true)
		if !ok || h.Readings != sum {
			t.Fatalf("readings %+v, want %+v", h.Readings, sum)
		}
		if h.Sequence.Missing != missing || uint64(h.Sequence.Sessions) != sessions {
			t.Fatalf("missing %d of %d sessions, want %d of %d", h.Sequence.Missing, h.Sequence.Sessions, missing, sessions)
		}
		if fmt.Sprint(h.RejectedBy) != fmt.Sprint(rejected) || fmt.Sprint(h.LimitedBy) != fmt.Sprint(limited) {
			t.Fatalf("by code %v and %v, want %v and %v", h.RejectedBy, h.LimitedBy, rejected, limited)
		}
	})
}

func TestSkewIsTheLeastDelayedReading(t *testing.T) {
	var s skew
	if _, ok := s.estimate(); ok {
		t.Fatal("an estimate of nothing")
	}
	minute := time.Minute.Microseconds()
	for i := range int64(30) { // 3 s ahead, delayed by 20 to 50 ms
		s.observe(3_000_000-20_000-(i*7%30)*1000, i*minute/3)
	}
	if ahead, _ := s.estimate(); ahead != 2_980_000 {
		t.Errorf("%d µs ahead", ahead)
	}
	for i := range int64(60) { // set right
		s.observe(-20_000, 10*minute+i*minute/3)
	}
	if ahead, _ := s.estimate(); ahead != -20_000 {
		t.Errorf("%d µs ahead after the clock was set right", ahead)
	}
}

func TestRateIsOfTheLastMinute(t *testing.T) {
	var r rate
	second := time.Second.Microseconds()
	for i := range int64(150) {
		r.add(i*second, 10)
	}
	if got := r.perSecond(150 * second); got < 9.5 || got > 10.5 {
		t.Errorf("%v readings/s, want 10", got)
	}
	if got := r.perSecond(400 * second); got != 0 {
		t.Errorf("%v readings/s after a pause", got)
	}
}

func TestErrorsInARowAreOne(t *testing.T) {
	r := open(t, options(newMemory(), "a"))
	for i := range 50 {
		r.Frame("p/d", &FrameInfo{Rejected: 1, Code: "value_type", Path: fmt.Sprintf("readings[%d].value", i/10), Now: int64(i + 1)})
	}
	h, _ := r.Health("p/d", true)
	if len(h.Errors) != 5 || h.Errors[0].Path != "readings[4].value" || h.Errors[0].Count != 10 || h.Errors[0].Time.UnixMicro() != 50 {
		t.Errorf("%+v", h.Errors)
	}
	for i := range 50 {
		r.Frame("p/d", &FrameInfo{Rejected: 1, Code: fmt.Sprint("code", i), Now: int64(i + 100)})
	}
	h, _ = r.Health("p/d", true)
	if len(h.Errors) != maxErrors || h.Errors[9].Code != "code40" || len(h.RejectedBy) > maxCodes {
		t.Errorf("%d errors, %d codes", len(h.Errors), len(h.RejectedBy))
	}
}

func TestMemoryIsBoundedAndTheOnlineStay(t *testing.T) {
	o := options(newMemory(), "a")
	o.Config.MaxTracked = 640
	r := open(t, o)
	c := r.Connect(socket)
	c.Attach("p/here")
	for i := range 20_000 {
		r.Frame(fmt.Sprint("p/", i), &FrameInfo{Rejected: 1, Code: "value_type", Now: int64(i + 1)})
	}
	if n := r.shards.len(); n > 640 {
		t.Errorf("%d devices are tracked, 640 may be", n)
	}
	if h, _ := r.Health("p/here", true); h.Presence == nil || h.Presence.State != "online" {
		t.Errorf("what is online was forgotten: %+v", h.Presence)
	}
	if n := int(r.shards.faulty.Load()); n > 640 {
		t.Errorf("%d devices count as faulty", n)
	}
	if size := unsafe.Sizeof(entry{}); size > 400 {
		t.Errorf("an entry has %d bytes", size)
	}
}

func TestFramesDoNotAllocate(t *testing.T) {
	r := open(t, options(newMemory(), "a"))
	f := &FrameInfo{Accepted: 10, Session: "boot-1", HasSeq: true}
	r.Frame("p/d", f)
	if n := testing.AllocsPerRun(1000, func() {
		f.Seq++
		f.Now++
		r.Frame("p/d", f)
	}); n != 0 {
		t.Errorf("%v allocations per frame", n)
	}
}

func BenchmarkFrame(b *testing.B) {
	r := open(b, options(newMemory(), "a"))
	names := make([]string, 1<<14)
	for i := range names {
		names[i] = fmt.Sprintf("plant1/line%d/press%d", i%16, i)
	}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		f := &FrameInfo{Accepted: 10, Session: "boot-1", HasSeq: true, Newest: 1}
		for i := 0; pb.Next(); i++ {
			f.Seq++
			f.Now = int64(i)
			r.Frame(names[i%len(names)], f)
		}
	})
}

func BenchmarkFrameWithErrors(b *testing.B) {
	r := open(b, options(newMemory(), "a"))
	f := &FrameInfo{Rejected: 2, Rejections: []wire.Rejection{{Code: "value_type", Path: "readings[0].value"}, {Code: "ts_future", Path: "readings[1].ts"}}}
	b.ReportAllocs()
	for i := range b.N {
		f.Now = int64(i)
		r.Frame("plant1/line1/press7", f)
	}
}
