package sim

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/shirou/gopsutil/v4/disk"

	"weir/telemetry"
)

func TestHostMeasuresThisMachineOnceASecond(t *testing.T) {
	h, err := NewHost()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(h.Device(), "host/") || telemetry.CheckDevice(h.Device()) != nil {
		t.Errorf("device %q", h.Device())
	}
	now := time.Now()
	if s := h.Step(now); len(s.Readings) != 0 || s.Next.Sub(now) != time.Second {
		t.Errorf("first step has %d readings and is followed after %v, want none and 1 s", len(s.Readings), s.Next.Sub(now))
	}
	if s := h.Step(now.Add(time.Millisecond)); len(s.Readings) != 0 {
		t.Error("measured before it was due")
	}
	s := h.Step(now.Add(time.Second))
	found := false
	for _, r := range s.Readings {
		if err := telemetry.CheckMetric(r.Metric); err != nil {
			t.Errorf("metric %q: %v", r.Metric, err)
		}
		if math.IsNaN(r.Value) || math.IsInf(r.Value, 0) || r.Value < 0 {
			t.Errorf("%s is %v", r.Metric, r.Value)
		}
		found = found || r.Metric == "memory_used_percent" && r.Value > 0 && r.Value <= 100
	}
	if !found {
		t.Errorf("no plausible memory_used_percent in %+v", s.Readings)
	}
}

func TestRatesCompareWithTheTimeBefore(t *testing.T) {
	var r rates
	got := map[string]float64{}
	add := func(metric string, v float64) { got[metric] = v }
	for i, counter := range []uint64{100, 300, 50, 60} {
		r.begin(epoch.Add(time.Duration(i) * 2 * time.Second))
		clear(got)
		r.add("m", counter, add)
		want := []map[string]float64{{}, {"m": 100}, {}, {"m": 5}}[i]
		if len(got) != len(want) || got["m"] != want["m"] {
			t.Errorf("reading %d: %v, want %v", i, got, want)
		}
	}
}

func TestPartitionsAreNotCountedBesideTheirDisk(t *testing.T) {
	disks := map[string]disk.IOCountersStat{"sda": {}, "sda1": {}, "nvme0n1": {}, "nvme0n1p2": {}, "vda9": {}, "md0": {}}
	for name, want := range map[string]bool{"sda": false, "sda1": true, "nvme0n1": false, "nvme0n1p2": true, "vda9": false, "md0": false} {
		if got := partition(name, disks); got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
}
