package pipeline

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"weir/kafka"
	"weir/pipeline/plan"
	"weir/telemetry"
	"weir/wire"
)

// brokerBatch is what a batch may have with a broker's defaults.
const brokerBatch = 1 << 20

// written produces the state records of a checkpoint as an owner would, and returns them.
func written(t *testing.T, c *checkpoint) []kafka.Record {
	t.Helper()
	w := newWorld(t, 1)
	n := 0
	for group := range c.byDevice() {
		if size := sizeOf(group); size > brokerBatch {
			t.Errorf("a batch of %d bytes", size)
		}
		if err := w.producer.Produce(context.Background(), wire.TopicState, 0, group, nil); err != nil {
			t.Error(err)
		}
		n += len(group)
	}
	if n != len(c.state) {
		t.Errorf("%d records of %d are written", n, len(c.state))
	}
	return c.state
}

// sketches has a device whose windows hold more than fits into a batch.
const sketches = `
pipelines:
  - match: "p/#"
    windows:
      - {name: 1h, kind: hopping, size: 1h, every: 1m, functions: [p50, p99]}
      - {name: 30m, kind: hopping, size: 30m, every: 30s, functions: [p50, p99]}
`

// manyWindows feeds a device with so many metrics.
func manyWindows(l *log, metrics, seconds int) {
	rng := rand.New(rand.NewPCG(1, 2))
	for second := 0; second < seconds; second += 10 {
		b := &telemetry.Batch{Device: "p/a", Ingest: epoch + int64(second)*1e6}
		for m := range metrics {
			b.Readings = append(b.Readings, telemetry.Reading{Metric: fmt.Sprintf("m%d", m), Time: b.Ingest, Value: math.Exp(rng.NormFloat64())})
		}
		l.feed("p/a", wire.AppendReadingBatch(nil, b))
	}
}

func TestADeviceWithMoreStateThanFitsIntoABatchGoesOnWithoutItsLargestWindows(t *testing.T) {
	l := newLog(t, sketches)
	manyWindows(l, 300, 1500)
	var c checkpoint
	l.replay.stages.summarise.takeDirty()
	c.device(l.replay.stages.decode.registry.devices["p/a"], l.offset, nil)
	records := written(t, &c)
	if c.oversized != 1 || len(c.tooLarge) != 1 || string(records[0].Key) != "d/p/a" || len(c.devices) != 1 {
		t.Fatalf("oversized %d, said of %v, %d batches, the first record is %s", c.oversized, c.tooLarge, len(c.devices), records[0].Key)
	}
	g := newRegistry(1000)
	g.plan = l.replay.stages.decode.registry.plan
	var x stateDecoder
	windows, learned := 0, 0
	for _, r := range records[1:] {
		s, err := g.restoredSeries(strings.TrimPrefix(string(r.Key), seriesKey))
		if err != nil {
			t.Fatal(err)
		}
		if err := x.seriesState(g, s, r.Value); err != nil {
			t.Fatal(err)
		}
		if s.compute != nil && len(s.compute.frozen) > 0 {
			windows++
		}
		if len(s.average.frozen) > 0 {
			learned++
		}
	}
	if windows == 0 || windows >= 300 || learned < 300 {
		t.Errorf("of 300 series, %d have their windows and %d their average", windows, learned)
	}
}

func TestSeriesWithoutStateAreWrittenBeforeTheHeader(t *testing.T) {
	var c checkpoint
	d := newRegistry(1).restoredDevice("p/a")
	d.applied = 9
	for i := range 9000 {
		s := &series{name: fmt.Sprintf("p/a/%s%d", strings.Repeat("m", 100), i), device: d, derived: true,
			watch: watchState{due: never}, summary: newSummaryState("", 7), newest: newestState{time: epoch}}
		s.average.frozen, s.detector.frozen = make(frozen, 100), make(frozen, 200)
		s.summary.nextDirty, d.dirtySeries = d.dirtySeries, s
	}
	c.device(d, 10, nil)
	records := written(t, &c)
	last := c.state[c.devices[len(c.devices)-2]:]
	if string(last[0].Key) != "d/p/a" || len(records) != 9001 || len(c.devices) < 2 {
		t.Fatalf("%d records in %d batches, the last begins with %s", len(records), len(c.devices), last[0].Key)
	}
	var x stateDecoder
	for i, r := range records {
		if i == c.devices[len(c.devices)-2] {
			continue
		}
		s := &series{device: d, derived: true, summary: newSummaryState("", 0)}
		if err := x.seriesState(newRegistry(1), s, r.Value); err != nil || s.summary.version != 7 {
			t.Fatalf("%v, version %d", err, s.summary.version)
		}
		if bare := len(s.average.frozen) == 0; bare != (i < c.devices[len(c.devices)-2]) {
			t.Fatalf("record %d: without state %v", i, bare)
		}
	}
}

func TestAnOwnerSurvivesADeviceWithMoreStateThanFitsIntoABatch(t *testing.T) {
	w := newWorld(t, 1)
	wanted := newFixedPlan(t, sketches)
	p := w.pipeline(func(o *Options) { o.Plans = wanted })
	stop := w.start(p)
	awaitPlan(t, p, 0, wanted.Hash())
	rng := rand.New(rand.NewPCG(1, 2))
	const metrics, frames = 300, 150
	for i := range frames {
		b := &telemetry.Batch{Device: "p/a", Ingest: time.Now().UnixMicro()}
		for m := range metrics {
			b.Readings = append(b.Readings, telemetry.Reading{Metric: fmt.Sprintf("m%d", m), Time: epoch + int64(i)*10e6, Value: math.Exp(rng.NormFloat64())})
		}
		w.send(b)
	}
	own := func() (n uint64) {
		for name, c := range w.chains() {
			if _, metric, _ := telemetry.SplitSeries(name); !strings.Contains(metric, ".") {
				n += c.N
			}
		}
		return n
	}
	w.await("all is emitted", func() bool { return own() == metrics*frames })
	w.await("a checkpoint was too large", func() bool { return p.m.oversized.Get() > 0 })
	stop()
	p = w.pipeline(func(o *Options) { o.Plans = wanted })
	w.start(p)
	w.send(oneReading("p/a", "m0", epoch+frames*10e6, 1))
	w.await("the next owner goes on", func() bool { return own() == metrics*frames+1 })
}

func TestThePermittedSilencesAreWrittenAndReadBack(t *testing.T) {
	var s silences
	put := func(id string, until, now int64) {
		t.Helper()
		if err := s.put(&telemetry.Silence{ID: id, Series: "#", Until: until, Comment: strings.Repeat("<", 1000)}, now); err != nil {
			t.Fatal(err)
		}
	}
	state := make(map[string][]byte) // as it is compacted
	save := func() {
		t.Helper()
		var c checkpoint
		c.silences(&s, nil)
		for _, r := range written(t, &c) {
			state[string(r.Key)] = r.Value
		}
	}
	restored := func() *silences {
		t.Helper()
		var out silences
		for key, value := range state {
			if err := out.restore(strings.TrimPrefix(key, silenceKey), value); err != nil {
				t.Error(err)
			}
		}
		return &out
	}
	for i := range 1000 {
		put(fmt.Sprintf("s%04d", i), 100+int64(i), 1)
	}
	save()
	about := &telemetry.Alert{Series: "p/a/x"}
	if n := len(restored().Covers(about, 50)); n != 1000 {
		t.Errorf("%d of 1000 silences are read back", n)
	}
	s = *restored()
	put("s0999", 5000, 600) // those up to s0500 are over
	put("new", 5000, 600)
	save()
	s = *restored()
	all := s.Covers(about, 50) // those that have not been dropped
	if len(all) != 500 || all[0] != "new" || all[1] != "s0501" || len(s.Covers(about, 4999)) != 2 {
		t.Errorf("%d silences: %.3q …", len(all), all)
	}
	save() // nothing has changed
	put("s0999", 700, 700)
	save()
	if n := len(restored().Covers(about, 50)); n != 400 { // s0601 to s0999, which ends now, and the new one
		t.Errorf("%d silences are left, want 400", n)
	}
}

// A plan is as large as its file: several that came into force since the last checkpoint do not go into one batch.
func TestEachPlanIsWrittenByItself(t *testing.T) {
	g := newRegistry(1)
	for i := range 6 {
		p, err := plan.Parse([]byte(strings.Repeat("# "+strings.Repeat("x", 1000)+"\n", 250) + "pipelines: [{match: \"p/#\", unit: x}]"))
		if err != nil {
			t.Fatal(err)
		}
		g.planned(p, int64(i))
	}
	var c checkpoint
	c.plans(g, 3, nil)
	if n := len(written(t, &c)); n != 6+2 {
		t.Errorf("%d records, want 6 plans and 2 tombstones", n)
	}
}
