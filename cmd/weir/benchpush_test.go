package main

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"weir/bench"
)

// asProgram makes a process of this test the program itself. It does not begin as settings do.
const asProgram = "TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// TestBenchPushMeasuresWhatIsDelivered is a short run of every case. It asserts no rates: only that all that is told is
// told right, and that what is to be measured happens.
func TestBenchPushMeasuresWhatIsDelivered(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("reads by epoll")
	}
	if testing.Short() {
		t.Skip("takes ten seconds")
	}
	t.Setenv(asProgram, "1")
	const conns = 20
	run := bench.Push{
		Cases: bench.PushCases, Program: os.Args[0], Devices: 2, Metrics: 5, Hz: 20, Conns: []int{conns}, Views: []int{0}, MaxHz: 10,
		Idle: 100, Laggards: 10, Readings: 2000, Warm: 200 * time.Millisecond, Measure: 1500 * time.Millisecond, Log: io.Discard, Progress: t.Output(),
	}
	r, err := run.Run(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	runs := append(append(append([]bench.PushRun{}, r.FanOut...), r.Isolation...), r.Glass...)
	if len(r.FanOut) != 1 || len(r.Isolation) != 2 || len(r.Glass) == 0 || len(r.Memory) != 3 {
		t.Fatalf("%d, %d, %d and %d measurements", len(r.FanOut), len(r.Isolation), len(r.Glass), len(r.Memory))
	}
	for _, run := range runs {
		if run.Deliveries == 0 || run.Messages == 0 || run.Probed == 0 || run.DeviceP99 == 0 || run.PushP99 == 0 {
			t.Errorf("%s: nothing was counted: %+v", run.Name, run)
		}
		if run.Faults != (bench.Faults{}) || len(run.Endings) > 0 {
			t.Errorf("%s: %+v, %v", run.Name, run.Faults, run.Endings)
		}
	}
	if many := r.FanOut[0]; many.Views != conns {
		t.Errorf("%d views of %d dashboards that are all different", many.Views, conns)
	}
	for _, m := range r.Memory {
		if m.Lost > 0 || m.RSS == 0 {
			t.Errorf("%s: %+v", m.Name, m)
		}
	}
	var out strings.Builder
	if err := printPush(&out, r); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"fan-out", "isolation", "glass to glass", "memory", "open files"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	if _, err := json.Marshal(r); err != nil {
		t.Error(err)
	}
}
