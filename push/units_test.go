package push

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"weir/telemetry"
)

func TestMatchingAgreesWithEveryPatternTriedOnEverySeries(t *testing.T) {
	segment := rapid.SampledFrom([]string{"a", "b", "ab", "_x", "c"})
	wild := rapid.SampledFrom([]string{"a", "b", "ab", "+", "_x"})
	rapid.Check(t, func(t *rapid.T) {
		st := newStore()
		var names []string
		addSome := func() {
			for _, s := range rapid.SliceOfN(rapid.SliceOfN(segment, 1, 4), 0, 8).Draw(t, "names") {
				if name := strings.Join(s, "/"); st.series[name] == nil {
					st.add(name)
					names = append(names, name)
				}
			}
		}
		for range 3 { // names that come later are found as well
			addSome()
			var ps []telemetry.Pattern
			for _, s := range rapid.SliceOfN(rapid.SliceOfN(wild, 0, 3), 1, 3).Draw(t, "patterns") {
				if rapid.Bool().Draw(t, "hash") || len(s) == 0 {
					s = append(s, "#")
				}
				ps = append(ps, patterns(strings.Join(s, "/"))...)
			}
			var got, want []string
			st.matching(ps, func(s *series) bool {
				got = append(got, s.name)
				return true
			})
			for _, name := range names {
				if slices.ContainsFunc(ps, func(p telemetry.Pattern) bool { return p.Match(name) }) {
					want = append(want, name)
				}
			}
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Fatalf("%v of %v: got %v, want %v", ps, names, got, want)
			}
		}
	})
}

func TestViewsOfASeriesAreThoseWhosePatternsMatch(t *testing.T) {
	h := testHub()
	open := func(texts ...string) *view {
		h.mu.Lock()
		defer h.mu.Unlock()
		ps, key := canonical(patterns(texts...))
		return h.openViewLocked(viewKey{patterns: key}, ps, h.store.selected(ps, 10))
	}
	h.apply(0, []telemetry.Update{single("p/a/m", 0, 1)}, 1)
	both, q := open("p/#", "+/a/m"), open("q/#")
	h.apply(0, []telemetry.Update{single("p/b/m", 0, 1), single("q/a/m", 0, 1)}, 2)
	if got := fmt.Sprint(names(both), names(q)); got != "[p/a/m p/b/m q/a/m] [q/a/m]" {
		t.Errorf("dictionaries = %s", got)
	}
	h.mu.Lock()
	h.closeViewLocked(both)
	h.mu.Unlock()
	for name, want := range map[string]int{"p/a/m": 0, "p/b/m": 0, "q/a/m": 1} {
		if got := len(h.store.series[name].members); got != want {
			t.Errorf("%s is a member of %d views, want %d", name, got, want)
		}
	}
	if h.trie.Len() != 1 {
		t.Errorf("%d patterns left, want 1", h.trie.Len())
	}
}

func TestPendingMergesAndKeepsItsMemory(t *testing.T) {
	var p pending
	for round := range 3 {
		for v := range telemetry.Version(10) {
			for idx := range uint32(100) {
				u := single(fmt.Sprint("s", idx), v, float64(v))
				if merged, err := p.add(idx, &u); err != nil || merged != (v > 0) {
					t.Fatalf("add(%d, version %d): merged %v, %v", idx, v, merged, err)
				}
			}
		}
		if p.len() != 100 || p.rows[42].N != 10 || p.rows[42].Max != 9 {
			t.Fatalf("round %d: %d rows, %+v", round, p.len(), p.rows[42])
		}
		p.reset()
	}
	u := single("s7", 0, 1)
	if n := testing.AllocsPerRun(100, func() {
		_, _ = p.add(7, &u)
		p.reset()
	}); n != 0 {
		t.Errorf("%v allocations in the steady state", n)
	}
}

func TestFrameHeadersFollowTheLength(t *testing.T) {
	for _, tc := range []struct {
		n      int
		header []byte
	}{
		{0, []byte{0x81, 0}},
		{125, []byte{0x81, 125}},
		{126, []byte{0x81, 126, 0, 126}},
		{65535, []byte{0x81, 126, 0xff, 0xff}},
		{65536, []byte{0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0}},
	} {
		f := textFrame(make([]byte, tc.n))
		if got := f.body[:len(tc.header)]; !slices.Equal(got, tc.header) || f.size() != tc.n+len(tc.header) {
			t.Errorf("%d bytes: header %x, size %d", tc.n, got, f.size())
		}
	}
}

func TestCursorChangesWhenSomethingMovedAndOnlyThen(t *testing.T) {
	p := positions{epoch: "e"}
	first := p.cursor()
	p.move(&p.updates, 1, 7)
	second := p.cursor()
	p.move(&p.updates, 1, 7)
	if first == second || p.cursor() != second {
		t.Errorf("cursors %q, %q, %q", first, second, p.cursor())
	}
	p.move(&p.alerts, 0, 7)
	if p.cursor() == second {
		t.Error("an alert's offset does not show")
	}
}

func TestBucketAllowsABurstAndThenTheRate(t *testing.T) {
	now := time.Unix(0, 0)
	b := newBucket(10, 3, now)
	taken := func() (n int) {
		for b.take(now) {
			n++
		}
		return n
	}
	if n := taken(); n != 3 {
		t.Errorf("a burst of %d, want 3", n)
	}
	now = now.Add(150 * time.Millisecond)
	if n := taken(); n != 1 {
		t.Errorf("%d after 150 ms at 10/s, want 1", n)
	}
}

func TestRateIsGrantedDownwardToAFewValues(t *testing.T) {
	for asked, want := range map[float64]float64{
		0: 0, 1: 1, 5: 5, 20: 20, 7: 5, 19.99: 10, 60: 50, minHz: minHz, 0.019: 0.01, maxHz: 1000, 999: 500,
	} {
		if got := granted(asked); got != want {
			t.Errorf("%v Hz is granted %v, want %v", asked, got, want)
		}
	}
}

func TestConfigNamesEveryFieldThatIsOutOfRange(t *testing.T) {
	if err := DefaultConfig().Validate(); err != nil {
		t.Errorf("defaults: %v", err)
	}
	bad := Config{DefaultMaxHz: math.NaN(), MessageRate: math.Inf(1)}
	err := bad.Validate()
	if err == nil {
		t.Fatal("no error")
	}
	for _, field := range []string{
		"default_max_hz", "max_subscriptions", "max_patterns", "max_connections", "max_connections_per_address", "max_connections_per_principal", "auth_timeout",
		"max_views_per_principal", "max_view_rows_per_principal", "max_read_back_per_principal",
		"max_series", "max_views", "max_message_bytes", "message_rate",
		"message_burst", "max_lossless_bytes", "send_buffer", "handshake_timeout", "write_timeout", "heartbeat",
		"idle_timeout", "drain_timeout", "max_listed", "fetch_max_bytes", "fetch_max_wait",
	} {
		if !strings.Contains("\n"+err.Error(), "\n"+field+": must be") {
			t.Errorf("%s is not named:\n%v", field, err)
		}
	}
	if _, err := New(Options{Config: DefaultConfig()}); err == nil {
		t.Error("New without Kafka succeeds")
	}
}

// names are those of a view's dictionary.
func names(v *view) (out []string) {
	for _, e := range v.dictionary {
		out = append(out, e.Series)
	}
	return out
}
