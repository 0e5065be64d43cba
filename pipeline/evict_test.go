package pipeline

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"weir/kafka"
	"weir/telemetry"
	"weir/wire"
	"weir/wire/weirpb"
)

// TestDevicesThatAreEvictedAndWokenAllTheTimeCountEveryReadingOnce is the test of owners that crash, whose devices
// leave memory as soon as they are quiet.
func TestDevicesThatAreEvictedAndWokenAllTheTimeCountEveryReadingOnce(t *testing.T) {
	duration := 3 * time.Second
	if testing.Short() {
		duration = time.Second
	}
	for seed := uint64(1); seed <= 3; seed++ {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 1)
			c := &chaos{w: w, rng: rand.New(rand.NewPCG(seed, 7)), committed: -1, wake: make(chan struct{}), metrics: metrics.NewSet()}
			fleet := newFleet(seed)
			fleet.idle = true
			c.storm(fleet, duration)
			c.settle(fleet)
			fleet.end = c.committed
			fleet.check(t, w)
			m := newCounters(c.metrics)
			t.Logf("%d owners, %d crashed; %d records, %d alerts, %d deletions, %d controls; %d evictions, %d wakes, %d lost, %d compactions",
				c.generation, c.crashed, fleet.records, len(fleet.transitions), fleet.deletions, fleet.controls,
				m.evictions.Get(), m.wakes.Get(), m.wakesLost.Get(), m.compactions.Get())
			busy := fleet.records > 2000 // or the machine is, with something else
			// A zombie may look where its successor has trimmed; what it makes of that is refused.
			if busy && (m.evictions.Get() == 0 || m.wakes.Get() == 0) {
				t.Errorf("%d evictions, %d wakes, %d lost", m.evictions.Get(), m.wakes.Get(), m.wakesLost.Get())
			}
		})
	}
}

// evicting is a pipeline that evicts devices at once.
func (w *world) evicting(change func(*Options)) *Pipeline {
	return w.pipeline(func(o *Options) {
		o.Config.EvictAfter = time.Millisecond
		if change != nil {
			change(o)
		}
	})
}

// steady sends readings of a series that raise no alert.
func (w *world) steady(device, metric string, from, n int64) {
	w.t.Helper()
	for i := from; i < from+n; i++ {
		w.send(oneReading(device, metric, epoch+i*1e6, 20+float64(i%3)))
	}
}

func (w *world) awaitEvicted(p *Pipeline, n uint64) {
	w.t.Helper()
	w.await("devices are evicted", func() bool { return p.m.evictions.Get() >= n })
}

func TestAnEvictedDeviceGoesOnWhereItStoodAlsoAfterARestart(t *testing.T) {
	w := newWorld(t, 1)
	p := w.evicting(nil)
	stop := w.start(p)
	w.steady("p/d", "x", 0, 50)
	w.awaitStored(50)
	w.awaitEvicted(p, 1)
	w.steady("p/d", "x", 50, 1)
	before := w.awaitStored(51)["p/d/x"]
	if before.State != telemetry.OK || p.m.wakes.Get() == 0 || p.m.wakesLost.Get() > 0 {
		t.Errorf("state %v, %d wakes, %d lost", before.State, p.m.wakes.Get(), p.m.wakesLost.Get())
	}
	w.awaitEvicted(p, p.m.evictions.Get()+1)
	stop()

	again := w.evicting(nil)
	stop = w.start(again)
	w.await("ready", again.Ready)
	if x, err := again.Inspect(w.context(), 0, "p/d/x"); err != nil || x.Latest.N == 0 {
		t.Errorf("%+v, %v", x, err)
	}
	if again.m.wakes.Get() != 1 {
		t.Errorf("%d wakes: the restart was to leave it where it is", again.m.wakes.Get())
	}
	w.awaitEvicted(again, 1)
	if names, err := again.Names(w.context(), 0); err != nil || len(names) != 1 || names[0] != "p/d/x" {
		t.Errorf("names %v, %v", names, err)
	}
	w.steady("p/d", "x", 51, 1)
	if after := w.awaitStored(52)["p/d/x"]; after.State != telemetry.OK || after.rows < 3 {
		t.Errorf("%+v", after)
	}
	stop()
}

func TestAnEvictedDeviceIsFoundAfterItsStateWasMoved(t *testing.T) {
	w := newWorld(t, 1)
	p := w.evicting(func(o *Options) {
		o.Config.CompactAbove = 1
		o.Trimmer = w.broker
	})
	w.start(p)
	w.steady("p/d", "x", 0, 50)
	w.awaitStored(50)
	w.awaitEvicted(p, 1)
	moved := p.m.compactions.Get() + 2
	n := int64(0)
	w.await("compactions", func() bool {
		w.steady("p/e", "x", n, 1)
		n++
		return p.m.compactions.Get() >= moved
	})
	w.steady("p/d", "x", 50, 1)
	if c := w.awaitStored(uint64(51 + n))["p/d/x"]; c.State != telemetry.OK || c.N != 51 || p.m.wakesLost.Get() > 0 {
		t.Errorf("%+v, %d lost", c, p.m.wakesLost.Get())
	}
}

func TestAnEvictedDeviceCanBeDeletedAndItsStateCanBeMissing(t *testing.T) {
	w := newWorld(t, 1)
	p := w.evicting(nil)
	w.start(p)
	w.steady("p/d", "x", 0, 50)
	w.steady("p/e", "x", 0, 50)
	w.awaitStored(100)
	w.awaitEvicted(p, 2)
	version := w.delete("p/d")
	w.await("tombstones", func() bool {
		latest, state := w.newestOf(wire.TopicLatest), w.newestOf(wire.TopicState)
		return latest["s/p/d/x"] == nil && state["s/p/d/x"] == nil && w.chains()[endedAt("p/d/x", version)] != nil
	})
	asleep := p.metrics.GetOrCreateGauge(`weir_pipeline_evicted_devices{partition="0"}`, nil)
	w.await("the other one is asleep", func() bool { return asleep.Get() == 1 })
	end, err := w.client.Offsets(w.context(), wire.TopicState)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.broker.DeleteRecords(w.context(), wire.TopicState, 0, end[0].End); err != nil {
		t.Fatal(err)
	}
	w.send(oneReading("p/e", "x", epoch+100e6, 1))
	w.await("the loss is counted", func() bool { return p.m.wakesLost.Get() == 1 })
}

func TestAPlanFindsEvictedDevices(t *testing.T) {
	w := newWorld(t, 1)
	p := w.evicting(nil)
	w.start(p)
	w.steady("p/d", "x", 0, 50)
	w.awaitStored(50)
	w.awaitEvicted(p, 1)
	w.sendRaw("p/other", wire.AppendControl(nil, &wire.Control{Kind: wire.ControlPlan, Time: time.Now().UnixMicro(), Text: `
pipelines:
  - match: "p/+/x"
    rules: [{name: gone, kind: absence, for: 1s}]
`}))
	w.await("its absence is noticed", func() bool { return len(w.records(wire.TopicAlerts, 0)) > 0 })
}

func TestADeviceOfWhichNothingWasHeardForLongIsDeleted(t *testing.T) {
	for _, evict := range []time.Duration{0, time.Millisecond} {
		w := newWorld(t, 1)
		p := w.evicting(func(o *Options) { o.Config.EvictAfter, o.Config.DropAfter = evict, 2*time.Second })
		stop := w.start(p)
		w.steady("p/d", "x", 0, 50)
		w.awaitStored(50)
		if evict > 0 {
			w.awaitEvicted(p, 1)
		}
		w.await("it is gone", func() bool {
			w.steady("p/e", "x", 0, 1)
			return w.newestOf(wire.TopicLatest)["s/p/d/x"] == nil && w.newestOf(wire.TopicLatest)["s/p/e/x"] != nil
		})
		if p.m.dropped.Get() == 0 {
			t.Error("nothing was counted")
		}
		stop()
	}
}

func TestStateOfBeforeDevicesWereEvictedIsReadAndItsDevicesAreEvicted(t *testing.T) {
	w := newWorld(t, 1)
	stop := w.start(w.pipeline(nil))
	w.steady("p/d", "x", 0, 50)
	w.awaitStored(50)
	stop()
	var header kafka.Record
	for _, r := range w.records(wire.TopicState, 0) {
		if string(r.Key) == "d/p/d" {
			header = r
		}
	}
	var m weirpb.DeviceState
	if err := m.UnmarshalVT(header.Value); err != nil || m.HeardTime == 0 {
		t.Fatalf("%v, %v", &m, err)
	}
	m.HeardTime = 0
	value, err := m.MarshalVT()
	if err != nil {
		t.Fatal(err)
	}
	header.Value = value
	if _, err := w.producer.ProduceSync(w.context(), wire.TopicState, 0, []kafka.Record{header}); err != nil {
		t.Fatal(err)
	}
	p := w.evicting(func(o *Options) { o.Config.DropAfter = time.Hour })
	w.start(p)
	w.awaitEvicted(p, 1)
	w.steady("p/d", "x", 50, 1)
	if c := w.awaitStored(51)["p/d/x"]; c.State != telemetry.OK || p.m.dropped.Get() > 0 {
		t.Errorf("%+v", c)
	}
}
