package sim

import (
	"math"
	"testing"
	"time"

	"weir/telemetry"
	"weir/wire"
)

func TestFramesAreWhatTheServerTakes(t *testing.T) {
	now := time.Now()
	readings := []telemetry.Reading{
		{Metric: `quoted "name" ü`, Time: now.UnixMicro(), Value: -1.5e-300},
		{Metric: "flow", Time: now.UnixMicro() - 1, Value: math.MaxFloat64},
		{Metric: "flow", Time: now.UnixMicro(), Value: 0},
	}
	o := newOutbox(`plant1/a "b" \c`, "boot-1")
	o.add(nil)
	f := o.add(readings)
	decoder := wire.NewDecoder(wire.DecoderOptions{Now: now.UnixMicro})
	frame, err := decoder.Decode(f.body)
	if err != nil {
		t.Fatalf("%s: %v", f.body, err)
	}
	if len(frame.Rejected) > 0 || len(frame.Batches) != 1 || frame.Session != "boot-1" || !frame.HasSeq || frame.Seq != 2 {
		t.Fatalf("%s: %+v", f.body, frame)
	}
	batch := frame.Batches[0]
	if batch.Device != `plant1/a "b" \c` || len(batch.Readings) != len(readings) {
		t.Fatalf("%+v", batch)
	}
	for i, r := range batch.Readings {
		if r != readings[i] {
			t.Errorf("reading %d: %+v, want %+v", i, r, readings[i])
		}
	}
}
