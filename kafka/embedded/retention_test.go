package embedded

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// drawLogs makes partitions whose segments are in order of offset and of time.
func drawLogs(t *rapid.T, now time.Time) []logState {
	logs := make([]logState, rapid.IntRange(1, 4).Draw(t, "partitions"))
	for i := range logs {
		base := int64(0)
		at := now.Add(-time.Hour)
		for range rapid.IntRange(0, 6).Draw(t, "segments") {
			n := rapid.Int64Range(1, 100).Draw(t, "records")
			at = at.Add(time.Duration(rapid.IntRange(0, 600).Draw(t, "seconds")) * time.Second)
			logs[i].segments = append(logs[i].segments, segment{base: base, bytes: 10 * n, batches: n, modified: at})
			base += n
		}
		logs[i].floor = rapid.Int64Range(-1, base+10).Draw(t, "floor")
	}
	return logs
}

func TestPlanKeepsTheNewestSegmentAndWhatIsNeeded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := time.Now()
		logs := drawLogs(t, now)
		r := Retention{
			Age:     time.Duration(rapid.IntRange(0, 3000).Draw(t, "age")) * time.Second,
			Bytes:   rapid.Int64Range(0, 5000).Draw(t, "bytes"),
			Batches: rapid.Int64Range(0, 500).Draw(t, "batches"),
		}
		cut := plan(logs, r, now)
		var bytes, batches int64
		more := false // something could still go
		for i, l := range logs {
			if n := cut[i]; n > 0 && (n >= len(l.segments) || l.segments[n].base > l.floor) {
				t.Fatalf("partition %d: %d of %d segments go, floor %d", i, n, len(l.segments), l.floor)
			}
			for n, s := range l.segments[cut[i]:] {
				bytes, batches = bytes+s.bytes, batches+s.batches
				if free := n+1 < len(l.segments)-cut[i] && l.segments[cut[i]+n+1].base <= l.floor; free && n == 0 {
					more = true
					if r.Age > 0 && now.Sub(s.modified) >= r.Age {
						t.Fatalf("partition %d keeps a segment of age %v", i, now.Sub(s.modified))
					}
				}
			}
		}
		if more && (r.Bytes > 0 && bytes > r.Bytes || r.Batches > 0 && batches > r.Batches) {
			t.Fatalf("%d bytes in %d batches stay although more could go", bytes, batches)
		}
	})
}

func TestPlanLeavesABoundedTopicAlone(t *testing.T) {
	now := time.Now()
	logs := []logState{{floor: 100, segments: []segment{{0, 10, 1, now}, {10, 10, 1, now}, {20, 10, 1, now}}}}
	if cut := plan(logs, Retention{Age: time.Hour, Bytes: 30, Batches: 3}, now); cut[0] != 0 {
		t.Fatal(cut)
	}
	if cut := plan(logs, Retention{Bytes: 29}, now); cut[0] != 1 {
		t.Fatal(cut)
	}
}

// eventually waits for a condition the trimmer brings about.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if <-tick.C; time.Now().After(deadline) {
			t.Fatal(what)
		}
	}
}

func TestTrimmingWaitsForTheFloorAndStopsAtIt(t *testing.T) {
	b := open(t, Options{Dir: t.TempDir(), Config: small(), Retention: map[string]Retention{"a": {Bytes: 1}}})
	r := rawClient(t, b)
	must(t, r.createTopic("a", 2, nil))
	fill(t, r, "a", 0, 0, 200, 100)
	fill(t, r, "a", 1, 0, 200, 100)
	start := func(p int32) int64 { return get[int64](t)(r.offset("a", p, -2)) }

	b.trim(t.Context())
	if start(0) != 0 {
		t.Fatal("trimmed before there is a floor")
	}
	var asked atomic.Int64
	b.SetFloor(func(_ context.Context, _ string, p int) (int64, error) {
		asked.Add(1)
		if p == 1 {
			return 0, errors.New("nobody knows")
		}
		return 120, nil
	})
	eventually(t, "trimming up to the floor", func() bool { return start(0) > 0 })
	seen := asked.Load()
	eventually(t, "some more rounds", func() bool { return asked.Load() > seen+6 })
	if s := start(0); s > 120 || s < 60 || start(1) != 0 {
		t.Fatalf("logs begin at %d and %d", s, start(1))
	}
	b.SetFloor(NoFloor)
	eventually(t, "trimming to the newest segment", func() bool {
		segs := get[[]segment](t)(listSegments(partitionDir(b.dir, "a", 0)))
		return len(segs) == 1 && start(0) == segs[0].base
	})
	if recs := get[[]fetched](t)(r.all("a", 0)); len(recs) == 0 || recs[len(recs)-1].offset != 199 {
		t.Fatal("the newest segment is gone")
	}
}

func TestOldSegmentsGoAndAnIdleNightKeepsOffsets(t *testing.T) {
	o := Options{Dir: t.TempDir(), Config: small(), Retention: map[string]Retention{"a": {Age: time.Nanosecond}}}
	b := open(t, o)
	b.SetFloor(NoFloor)
	r := rawClient(t, b)
	must(t, r.createTopic("a", 1, nil))
	fill(t, r, "a", 0, 0, 200, 100)
	trimmed := func() bool { return len(get[[]segment](t)(listSegments(partitionDir(b.dir, "a", 0)))) == 1 }
	eventually(t, "trimming by age", trimmed)
	start, end, err := r.bounds("a", 0)
	if err != nil || end != 200 || start < 100 {
		t.Fatalf("[%d, %d), %v", start, end, err)
	}
	var starts []int64
	for range 3 { // nobody writes, the broker is killed each morning
		o.Dir = crash(t, b)
		b = open(t, o)
		b.SetFloor(NoFloor)
		b.trim(t.Context())
		r = rawClient(t, b)
		start, end, err := r.bounds("a", 0)
		if err != nil || end != 200 || start >= end {
			t.Fatalf("[%d, %d), %v", start, end, err)
		}
		starts = append(starts, start)
	}
	if !slices.IsSorted(starts) {
		t.Fatalf("the log began at %v", starts)
	}
}

func TestBuiltInCompactionAndRetentionStayOff(t *testing.T) {
	b := open(t, Options{Dir: t.TempDir(), Config: small()})
	r := rawClient(t, b)
	must(t, r.createTopic("c", 1, map[string]string{"cleanup.policy": "compact", "retention.ms": "1"}))
	must(t, r.createTopic("d", 1, map[string]string{"retention.ms": "1", "retention.bytes": "1"}))
	fill(t, r, "c", 0, 0, 100, 100)
	fill(t, r, "d", 0, 0, 100, 100)
	// The topics keep what they were created with; the ticker that would apply it is a hundred years away.
	if v := b.cluster.TopicInfo("c").Configs["cleanup.policy"]; v == nil || *v != "compact" {
		t.Fatal("the policy is not visible")
	}
	if got := brokerConfig(t, r, "log.cleaner.backoff.ms"); got != never {
		t.Fatalf("cleaner backs off %s ms", got)
	}
	for _, topic := range []string{"c", "d"} {
		if start, end, err := r.bounds(topic, 0); start != 0 || end != 100 || err != nil {
			t.Fatalf("%s is [%d, %d), %v", topic, start, end, err)
		}
	}
}
