package sim

import (
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"weir/pipeline/detect"
	"weir/telemetry"
)

var epoch = time.Unix(1_700_000_000, 0)

// play asks a source for everything until the time has passed, always when it wants to be asked, and
// returns the frames.
func play(source Source, length time.Duration) (frames [][]telemetry.Reading, steps []Step) {
	for now := epoch; now.Before(epoch.Add(length)); {
		s := source.Step(now)
		if len(s.Readings) > 0 {
			frames = append(frames, slices.Clone(s.Readings))
		}
		steps = append(steps, s)
		if s.Next.IsZero() {
			break
		}
		if s.Next.After(now) {
			now = s.Next
		}
	}
	return frames, steps
}

func TestFleetIsTheSameForTheSameSeed(t *testing.T) {
	make := func(seed uint64) (all [][][]telemetry.Reading) {
		fleet := Fleet{Devices: 3, Metrics: 4, Rate: 60, Seed: seed, Faults: true}
		for _, s := range fleet.Sources() {
			frames, _ := play(s, 10*time.Minute)
			all = append(all, frames)
		}
		return all
	}
	if !reflect.DeepEqual(make(1), make(1)) {
		t.Error("two fleets of seed 1 differ")
	}
	if reflect.DeepEqual(make(1), make(2)) {
		t.Error("fleets of seeds 1 and 2 are equal")
	}
}

func TestFleetReadingsDoNotDependOnHowOftenItIsAsked(t *testing.T) {
	fleet := Fleet{Devices: 1, Metrics: 3, Rate: 30, Faults: true}
	flat := func(frames [][]telemetry.Reading) []telemetry.Reading { return slices.Concat(frames...) }
	often, _ := play(fleet.Sources()[0], 5*time.Minute)
	source := fleet.Sources()[0]
	var seldom []telemetry.Reading
	for now := epoch; now.Before(epoch.Add(5 * time.Minute)); now = now.Add(700 * time.Millisecond) {
		for {
			s := source.Step(now)
			seldom = append(seldom, s.Readings...)
			if s.Next.After(now) {
				break
			}
		}
	}
	want := flat(often)
	if n := min(len(want), len(seldom)); n < 8000 || !slices.Equal(want[:n], seldom[:n]) {
		t.Errorf("asked often: %d readings, asked seldom: %d; the first of them differ", len(want), len(seldom))
	}
}

func TestFleetKeepsItsRateAndNames(t *testing.T) {
	fleet := Fleet{Devices: 120, Metrics: 10, Rate: 2400, Batch: 5}
	seen := map[string]bool{}
	total := 0
	for _, s := range fleet.Sources() {
		if err := telemetry.CheckDevice(s.Device()); err != nil || seen[s.Device()] {
			t.Errorf("device %q: %v, or it stands twice", s.Device(), err)
		}
		seen[s.Device()] = true
		frames, _ := play(s, 10*time.Second)
		for _, f := range frames {
			if len(f) != 5 {
				t.Fatalf("frame of %d readings, want 5", len(f))
			}
			total += len(f)
		}
	}
	if math.Abs(float64(total)-24000) > 24000/20 {
		t.Errorf("%d readings in 10 s, want about 24000", total)
	}
}

func TestFleetSendsEachReadingOfASlowDeviceAtOnce(t *testing.T) {
	fleet := Fleet{Devices: 1, Metrics: 4, Rate: 0.1, Batch: 100}
	frames, _ := play(fleet.Sources()[0], 10*time.Minute)
	for _, f := range frames {
		if len(f) != 1 {
			t.Fatalf("frame of %d readings, 10 s apart", len(f))
		}
	}
	if len(frames) < 58 || len(frames) > 61 {
		t.Errorf("%d frames, want about 60", len(frames))
	}
}

func TestFleetForgetsWhatADeviceCannotKeep(t *testing.T) {
	fleet := Fleet{Devices: 1, Metrics: 1, Rate: 10}
	source := fleet.Sources()[0]
	source.Step(epoch)
	late := epoch.Add(2 * time.Minute)
	s := source.Step(late)
	if s.Skipped < 890 || s.Skipped > 910 {
		t.Errorf("skipped %d readings, want those of 90 s", s.Skipped)
	}
	oldest := time.UnixMicro(s.Readings[0].Time)
	if age := late.Sub(oldest); age > memory {
		t.Errorf("oldest reading is %v old", age)
	}
}

func TestFaultyFleetsRaiseAlertsAndHealthyOnesDoNot(t *testing.T) {
	config := detect.DefaultConfig()
	params, err := config.Compile()
	if err != nil {
		t.Fatal(err)
	}
	for _, faulty := range []bool{true, false} {
		fleet := Fleet{Devices: 5, Metrics: 4, Rate: 100, Seed: 3, Faults: faulty}
		alerts, away := 0, 0
		heads := map[string]int{}
		for _, s := range fleet.Sources() {
			frames, steps := play(s, 30*time.Minute)
			detectors := map[string]*detect.Detector{}
			for _, r := range slices.Concat(frames...) {
				d := detectors[r.Metric]
				if d == nil {
					d = new(detect.Detector)
					detectors[r.Metric] = d
				}
				if v := d.Observe(params, r.Time, r.Value); v.Onset {
					alerts++
					heads[v.Head.String()]++
				}
			}
			for _, step := range steps {
				if step.Disconnect > 0 {
					away++
				}
			}
		}
		if faulty && (alerts < 10 || away == 0) {
			t.Errorf("faulty fleet: %d alerts %v, %d disconnects", alerts, heads, away)
		}
		t.Logf("faulty %v: %v", faulty, heads)
		if !faulty && (alerts > 0 || away > 0) {
			t.Errorf("healthy fleet: %d alerts %v, %d disconnects", alerts, heads, away)
		}
	}
}

func TestFaultsOfAllKindsComeOneAfterTheOther(t *testing.T) {
	f := newFaults(rand.New(rand.NewPCG(1, 1)), 3)
	seen := map[faultKind]bool{}
	for range 100 {
		before := f.now
		f.draw()
		seen[f.now.kind] = true
		if f.now.begin < before.end || f.now.begin < faultGrace || f.now.end <= f.now.begin {
			t.Fatalf("%+v follows %+v", f.now, before)
		}
	}
	if len(seen) != int(faultKinds) {
		t.Errorf("%d kinds in a hundred faults, want %d", len(seen), faultKinds)
	}
}

func TestFaultsDoTheirHarm(t *testing.T) {
	f := faults{now: fault{kind: stuck, metric: 1, begin: time.Second, end: 10 * time.Second}}
	if v, ok := f.apply(0, 1, 50, 49); v != 49 || !ok {
		t.Errorf("before the fault: %v %v", v, ok)
	}
	f.apply(2*time.Second, 1, 50, 51)
	if v, ok := f.apply(3*time.Second, 1, 50, 52); v != 51 || !ok {
		t.Errorf("stuck at 51: %v %v", v, ok)
	}
	if v, ok := f.apply(3*time.Second, 0, 50, 52); v != 52 || !ok {
		t.Errorf("another metric: %v %v", v, ok)
	}
	f = faults{now: fault{kind: dropout, metric: 1, end: 10 * time.Second}}
	if _, ok := f.apply(3*time.Second, 1, 50, 52); ok {
		t.Error("a reading during a drop-out")
	}
	f = faults{now: fault{kind: spike, metric: 1, end: 10 * time.Second, size: -1}}
	if v, _ := f.apply(3*time.Second, 1, 50, 52); v != 2 {
		t.Errorf("spike: %v, want 2", v)
	}
	if v, _ := f.apply(4*time.Second, 1, 50, 52); v != 52 {
		t.Errorf("after the spike: %v, want 52", v)
	}
}

func TestFleetValidateNamesEachWrongField(t *testing.T) {
	bad := Fleet{Rate: math.Inf(1), Batch: 5000}
	err := bad.Validate()
	for _, field := range []string{"devices:", "metrics:", "rate:", "batch:"} {
		if err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%v does not name %s", err, field)
		}
	}
	good := Fleet{Devices: 1, Metrics: 1, Rate: 1}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
}
