package push

import (
	"bytes"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"weir/telemetry"
	"weir/wire"
)

// Whatever views tell a series at what times, and in which columns, a row that one of them has written before is told as
// the view itself would write it.
func TestRowsAreToldAsEachViewWouldWriteThem(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := testHub()
		const names = 3
		version := [names]telemetry.Version{}
		feed := func(i int) {
			value := rapid.Float64Range(-1e6, 1e6).Draw(t, "value")
			h.apply(0, []telemetry.Update{single(fmt.Sprintf("p/%d/m", i), version[i], value)}, 0)
			version[i]++
		}
		for i := range names {
			feed(i)
		}
		some, _ := wire.ParseColumns([]string{"max", "sum"})
		var views []*view
		open := func() {
			ps := [][]telemetry.Pattern{patterns("#"), patterns("p/1/#", "p/2/#"), patterns("p/2/m")}[rapid.IntRange(0, 2).Draw(t, "patterns")]
			h.mu.Lock()
			defer h.mu.Unlock()
			key := viewKey{patterns: fmt.Sprint(len(views)), hz: 0.01, columns: rapid.SampledFrom([]wire.ColumnSet{0, 0, some}).Draw(t, "columns")}
			v := h.openViewLocked(key, ps, h.store.selected(ps, names))
			v.flushed = h.now()
			views = append(views, v)
		}
		open()
		defer func() {
			for _, v := range views {
				v.stop()
			}
		}()
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch rapid.IntRange(0, 5).Draw(t, "step") {
			case 0:
				open()
			case 1, 2:
				feed(rapid.IntRange(0, names-1).Draw(t, "series"))
			default:
				v := rapid.SampledFrom(views).Draw(t, "view")
				if v.pending.len() == 0 {
					continue
				}
				r := rows{view: 1, columns: v.key.columns, dictionary: v.dictionary, from: len(v.dictionary), gathered: &v.pending}
				want := updatesFrame(r)
				r.members = v.members
				if got := updatesFrame(r); !bytes.Equal(got.body, want.body) {
					t.Fatalf("told\n%s, want\n%s", got.body, want.body)
				}
				v.pending.reset()
			}
		}
	})
}

func TestTheTextOfARowIsKeptWhileSeveralViewsShowIt(t *testing.T) {
	h := testHub()
	h.apply(0, []telemetry.Update{single("p/a/m", 0, 1)}, 0)
	h.mu.Lock()
	defer h.mu.Unlock()
	ps := patterns("#")
	one, other := h.openViewLocked(viewKey{patterns: "1"}, ps, h.store.selected(ps, 1)), h.openViewLocked(viewKey{patterns: "2"}, ps, h.store.selected(ps, 1))
	s, r := h.store.series["p/a/m"], rows{members: one.members}
	r.appendRow(nil, 0, &s.last)
	if s.told == nil {
		t.Fatal("nothing is kept for the other view")
	}
	h.closeViewLocked(other)
	if s.told != nil {
		t.Error("the text is kept for nobody")
	}
	r.appendRow(nil, 0, &s.last)
	if s.told != nil {
		t.Error("the text is kept of a series that one view shows")
	}
}
