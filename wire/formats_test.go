package wire

import (
	"fmt"
	"strings"
	"testing"

	"weir/telemetry"
)

// summary puts a Frame or error in one line: "device metric value@time" for each reading in the order of the frame,
// "!code path" for each rejection.
func summary(t testing.TB, f *Frame, err error) string {
	t.Helper()
	if err != nil {
		e := AsError(err)
		return strings.TrimSpace("error " + e.Code + " " + e.Path)
	}
	checkFrame(t, f, 0)
	lines := make([]string, f.Total)
	for i, b := range f.Batches {
		for j, r := range b.Readings {
			lines[f.Index[i][j]] = fmt.Sprintf("%s %s %v@%d", b.Device, r.Metric, r.Value, r.Time-serverTime)
		}
	}
	for _, r := range f.Rejected {
		lines[r.Index] = "!" + r.Code + " " + r.Path
	}
	return strings.Join(lines, "; ")
}

// checkFrame checks what holds of the Frame of every format.
func checkFrame(t testing.TB, f *Frame, frameBytes int) {
	t.Helper()
	seen := make(map[int]bool)
	devices := make(map[string]bool)
	for i, b := range f.Batches {
		if telemetry.CheckDevice(b.Device) != nil || devices[b.Device] || len(b.Readings) == 0 || len(b.Readings) != len(f.Index[i]) {
			t.Fatalf("batch %d: %+v at %v", i, b, f.Index[i])
		}
		devices[b.Device] = true
		for j, r := range b.Readings {
			at := f.Index[i][j]
			if seen[at] || at < 0 || at >= f.Total || j > 0 && at <= f.Index[i][j-1] {
				t.Fatalf("positions %v of %d", f.Index, f.Total)
			}
			seen[at] = true
			if telemetry.CheckMetric(r.Metric) != nil || len(b.Device)+1+len(r.Metric) > telemetry.MaxPathBytes || !isFinite(r.Value) ||
				r.Time < -maxExactInt || r.Time > serverTime+DefaultMaxFuture.Microseconds() {
				t.Fatalf("reading %+v of %s", r, b.Device)
			}
		}
	}
	for _, r := range f.Rejected {
		if seen[r.Index] || r.Index < 0 || r.Index >= f.Total || messageOf(r.Code) == r.Code || r.Message == "" {
			t.Fatalf("rejection %+v of %d", r, f.Total)
		}
		seen[r.Index] = true
	}
	if len(seen) != f.Total {
		t.Fatalf("%d positions of %d", len(seen), f.Total)
	}
	if frameBytes > 0 && f.Total > frameBytes {
		t.Fatalf("%d readings of %d bytes", f.Total, frameBytes)
	}
}

func decodeAs(t testing.TB, format Format, opts DecoderOptions, frame string) string {
	t.Helper()
	f, err := NewFrameDecoder(format, opts).Decode([]byte(frame))
	return summary(t, f, err)
}
