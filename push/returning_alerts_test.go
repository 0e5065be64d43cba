package push

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"weir/kafka"
	"weir/telemetry"
	"weir/wire"
)

// transitionsOf names alerts and their versions, in order.
func transitionsOf(alerts []telemetry.Alert) string {
	var out []string
	for i := range alerts {
		out = append(out, fmt.Sprintf("%s@%d", alerts[i].ID, alerts[i].Version))
	}
	return strings.Join(out, " ")
}

func TestWhoBeginsAnewIsToldTheTransitionsOfAlertsThatWereMissed(t *testing.T) {
	for name, tc := range map[string]struct {
		choice, protocol string
		spoil            func(*testServer)
		want             string
		resumed          bool
	}{
		"the rows are chosen by a limit":     {choice: `,"limit":5`, want: "b@3 b@4 a@5 old@1", resumed: true},
		"the rows are chosen by a condition": {choice: `,"filter":"last < 0"`, want: "b@3 b@4 a@5 old@1", resumed: true},
		"in protobuf":                        {choice: `,"limit":5`, protocol: wire.LiveProtocolProto, want: "b@3 b@4 a@5 old@1", resumed: true},
		"the rows are too old":               {spoil: func(s *testServer) { s.hub.window.begin(wire.TopicUpdates, 0, 1000) }, want: "b@3 b@4 a@5 old@1", resumed: true},
		"the rows do not join up": {spoil: func(s *testServer) {
			s.hub.window.add(wire.TopicUpdates, 0, []stored{{s.wrote, []byte{1, 2, 3}}}, s.wrote+1)
			s.hub.apply(0, nil, s.wrote+1)
		}, want: "b@3 b@4 a@5 old@1", resumed: true},
		"the alerts are too old": {choice: `,"limit":5`, spoil: func(s *testServer) { s.hub.window.begin(wire.TopicAlerts, 0, 1000) }, want: "a@5 old@1"},
	} {
		t.Run(name, func(t *testing.T) {
			s := startServer(t, nil)
			s.tailed()
			s.write(single("p/a/m", 0, 1))
			s.alert(alert("old", "p/a/m", telemetry.Firing, 1))
			s.alert(alert("a", "p/a/m", telemetry.Firing, 2))
			cursor := s.snapshotOf(t, "series=p/%23").Cursor
			s.alert(alert("b", "p/a/m", telemetry.Firing, 3))
			s.alert(alert("other", "q/a/m", telemetry.Firing, 4))
			s.alert(alert("b", "p/a/m", telemetry.Resolved, 4))
			s.alert(alert("a", "p/a/m", telemetry.Acknowledged, 5))
			s.write(single("p/a/m", 1, 2))
			if tc.spoil != nil {
				tc.spoil(s)
			}
			c, f := s.dial(dialOptions{protocol: tc.protocol}), newFollower(t)
			f.proto = tc.protocol != ""
			c.send(`{"type":"subscribe","payload":{"id":"x","patterns":["p/#"],"cursor":%q%s}}`, cursor, tc.choice)
			if m := await[*wire.Resync](c, f); m.ID != "x" || m.Reason != resyncTooOld {
				t.Errorf("%+v", m)
			}
			m := await[*wire.Subscribed](c, f)
			got := transitionsOf(m.Alerts)
			if !tc.resumed && (got == "old@1 a@5" || got == "a@5 old@1") {
				got = tc.want // the state has no order
			}
			if m.Resumed || m.AlertsResumed != tc.resumed || got != tc.want {
				t.Errorf("resumed %v, alerts resumed %v, %s; want %v, %s", m.Resumed, m.AlertsResumed, got, tc.resumed, tc.want)
			}
		})
	}
}

func TestNobodyMissesAnAlertWhileAViewBeginsAnew(t *testing.T) {
	s := startServer(t, nil)
	s.tailed()
	s.write(single("p/a/m", 0, 1))
	s.alert(alert("before", "p/a/m", telemetry.Firing, 1))
	c, f := s.dial(dialOptions{}), newFollower(t)
	c.subscribe("x", "p/#", 0)
	await[*wire.Subscribed](c, f)
	s.alert(alert("heard", "p/a/m", telemetry.Firing, 2))
	await[*wire.AlertMsg](c, f)

	s.hub.mu.Lock()
	busy := s.hub.encoders.free
	s.hub.encoders.free = 0
	s.hub.mu.Unlock()
	s.write(single("p/a/m", 5, 1)) // after a gap
	if m := await[*wire.Resync](c, f); m.Reason != resyncGap || m.ID != "" {
		t.Errorf("%+v", m)
	}
	s.alert(alert("short", "p/a/m", telemetry.Firing, 3))
	s.alert(alert("short", "p/a/m", telemetry.Resolved, 4))
	other := s.dial(dialOptions{}) // has missed nothing
	other.subscribe("x", "p/#", 0)
	for range busy {
		s.hub.releaseEncoder()
	}
	m := await[*wire.Subscribed](c, f)
	if got := transitionsOf(m.Alerts); !m.AlertsResumed || !strings.HasPrefix(got, "short@3 short@4 ") || len(m.Alerts) != 4 {
		t.Errorf("alerts resumed %v: %s", m.AlertsResumed, got)
	}
	if f.resyncs != 1 {
		t.Errorf("%d resyncs", f.resyncs)
	}
	if m := await[*wire.Subscribed](other, newFollower(t)); m.AlertsResumed || len(m.Alerts) != 2 {
		t.Errorf("who is new: %v, %s", m.AlertsResumed, transitionsOf(m.Alerts))
	}
	s.alert(alert("later", "p/a/m", telemetry.Firing, 9))
	if m := await[*wire.AlertMsg](c, f); m.ID != "later" {
		t.Errorf("%+v", m)
	}
}

func TestWhoHasMissedTheSameTransitionsSharesAnAnswer(t *testing.T) {
	s := startServer(t, nil)
	s.tailed()
	s.write(single("p/a/m", 0, 1))
	h := s.hub
	key, matching := (&choice{patterns: patterns("p/#"), hz: 1, limit: 5}).key()
	h.mu.Lock()
	v := h.openViewLocked(key, matching, nil)
	h.mu.Unlock()
	var joined []*subscription
	comesBack := func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		joined = append(joined, &subscription{returning: comeBack(h.at.cursor())})
	}
	comesBack()
	s.write(single("p/a/m", 1, 1))
	comesBack()
	s.alert(alert("a", "p/a/m", telemetry.Firing, 1))
	comesBack()
	s.write(single("p/a/m", 2, 1))
	comesBack()
	h.mu.Lock()
	g := v.greetings(v.snapshot(), joined)
	h.mu.Unlock()
	g.catchUp()
	answers := map[*answer]int{}
	for _, a := range g.anew {
		answers[a]++
	}
	if len(g.anew) != 4 || len(answers) != 2 || answers[nil] > 0 {
		t.Errorf("%d returns have %d answers", len(g.anew), len(answers))
	}
}

func TestNobodyGoesOnAcrossAlertsThatRetentionHasTaken(t *testing.T) {
	k := newKafka(t, 1)
	for v := range telemetry.Version(2) {
		a := alert("a", "p/a/m", telemetry.Firing, v)
		k.produce(wire.TopicAlerts, 0, kafka.Record{Value: wire.AppendAlert(nil, &a)})
	}
	k.marker(0, wire.Marker{Alerts: 2})
	if err := k.cluster.(kafka.Trimmer).DeleteRecords(t.Context(), wire.TopicAlerts, 0, 2); err != nil {
		t.Fatal(err)
	}
	tl := k.tail(wire.TopicAlerts)
	tl.hub.window.readBack = tl.readBack
	tl.hub.begin(wire.TopicAlerts, 0, 0)
	before := tl.hub.at.clone()
	from, err := tl.reload(t.Context(), &kafka.ErrOffsetOutOfRange{Topic: wire.TopicAlerts, Offset: 0, First: 2, End: 2})
	if err != nil || from != 2 {
		t.Fatalf("from %d, %v", from, err)
	}
	back := tl.hub.catchUpLocked(patterns("#"), &snapshot{})
	if err := back.load(t.Context(), wire.TopicAlerts, map[string]*positions{"": before}); !errors.Is(err, errTooOld) {
		t.Errorf("what is not there any more was read: %v", err)
	}
}
