package push

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"weir/telemetry"
	"weir/wire"
)

// history is every update of every series, by version. All are of one reading.
type history map[string][]telemetry.Update

func (h history) next(name string, value, score float64, state telemetry.State) telemetry.Update {
	u := single(name, telemetry.Version(len(h[name])), value)
	u.State, u.Worst, u.Score = state, state, score
	h[name] = append(h[name], u)
	return u
}

// row is what happened of a series in (since, version].
func (h history) row(name string, since, version telemetry.Version) telemetry.Update {
	us := h[name][since+1 : version+1]
	row := us[len(us)-1]
	row.Since, row.N, row.FirstTime, row.Sum = since, uint64(len(us)), us[0].FirstTime, 0
	for _, u := range us {
		row.Min, row.Max, row.Sum = min(row.Min, u.Last), max(row.Max, u.Last), row.Sum+u.Last
		row.Score, row.Worst = max(row.Score, u.Score), max(row.Worst, u.State)
	}
	return row
}

// lawChoice is a choice, and what it means said again in Go.
type lawChoice struct {
	choice
	meets func(*telemetry.Update) bool
	less  func(a, b *telemetry.Update) int // the first comes first
}

var lawChoices = func() []lawChoice {
	all := func(*telemetry.Update) bool { return true }
	byMax := func(a, b *telemetry.Update) int {
		return cmp.Or(cmp.Compare(b.Max, a.Max), cmp.Compare(a.Series, b.Series))
	}
	byLast := func(a, b *telemetry.Update) int {
		return cmp.Or(cmp.Compare(a.Last, b.Last), cmp.Compare(a.Series, b.Series))
	}
	byWorst := func(a, b *telemetry.Update) int {
		away := func(u *telemetry.Update) float64 { return math.Abs(u.Last-u.Avg) / (u.Hi - u.Lo) }
		return cmp.Or(cmp.Compare(b.State, a.State), cmp.Compare(b.Score, a.Score), cmp.Compare(away(b), away(a)), cmp.Compare(a.Series, b.Series))
	}
	hot := func(u *telemetry.Update) bool { return u.Max > 70 }
	bad := func(u *telemetry.Update) bool { return u.State >= telemetry.Anomalous && u.Min < 60 }
	return []lawChoice{
		{choice{filter: "max > 70"}, hot, nil},
		{choice{filter: `state >= "anomalous" && min < 60`}, bad, nil},
		{choice{limit: 2}, all, byWorst},
		{choice{limit: 1, order: "-max"}, all, byMax},
		{choice{limit: 3, order: "last", filter: "max > 70"}, hot, byLast},
		{choice{limit: 2, order: "worst", filter: `state >= "anomalous" && min < 60`}, bad, byWorst},
		{choice{limit: 1000, order: "-max"}, all, byMax},
	}
}()

// What a client is told of a view that does not tell of all its series adds up, however the updates, the reader that
// stalls, its credit and the ticks interleave, and in the end it has those in that should be.
func TestSelectionsHoldUnderAnyInterleaving(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rapid.Check(struct{ *testing.T }{t}, func(rt *rapid.T) { runSelections(t, rt) })
	})
}

type lawClient struct {
	*modelClient
	subs    map[string]lawChoice
	granted int64
	rows    []telemetry.Update // that it was told
}

func runSelections(t *testing.T, rt *rapid.T) {
	h, past := testHub(), history{}
	names := []string{"p/a/x", "p/a/y", "p/b/x", "p/b/y", "q/a/x"}
	var clients []*lawClient
	for range 2 {
		m := &modelClient{pipeClient: h.pipe(), f: choosyFollower(t), permit: make(chan struct{}, 1000), done: make(chan struct{})}
		c := &lawClient{modelClient: m, subs: map[string]lawChoice{}}
		go func() {
			defer close(m.done)
			for range m.permit {
				c.read()
			}
			for c.read() {
			}
		}()
		clients = append(clients, c)
	}
	for range rapid.IntRange(10, 80).Draw(rt, "steps") {
		m := clients[rapid.IntRange(0, 1).Draw(rt, "client")]
		switch rapid.IntRange(0, 10).Draw(rt, "op") {
		case 0:
			m.subscribe(rt, h)
		case 1, 2:
			for range rapid.IntRange(1, 5).Draw(rt, "reads") {
				m.permit <- struct{}{}
			}
		case 3:
			time.Sleep(time.Duration(rapid.IntRange(1, 200).Draw(rt, "ms")) * time.Millisecond)
		case 4:
			synctest.Wait()
		case 5:
			m.granted += int64(rapid.IntRange(0, 2).Draw(rt, "credit"))
			_ = m.grant(m.granted)
		default:
			var us []telemetry.Update
			for range rapid.IntRange(1, 4).Draw(rt, "updates") {
				us = append(us, past.next(
					rapid.SampledFrom(names).Draw(rt, "series"), float64(rapid.IntRange(0, 100).Draw(rt, "value")),
					rapid.SampledFrom([]float64{0, 0.5, 1}).Draw(rt, "score"),
					rapid.SampledFrom([]telemetry.State{telemetry.OK, telemetry.Warming, telemetry.Anomalous, telemetry.Alerting}).Draw(rt, "state"),
				))
			}
			h.apply(0, us, 0)
		}
	}
	for _, m := range clients {
		close(m.permit)
		m.mu.Lock()
		m.credit.granted = math.MaxInt64
		m.kickLocked()
		m.mu.Unlock()
	}
	time.Sleep(time.Minute)
	synctest.Wait()
	for _, m := range clients {
		h.mu.Lock()
		for i := range m.rows {
			past.check(rt, &m.rows[i])
		}
		for id, want := range m.subs {
			m.compare(rt, past, id, want)
		}
		h.mu.Unlock()
		m.end()
		<-m.done
	}
	if got := h.m.laggards.Load() + h.m.laggingRows.Load() + h.m.views.Load() + h.m.heldRows.Load(); got != 0 {
		rt.Errorf("laggards %d, rows %d, views %d, held %d left", h.m.laggards.Load(), h.m.laggingRows.Load(), h.m.views.Load(), h.m.heldRows.Load())
	}
}

func (m *lawClient) subscribe(rt *rapid.T, h *hub) {
	id := rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "id")
	want := rapid.SampledFrom(lawChoices).Draw(rt, "choice")
	want.patterns = patterns(rapid.SampledFrom([]string{"#", "p/#", "+/a/x"}).Draw(rt, "pattern"))
	want.hz = rapid.SampledFrom([]float64{0, 10, 0.5}).Draw(rt, "hz")
	if h.unsubscribe(m.client, id) {
		delete(m.subs, id)
	}
	if h.subscribe(m.client, id, want.choice, nil) == nil {
		m.subs[id] = want
	}
}

// read takes a message, and keeps its rows, to be compared with what happened.
func (m *lawClient) read() bool {
	raw := m.message()
	if raw == nil {
		return false
	}
	switch msg := m.f.take(raw).(type) {
	case *wire.Updates:
		for _, r := range msg.Rows {
			m.rows = append(m.rows, *r.Update)
		}
	case *wire.Subscribed:
		for _, r := range msg.Rows {
			m.rows = append(m.rows, *r.Update)
		}
	}
	return true
}

func (h history) check(rt *rapid.T, u *telemetry.Update) {
	if want := h.row(u.Series, u.Since, u.Version); fmt.Sprint(*u) != fmt.Sprint(want) {
		rt.Errorf("a row is %+v, want %+v", *u, want)
	}
}

// compare compares what a client has of a subscription in the end with what should be in.
func (m *lawClient) compare(rt *rapid.T, past history, id string, want lawChoice) {
	v := m.pipeClient.subs.named(id).view
	var should []telemetry.Update
	held := 0
	for i := range v.members {
		if v.selection.marks[i]&(markFresh|markIn) == markFresh {
			held++
		}
		row := v.selection.rows[i]
		past.check(rt, &row)
		if newest := len(past[row.Series]) - 1; int(row.Version) != newest {
			rt.Errorf("the row of %s ends at %d, and %d is the newest", row.Series, row.Version, newest)
		}
		if want.meets(&row) {
			should = append(should, row)
		}
		got := m.f.series(id, row.Series)
		switch {
		case got == nil || got.seen == telemetry.NoVersion: // it was never told of
		case v.selection.marks[i]&markFresh != 0 && got.seen != row.Since, v.selection.marks[i]&markFresh == 0 && got.seen != row.Version:
			rt.Errorf("%s of %s was told up to %d, and what is held is %+v", row.Series, id, got.seen, row)
		case got.n != uint64(got.seen-got.base):
			rt.Errorf("%s of %s: %d readings of (%d, %d]", row.Series, id, got.n, got.base, got.seen)
		}
	}
	if held != v.selection.held {
		rt.Errorf("%d rows are held, and %d counted", held, v.selection.held)
	}
	if want.less != nil {
		slices.SortFunc(should, func(a, b telemetry.Update) int { return want.less(&a, &b) })
		should = should[:min(len(should), want.limit)]
	}
	names := []string{}
	for i := range should {
		names = append(names, should[i].Series)
	}
	slices.Sort(names)
	if got := m.f.in(id); !slices.Equal(got, names) {
		rt.Errorf("subscription %s (%+v) has %v in, want %v", id, want.choice, got, names)
	}
}
