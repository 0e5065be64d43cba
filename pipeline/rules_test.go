package pipeline

import (
	"slices"
	"testing"

	"weir/telemetry"
	"weir/wire"
)

// The pipeline is stopped and started between all that happens to an alert.
func TestEachRecordOfAnAlertTellsWhyItIsThereAfterARestartToo(t *testing.T) {
	w := newWorld(t, 1)
	alerts := func() (out []telemetry.Alert) {
		for _, r := range w.records(wire.TopicAlerts, 0) {
			a, err := wire.DecodeAlert(r.Value)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, a)
		}
		return out
	}
	until := func(n int, act func()) {
		t.Helper()
		stop := w.start(w.pipeline(nil))
		act()
		w.await("the transition", func() bool { return len(alerts()) >= n })
		stop()
	}
	until(1, func() { w.alarm("p/d", "x") })
	raised := alerts()[0]
	if raised.Summary == "" || len(raised.Samples) < 12 || raised.Link == "" {
		t.Fatalf("%+v", raised)
	}
	command := func(action telemetry.AlertAction) func() {
		return func() {
			w.sendRaw("p/d", wire.AppendControl(nil, &wire.Control{
				Kind: wire.ControlAlert, Device: "p/d", Time: epoch + 90*second, By: "mia",
				Alert: &telemetry.AlertCommand{Alert: raised.ID, Series: "p/d/x", Action: action, Text: "bob"},
			}))
		}
	}
	until(2, command(telemetry.ActionAcknowledge))
	until(3, command(telemetry.ActionComment))
	until(4, command(telemetry.ActionAssign))
	all := alerts()
	for _, a := range all[1:] {
		if a.Summary != raised.Summary || a.Link != raised.Link || a.Value != raised.Value || !slices.Equal(a.Samples, raised.Samples) {
			t.Errorf("%s: %+v\nraised: %+v", a.Reason, a, raised)
		}
	}
	if a := all[3]; a.Reason != telemetry.Assigned || a.Assignee != "bob" || len(a.Comments) != 1 || a.Marked == nil {
		t.Errorf("what people did: %+v", a)
	}
	until(5, func() { w.delete("p/d") })
	if a := alerts()[4]; a.Phase != telemetry.Resolved || a.Link != raised.Link || len(a.Samples) == 0 ||
		a.Summary != "p/d/x was deleted (before: "+raised.Summary[len("p/d/x is "):]+")" {
		t.Errorf("the end: %+v", a)
	}
}
