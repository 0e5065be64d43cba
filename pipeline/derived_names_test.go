package pipeline

import (
	"testing"

	"weir/wire"
)

func TestADeviceCannotSendWhatIsDerivedWhateverTheOrder(t *testing.T) {
	text := `
pipelines: [{match: "p/+/t", averages: [{kind: median, samples: 1}]}]
derived: [{match: "p/+", as: power, expr: voltage * current}]
`
	l := newLog(t, text)
	l.frame("p/a", "power", 1.0, 1.0, "voltage", 1.0, 230.0, "current", 1.0, 2.0) // power first in the frame
	l.frame("p/a", "t.median", 1.0, 666.0, "t", 1.0, 5.0)
	l.frame("p/a", "power", 2.0, 7.0, "t.median", 2.0, 777.0)
	l.want("p/a/power", 460)
	l.want("p/a/t.median", 5)

	l = newLog(t, "")
	l.frame("p/a", "power", 1.0, 1.0, "voltage", 1.0, 230.0, "current", 1.0, 2.0)
	l.control(&wire.Control{Kind: wire.ControlPlan, Time: epoch + second, Text: text})
	l.frame("p/a", "power", 2.0, 7.0, "voltage", 2.0, 230.0, "current", 2.0, 2.0)
	if len(l.letters) == 0 {
		t.Error("after the plan derives power, the device's own power is still taken")
	}
}
