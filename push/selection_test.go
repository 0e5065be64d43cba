package push

import (
	"fmt"
	"strings"
	"testing"

	"weir/telemetry"
	"weir/wire"
)

// selected subscribes with further fields of the message.
func (c *wsClient) selected(id, pattern, fields string) {
	c.t.Helper()
	c.send(`{"type":"subscribe","payload":{"id":%q,"patterns":[%q],"max_hz":0,%s}}`, id, pattern, fields)
}

func choosyFollower(t testing.TB) *follower {
	f := newFollower(t)
	f.choosy = true
	return f
}

func TestRowsHaveTheColumnsThatWereAskedFor(t *testing.T) {
	s := startServer(t, nil)
	s.feed(single("p/a/m", 0, 20))
	c, f := s.dial(dialOptions{}), newFollower(t)
	c.selected("few", "#", `"fields":["max","last"]`)
	sub := await[*wire.Subscribed](c, f)
	if got := strings.Join(sub.Columns.Names(), " "); got != "i version since n last max" {
		t.Errorf("columns %s", got)
	}
	if u := sub.Rows[0].Update; u.Last != 20 || u.Max != 20 || u.LastTime != 0 {
		t.Errorf("snapshot row %+v", u)
	}
	c.selected("all", "#", `"fields":["sum"]`) // another view
	await[*wire.Subscribed](c, f)
	c.selected("again", "#", `"fields":["last","max","n"]`) // the same as the first
	if e := await[*wire.ErrorMsg](c, f); e.Code != wire.CodeSubscriptionExists || e.ID != "again" {
		t.Errorf("error %+v", e)
	}
	c.selected("no", "#", `"fields":["last","lsat"]`)
	if e := await[*wire.ErrorMsg](c, f); e.Code != wire.CodeFieldValue || e.Path != "payload.fields[1]" || e.ID != "no" {
		t.Errorf("error %+v", e)
	}
	s.feed(single("p/a/m", 1, 21))
	for range 2 {
		u := await[*wire.Updates](c, f).Rows[0].Update
		if u.Version != 1 || u.N != 1 || u.Last != 21 && u.Sum != 21 {
			t.Errorf("row %+v", u)
		}
	}
	raw := string(c.msgs[len(c.msgs)-1]) + string(c.msgs[len(c.msgs)-2])
	if !strings.Contains(raw, `"rows":[[0,1,0,1,21,21]]`) || !strings.Contains(raw, `"rows":[[0,1,0,1,21]]`) {
		t.Errorf("rows are written as %s", raw)
	}
}

func TestFilterTellsOfWhatMeetsItAndOfWhatDoesNoMore(t *testing.T) {
	s := startServer(t, nil)
	s.feed(single("p/a/m", 0, 20), single("p/b/m", 0, 95))
	c, f := s.dial(dialOptions{}), choosyFollower(t)
	c.selected("hot", "#", `"filter":"max > 90"`)
	sub := await[*wire.Subscribed](c, f)
	if len(sub.Rows) != 1 || len(sub.Dictionary) != 1 || sub.Dictionary[0].Series != "p/b/m" {
		t.Fatalf("subscribed with %+v, %+v", sub.Dictionary, sub.Rows)
	}
	expect := func(in string, rows, left int) *wire.Updates {
		t.Helper()
		u := await[*wire.Updates](c, f)
		if got := fmt.Sprint(f.in("hot")); got != in || len(u.Rows) != rows || len(u.Left) != left {
			t.Fatalf("in are %s with %d rows and %d left, want %s, %d, %d", got, len(u.Rows), len(u.Left), in, rows, left)
		}
		return u
	}
	s.feed(single("p/a/m", 1, 30)) // not told
	s.feed(single("p/b/m", 1, 50))
	expect("[]", 0, 1)
	s.feed(single("p/a/m", 2, 91))
	// The reading before is in the row; the dictionary is told before it.
	if u := expect("[p/a/m]", 1, 0).Rows[0].Update; u.N != 3 || u.Min != 20 || u.Max != 91 || u.Since != telemetry.NoVersion {
		t.Errorf("row %+v", u)
	}
	s.feed(single("p/b/m", 2, 40), single("p/a/m", 3, 99))
	expect("[p/a/m]", 1, 0)
	s.feed(single("p/b/m", 3, 92), single("p/a/m", 4, 10))
	if u := expect("[p/b/m]", 1, 1).Rows[0].Update; u.N != 3 || u.Since != 0 || u.Min != 40 {
		t.Errorf("what was held of the series that comes back: %+v", u)
	}
	// Who joins is told of what is in, with the rows that the others have.
	second, g := s.dial(dialOptions{}), choosyFollower(t)
	second.selected("x", "#", `"filter":"max > 90"`)
	if sub := await[*wire.Subscribed](second, g); len(sub.Rows) != 1 || sub.Rows[0].Update.N != 3 || len(sub.Dictionary) != 2 {
		t.Errorf("who joins is told %+v", sub)
	}
	if got := s.hub.m.views.Load(); got != 1 {
		t.Errorf("%d views, want 1", got)
	}
}

func TestFaultsOfAFilterAreToldWithTheirPlace(t *testing.T) {
	s := startServer(t, nil)
	c, f := s.dial(dialOptions{}), newFollower(t)
	for filter, want := range map[string]string{
		"max >":              "line 1, column 5: the expression is not complete",
		"maxi > 5":           "line 1, column 1: unknown variable maxi",
		"state == 'alrt'":    `line 1, column 10: it is never "alrt"; it is one of: ok, warming, offline, anomalous, alert`,
		"max":                "the result is a number, and must be a condition",
		"filter(all, # > 1)": "line 1, column",
	} {
		c.selected("x", "#", fmt.Sprintf(`"filter":%q`, filter))
		if e := await[*wire.ErrorMsg](c, f); e.Code != wire.CodeFilterInvalid || e.Path != "payload.filter" || e.ID != "x" || !strings.Contains(e.Message, want) {
			t.Errorf("%s: %+v, want %s", filter, e, want)
		}
	}
}

func TestFilterKnowsNamesAndStates(t *testing.T) {
	s := startServer(t, nil)
	alerting := single("plant1/line 2/press/oil", 0, 5)
	alerting.State, alerting.Worst = telemetry.Alerting, telemetry.Alerting
	s.feed(alerting, single("plant1/line 2/press/rpm", 0, 5), single("q/x/oil", 0, 5))
	for filter, want := range map[string]string{
		`state == "alert"`:                            "[plant1/line 2/press/oil]",
		`state >= 3 && worst == 4`:                    "[plant1/line 2/press/oil]",
		`metric == "oil"`:                             "[plant1/line 2/press/oil q/x/oil]",
		`device == "q/x" || series == "none"`:         "[q/x/oil]",
		`metric in ["rpm"] and state in ["ok"]`:       "[plant1/line 2/press/rpm]",
		`unit == "" && tags.line == "" && last < 4`:   "[]",
		`n == 1 && late + invalid == 0 && avg <= max`: "[plant1/line 2/press/oil plant1/line 2/press/rpm q/x/oil]",
		`score > 0.5 || first_ts > 2000000`:           "[]",
	} {
		c, f := s.dial(dialOptions{}), choosyFollower(t)
		c.selected("x", "#", fmt.Sprintf(`"filter":%q`, filter))
		await[*wire.Subscribed](c, f)
		if got := fmt.Sprint(f.in("x")); got != want {
			t.Errorf("%s: in are %s, want %s", filter, got, want)
		}
	}
}

func TestLimitKeepsTheFirstOfAnOrder(t *testing.T) {
	s := startServer(t, nil)
	s.feed(single("p/a/m", 0, 1), single("p/b/m", 0, 2), single("p/c/m", 0, 3), single("p/d/m", 0, 3))
	c, f := s.dial(dialOptions{}), choosyFollower(t)
	c.selected("top", "#", `"order":"-last","limit":2`)
	await[*wire.Subscribed](c, f)
	expect := func(in string, rows int) *wire.Updates {
		t.Helper()
		u, _ := f.last.(*wire.Updates)
		if got := fmt.Sprint(f.in("top")); got != in || u != nil && len(u.Rows) != rows {
			t.Fatalf("in are %s, want %s; %+v", got, in, f.last)
		}
		return u
	}
	next := func() { t.Helper(); await[*wire.Updates](c, f) }
	expect("[p/c/m p/d/m]", 0)
	s.feed(single("p/a/m", 1, 9))
	next()
	expect("[p/a/m p/c/m]", 1) // of equals the first by name
	s.feed(single("p/a/m", 2, 0))
	next()
	// It comes back without news: the row that was told before.
	if u := expect("[p/c/m p/d/m]", 1); u.Rows[0].Update.Series != "p/d/m" || u.Rows[0].Update.Version != 0 {
		t.Errorf("rows %+v", u.Rows[0].Update)
	}
	s.feed(single("p/a/m", 3, 0)) // still out: nothing is told
	s.feed(single("p/d/m", 1, 4))
	next()
	expect("[p/c/m p/d/m]", 1)
	s.feed(single("p/b/m", 1, 1), single("p/d/m", 2, 1), single("p/c/m", 1, 1), single("p/a/m", 4, 5))
	next()
	if got := f.series("top", "p/a/m"); got.n != 5 || got.seen != 4 {
		t.Errorf("of the series that was out twice: %+v", got)
	}
	expect("[p/a/m p/b/m]", 2)
}

func TestFirstAreTheWorstWithoutAnOrder(t *testing.T) {
	s := startServer(t, nil)
	change := func(name string, fn func(*telemetry.Update)) telemetry.Update {
		u := single(name, 0, 10)
		fn(&u)
		return u
	}
	us := []telemetry.Update{
		change("p/1/m", func(u *telemetry.Update) { u.State = telemetry.Alerting }),
		change("p/2/m", func(u *telemetry.Update) { u.State, u.Score = telemetry.Anomalous, 0.9 }),
		change("p/3/m", func(u *telemetry.Update) { u.State, u.Score = telemetry.Anomalous, 0.6 }),
		change("p/4/m", func(u *telemetry.Update) { u.Score = 0.3 }),
		change("p/5/m", func(u *telemetry.Update) { u.Last = 17 }),
		change("p/6/m", func(u *telemetry.Update) { u.Last = 16 }),
		change("p/7/m", func(u *telemetry.Update) {}),
		change("p/8/m", func(u *telemetry.Update) {}),
	}
	for _, i := range []int{3, 7, 0, 5, 2, 6, 1, 4} {
		s.feed(us[i])
	}
	for k := 1; k <= len(us); k++ {
		c, f := s.dial(dialOptions{}), choosyFollower(t)
		c.selected("x", "#", fmt.Sprintf(`"limit":%d`, k))
		await[*wire.Subscribed](c, f)
		if got := f.in("x"); len(got) != k || got[k-1] != us[k-1].Series {
			t.Errorf("of the %d worst the last is %s", k, got)
		}
	}
}

func TestPointsLowerTheRate(t *testing.T) {
	s := startServer(t, nil)
	c, f := s.dial(dialOptions{}), newFollower(t)
	for i, want := range []struct {
		fields string
		hz     float64
	}{
		{`"points":300,"window_ms":60000`, 5}, {`"points":300,"window_ms":60000,"max_hz":2`, 2}, {`"points":300,"window_ms":60000,"max_hz":0`, 5},
		{`"points":10000,"window_ms":1`, 20}, {`"points":300,"window_ms":86400000`, 0.002}, {`"points":2,"window_ms":2678400000`, -1},
	} {
		id := string(rune('a' + i))
		c.send(`{"type":"subscribe","payload":{"id":%q,"patterns":[%q],%s}}`, id, "p/"+id+"/#", want.fields)
		if want.hz < 0 {
			if e := await[*wire.ErrorMsg](c, f); e.Code != wire.CodeFieldRange || e.Path != "payload.points" {
				t.Errorf("%s: %+v", want.fields, e)
			}
			continue
		}
		if sub := await[*wire.Subscribed](c, f); sub.MaxHz != want.hz {
			t.Errorf("%s: %v Hz, want %v", want.fields, sub.MaxHz, want.hz)
		}
	}
}

func TestSelectionBeginsAnewWithItsView(t *testing.T) {
	s := startServer(t, nil)
	s.feed(single("p/a/m", 0, 95), single("p/b/m", 0, 96), single("p/c/m", 0, 5))
	c, f := s.dial(dialOptions{}), choosyFollower(t)
	c.selected("x", "#", `"filter":"max > 90","limit":2,"order":"-max"`)
	await[*wire.Subscribed](c, f)
	again := func(in string, entries int) {
		t.Helper()
		await[*wire.Resync](c, f)
		sub := await[*wire.Subscribed](c, f)
		if got := fmt.Sprint(f.in("x")); got != in || len(sub.Dictionary) != entries {
			t.Fatalf("in are %s, want %s; %+v", got, in, sub.Dictionary)
		}
	}
	s.hub.forget(0, "p/a", 0, 0)
	if m := await[*wire.SeriesMsg](c, f); fmt.Sprint(m.Removed) != "[0]" || fmt.Sprint(f.in("x")) != "[p/b/m]" {
		t.Fatalf("%+v, in are %v", m, f.in("x"))
	}
	await[*wire.Updates](c, f)
	s.feed(single("p/c/m", 1, 97), single("p/b/m", 1, 91))
	await[*wire.Updates](c, f)
	late := single("p/c/m", 5, 99) // versions are missing before it
	s.feed(late)
	again("[p/b/m p/c/m]", 2)
	s.feed(single("p/b/m", 2, 1), single("p/c/m", 6, 98))
	await[*wire.Updates](c, f)
	if got := fmt.Sprint(f.in("x")); got != "[p/c/m]" || f.series("x", "p/c/m").seen != 6 {
		t.Errorf("in are %s", got)
	}
}
