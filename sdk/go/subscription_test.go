package device

import (
	"fmt"
	"strconv"
	"testing"
	"testing/synctest"

	"weir/telemetry"
	"weir/wire"
)

func TestTransitionsThatWereMissedAreToldThoughTheRowsBeginAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newLiveServer()
		s.add("p/a/t", 1, 1)
		l := startLive(t, s, nil)
		sub := follow(t, l, SubscribeOptions{})
		next(t, sub)
		transition := func(id string, phase telemetry.Phase, v Version) Alert {
			return Alert{ID: id, Series: "p/a/t", Phase: phase, Version: v}
		}
		x, y := transition("x", telemetry.Firing, 1), transition("y", telemetry.Firing, 2)
		p := s.peer()
		p.write(&wire.AlertMsg{Alert: x})
		p.write(&wire.AlertMsg{Alert: y})
		p.write(&wire.Resync{View: 1, Reason: "cursor_too_old"})
		p.write(&wire.Subscribed{ID: "1", View: 9, AlertsResumed: true, Cursor: "e1:4", Alerts: []Alert{
			y, transition("z", telemetry.Firing, 3), transition("y", telemetry.Resolved, 4), transition("z", telemetry.Resolved, 5), x,
		}})
		synctest.Wait()
		c := next(t, sub)
		var told []string
		for _, a := range c.Alerts {
			told = append(told, fmt.Sprintf("%s@%d", a.ID, a.Version))
		}
		if fmt.Sprint(told) != "[x@1 y@2 z@3 y@4 z@5]" || !c.Reset || len(c.Open) != 1 || c.Open[0].ID != "x" {
			t.Errorf("told %v, open are %+v", told, c.Open)
		}
		finishLive(s, l)
	})
}

func TestASeriesThatWasDeletedMayComeBackAsAnotherOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newLiveServer()
		s.add("p/a/t", 1, 1)
		s.add("p/b/t", 1, 1)
		l := startLive(t, s, nil)
		sub := follow(t, l, SubscribeOptions{})
		next(t, sub)
		p := s.peer()
		row := func(i int, since, version Version) wire.Row {
			return wire.Row{I: i, Update: &Update{Since: since, Version: version, N: 1}}
		}
		first := sub.tracks["p/a/t"].version
		p.write(&wire.Updates{View: 1, Rows: []wire.Row{row(0, first, first+1)}}) // nobody reads it
		p.write(&wire.SeriesMsg{View: 1, Removed: []int{0, 77}, Added: []wire.Entry{{I: 5, Series: "p/a/t"}}})
		p.write(&wire.Updates{View: 1, Rows: []wire.Row{row(5, -1, 3)}})
		p.write(&wire.Updates{View: 1, Rows: []wire.Row{row(5, 3, 4)}})
		synctest.Wait()
		c := next(t, sub)
		if fmt.Sprint(c.Removed) != "[p/a/t]" || len(c.Series) != 1 || c.Series[0].Series != "p/a/t" || len(c.Rows) != 1 ||
			c.Rows[0].Since != -1 || c.Rows[0].Version != 4 || c.Rows[0].N != 2 || c.Reset {
			t.Errorf("%+v", c)
		}
		p.write(&wire.Subscribed{ID: "1", View: 8, Resumed: true, Dictionary: []wire.Entry{{I: 0, Series: "p/b/t"}}, Cursor: "e1:4"})
		synctest.Wait()
		if c := next(t, sub); fmt.Sprint(c.Removed) != "[p/a/t]" || c.Reset || !c.Resumed {
			t.Errorf("%+v", c)
		}
		if stats := sub.Stats(); stats.Gaps != 0 {
			t.Errorf("%+v", stats)
		}
		finishLive(s, l)
	})
}

func TestAnAlertThatEndedIsKnownWhileItMayBeToldAgain(t *testing.T) {
	var b alertBook
	for i := range maxEndedAlerts + 1 {
		b.enter(&Alert{ID: strconv.Itoa(i), Phase: telemetry.Resolved, Version: 1})
	}
	for range 2 { // of frames that waited when the last of them came
		b.settle()
	}
	if b.isNew(&Alert{ID: "0", Version: 1}) {
		t.Error("it is forgotten too early")
	}
	if b.settle(); !b.isNew(&Alert{ID: "0", Version: 1}) || b.isNew(&Alert{ID: "1", Version: 1}) {
		t.Error("it is remembered for ever, or another one is not")
	}
}
