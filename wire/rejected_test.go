package wire_test

import (
	"testing"

	"weir/telemetry"
	"weir/wire"
)

func TestRejectedReadingsTellTheirDevices(t *testing.T) {
	dec := wire.NewFrameDecoder(wire.FormatAuto, wire.DecoderOptions{DefaultDevice: "t/own"})
	for frame, want := range map[string]int{
		`[{"device":"t/a","metric":"m","value":"x"},{"device":"t/b","metric":"m","value":1},{"device":"t/c","metric":"m"}]`: 2,
		`[{"device":"t/a","metric":"m","value":1}]`:                             0,
		`[{"metric":"m","value":"x"}]`:                                          1,
		`[{"device":"t/+","metric":"m","value":1}]`:                             0,
		`{"device":"t/a","readings":[{"device":"t/b","metric":"m","value":1}]}`: 1,
	} {
		f, err := dec.Decode([]byte(frame))
		if err != nil || len(f.RejectedOf) != want {
			t.Errorf("%s: %+v, %v", frame, f, err)
			continue
		}
		for _, device := range f.RejectedOf {
			if telemetry.CheckDevice(device) != nil {
				t.Errorf("%s: %q", frame, device)
			}
		}
	}
}
