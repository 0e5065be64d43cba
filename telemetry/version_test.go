package telemetry

import (
	"testing"

	"pgregory.net/rapid"
)

func TestVersionHoldsOffsetAndIndexAndOrdersByThem(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func(name string) (Version, int64, int) {
			offset := rapid.Int64Range(0, 1<<41-1).Draw(t, name+" offset")
			index := rapid.IntRange(0, MaxReadingsPerRecord-1).Draw(t, name+" index")
			return VersionOf(offset, index), offset, index
		}
		a, offsetA, indexA := draw("a")
		b, offsetB, indexB := draw("b")
		if a.Offset() != offsetA || a.Index() != indexA {
			t.Fatalf("version of (%d, %d) is of (%d, %d)", offsetA, indexA, a.Offset(), a.Index())
		}
		if less := offsetA < offsetB || offsetA == offsetB && indexA < indexB; less != (a < b) {
			t.Fatalf("(%d, %d) and (%d, %d) are ordered as %d and %d", offsetA, indexA, offsetB, indexB, a, b)
		}
		if a <= NoVersion || int64(float64(a)) != int64(a) {
			t.Fatalf("version %d is not exact in JavaScript", a)
		}
	})
}

func TestStateNamesAndTheirOrderArePartOfTheProtocol(t *testing.T) {
	for s, want := range []string{"ok", "warming", "offline", "anomalous", "alert"} {
		if got := State(s).String(); got != want {
			t.Errorf("state %d is called %q, want %q", s, got, want)
		}
	}
	if OK >= Warming || Warming >= Offline || Offline >= Anomalous || Anomalous >= Alerting {
		t.Error("the order of states is part of the protocol")
	}
	if got := State(9).String(); got != "state(9)" {
		t.Errorf("an unknown state is called %q", got)
	}
}
