package bench

import (
	"context"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"weir/wire"
)

func TestAFleetsRecordsGoOnWithoutGapsAndAreTheSameEachTime(t *testing.T) {
	make2 := func(from int) *Fleet {
		return &Fleet{Name: "f", Devices: 3, Metrics: 4, Batch: 10, Step: time.Second, From: from, Session: "s"}
	}
	f, twin := make2(5), make2(5)
	next := make(map[string]int64) // series to the time that must come
	seqs := make(map[string]uint64)
	var columns wire.ReadingColumns
	for range 30 {
		device, value := f.next(1)
		if again, same := twin.next(1); again != device || string(same) != string(value) {
			t.Fatalf("another record of %s the second time", device)
		}
		if err := columns.Unmarshal(value); err != nil {
			t.Fatal(err)
		}
		if columns.Device != device || columns.Session != "s" || columns.Seq != seqs[device]+1 || len(columns.Value) != 10 {
			t.Fatalf("record %+v after sequence number %d", columns, seqs[device])
		}
		seqs[strings.Clone(device)] = columns.Seq
		for i, at := range columns.Time {
			series := device + "/" + columns.Metrics[columns.Metric[i]]
			want, known := next[series]
			if !known {
				want = fleetEpoch + 5e6
			}
			if at != want {
				t.Fatalf("%s has a reading at %d, want one at %d", series, at, want)
			}
			next[series] = at + 1e6
		}
	}
}

func TestOneReadingInTenThousandIsASpike(t *testing.T) {
	spikes, n := 0, 1_000_000
	for i := range n {
		step := i / 100
		if value1(i%100, step)-season[(step+i%100)%seasonSteps] > 25 {
			spikes++
		}
	}
	if spikes < 70 || spikes > 130 {
		t.Errorf("%d spikes of %d readings", spikes, n)
	}
}

func TestASpanCountsWhatWasUsedBetweenItsSamples(t *testing.T) {
	now := time.Now()
	from := sampled{at: now, progress: 1_000_000, cpu: map[string]float64{"a": 1, "b": 5}}
	to := sampled{at: now.Add(2 * time.Second), progress: 5_000_000, cpu: map[string]float64{"a": 3, "b": 6}}
	s := span(from, to)
	if s.PerSecond != 2e6 || s.CPU["a"] != 0.5 || s.CPU["b"] != 0.25 || s.Cores["a"] != 1 || math.Abs(total(s.CPU)-0.75) > 1e-9 {
		t.Errorf("%+v", s)
	}
}

func TestAWatchEndsWhenTheWorkIsDoneOrStandsStill(t *testing.T) {
	done := int64(0)
	w := Watch{
		Until: 10, Stalled: 300 * time.Millisecond, Pids: map[string]int{"self": os.Getpid()},
		Progress: func(context.Context) (int64, error) { done++; return done, nil },
	}
	r, err := w.Run(t.Context())
	if err != nil || r.Whole.PerSecond <= 0 || r.RSS["self"] <= 0 {
		t.Errorf("%+v, %v", r, err)
	}
	w.Progress = func(context.Context) (int64, error) { return 3, nil }
	if _, err := w.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "3 of 10") {
		t.Errorf("work that stands still: %v", err)
	}
}

func TestMetricsOfAProcessAreSummedOverTheirLabels(t *testing.T) {
	got := parseMetrics("# TYPE a counter\na{partition=\"0\"} 3\na{partition=\"1\",x=\"{ }\"} 4\nb 1.5e3\n")
	if got["a"] != 7 || got["b"] != 1500 || len(got) != 2 {
		t.Errorf("%v", got)
	}
}
