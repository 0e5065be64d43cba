package push

import (
	"fmt"
	"testing"

	"weir/telemetry"
)

func TestAlertsAreKnownWhileTheyAreOpenAndForAWhileAfter(t *testing.T) {
	s := startServer(t, nil)
	phases := []telemetry.Phase{telemetry.Firing, telemetry.Acknowledged, telemetry.Flapping}
	for i, phase := range phases {
		s.hub.alerts(0, []telemetry.Alert{alert("x", "p/a/m", phase, telemetry.Version(i))}, int64(i))
		if a, ok := s.Alert("x"); !ok || a.Phase != phase || len(s.Alerts(false)) != 1 {
			t.Errorf("%s: %+v, %v, %d open", phase, a, ok, len(s.Alerts(false)))
		}
	}
	s.hub.alerts(0, []telemetry.Alert{alert("x", "p/a/m", telemetry.Resolved, 9)}, 9)
	if a, ok := s.Alert("x"); !ok || a.Phase != telemetry.Resolved || len(s.Alerts(false)) != 0 || len(s.Alerts(true)) != 1 {
		t.Errorf("resolved: %+v, %v, open %v", a, ok, s.Alerts(false))
	}
	for i := range maxEnded {
		s.hub.alerts(0, []telemetry.Alert{alert(fmt.Sprint("y", i), "p/a/m", telemetry.Resolved, 10)}, 10)
	}
	if a, ok := s.Alert("x"); ok || len(s.Alerts(true)) != maxEnded {
		t.Errorf("x is remembered as %+v, with %d alerts", a, len(s.Alerts(true)))
	}
}

func TestWatchersAreToldOfEachTransitionOfTheirAlert(t *testing.T) {
	s := startServer(t, nil)
	var told []telemetry.Phase
	note := func(a *telemetry.Alert) { told = append(told, a.Phase) } // within alerts, below
	stop, also := s.WatchAlert("x", note), s.WatchAlert("x", note)
	transition := func(id string, phase telemetry.Phase, v telemetry.Version) {
		s.hub.alerts(0, []telemetry.Alert{alert(id, "p/a/m", phase, v)}, int64(v))
	}
	transition("x", telemetry.Firing, 1)
	transition("x", telemetry.Firing, 1) // known
	transition("y", telemetry.Firing, 2)
	also()
	transition("x", telemetry.Resolved, 3)
	stop()
	transition("x", telemetry.Firing, 4)
	if fmt.Sprint(told) != "[firing firing resolved]" || len(s.hub.watches) != 0 {
		t.Errorf("told %v, watches %v", told, s.hub.watches)
	}
}
