package pipeline

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"weir/kafka"
	"weir/wire"
)

func TestReadingsBecomeUpdates(t *testing.T) {
	w := newWorld(t, 2)
	p := w.pipeline(nil)
	if p.Ready() {
		t.Error("ready before it runs")
	}
	stop := w.start(p)
	for i := range 100 {
		w.send(oneReading("plant/a", "temperature", epoch+int64(i)*1e6, float64(i)))
		w.send(oneReading("plant/b", "pressure", epoch+int64(i)*1e6, -float64(i)))
	}
	chains := w.awaitStored(200)
	if !p.Ready() || len(p.Owned()) != 2 {
		t.Errorf("ready %v with partitions %v", p.Ready(), p.Owned())
	}
	stop()
	if p.Ready() {
		t.Error("ready after it has stopped")
	}
	a := chains["plant/a/temperature"]
	if a == nil || a.N != 100 || a.Min != 0 || a.Max != 99 || a.Last != 99 || a.Sum != 4950 {
		t.Errorf("plant/a/temperature: %+v", a)
	}
	for partition := range 2 {
		records := w.records(wire.TopicLatest, partition)
		if len(records) == 0 || string(records[len(records)-1].Key) != wire.MarkerKey {
			t.Errorf("partition %d: a marker is not the last of %d records in weir.latest", partition, len(records))
		}
	}
}

func TestSuccessorGoesOnWhereAStoppedPipelineEnded(t *testing.T) {
	w := newWorld(t, 1)
	for round := range 3 {
		stop := w.start(w.pipeline(nil))
		for i := range 20 {
			n := int64(round*20 + i)
			w.send(oneReading("plant/a", "x", epoch+n*1e6, float64(n)))
		}
		w.awaitStored(uint64(20 * (round + 1)))
		stop()
		committed, err := w.client.Committed(w.context(), Group, wire.TopicReadings, 1)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("round %d: committed %d", round, committed[0])
	}
	c := w.chains()["plant/a/x"]
	if c.N != 60 || c.Sum != 59*60/2 {
		t.Errorf("n %d sum %v", c.N, c.Sum)
	}
	// The window is a minute, one reading a second: had a restart forgotten them, the average would be near
	// the newest reading.
	if c.Avg != 29.5 {
		t.Errorf("moving average %v, want that of all 60 readings, 29.5", c.Avg)
	}
}

func TestPanicOfAStageEndsTheOwnerWithItsCause(t *testing.T) {
	w := newWorld(t, 1)
	p := w.pipeline(nil)
	p.hook = func(_ int, point string) error {
		if point == "emit "+wire.TopicUpdates {
			panic("boom")
		}
		return nil
	}
	w.send(oneReading("plant/a", "x", epoch, 1))
	if err := w.own(p, -1); err == nil || !strings.Contains(err.Error(), "boom") {
		t.Errorf("error %v, want the panic", err)
	}
	if got := p.m.panics.Get(); got != 1 {
		t.Errorf("%d panics counted", got)
	}
	if err := w.ownUntilStored(w.pipeline(nil), 1); err != nil {
		t.Error(err)
	}
}

// own runs an owner of partition 0 without a group, until it ends by itself.
func (w *world) own(p *Pipeline, committed int64) error {
	return p.newOwner(0, committed, func(context.Context, int64) error { return nil }).run(w.context())
}

func (w *world) ownUntilStored(p *Pipeline, n uint64) error {
	ctx, stop := context.WithCancel(w.context())
	ended := make(chan error, 1)
	go func() {
		ended <- p.newOwner(0, -1, func(context.Context, int64) error { return nil }).run(ctx)
	}()
	w.awaitStored(n)
	stop()
	return <-ended
}

func TestOwnerThatEndsLateLeavesItsSuccessorAlone(t *testing.T) {
	p := newWorld(t, 1).pipeline(nil)
	late, successor := p.newOwner(0, -1, nil), p.newOwner(0, -1, nil)
	p.begin(late)
	p.ready(late)
	p.begin(successor)
	if len(p.Owned()) != 0 {
		t.Error("the successor counts as restored before it is")
	}
	p.ready(successor)
	p.end(late)
	var exposed bytes.Buffer
	p.metrics.WritePrometheus(&exposed)
	if len(p.Owned()) != 1 || !strings.Contains(exposed.String(), `weir_pipeline_lag_records{partition="0"}`) {
		t.Errorf("owned %v, metrics:\n%s", p.Owned(), &exposed)
	}
	p.end(successor)
	if len(p.Owned()) != 0 {
		t.Errorf("owned %v", p.Owned())
	}
}

func TestRenewalThatTakesTooLongIsTriedAgainSooner(t *testing.T) {
	d := &driver{owner: newWorld(t, 1).pipeline(nil).newOwner(0, -1, nil)}
	for _, test := range []struct {
		err, fatal error
		next       time.Duration
	}{
		{nil, nil, renewEvery},
		{fmt.Errorf("renew: %w", kafka.ErrTimeout), nil, renewAgain},
		{kafka.ErrFenced, kafka.ErrFenced, renewEvery},
	} {
		if next, fatal := d.renewed(test.err); next != test.next || !errors.Is(fatal, test.fatal) {
			t.Errorf("%v: again in %s, error %v", test.err, next, fatal)
		}
	}
}

func TestLastCheckpointDoesNotOutwaitAnOwnerThatWasGivenUp(t *testing.T) {
	o := newWorld(t, 1).pipeline(nil).newOwner(0, -1, nil)
	synctest.Test(t, func(t *testing.T) {
		work, fail := context.WithCancelCause(context.Background())
		o.work, o.fail = work, fail
		d := &driver{owner: o, persisting: make(chan error)}
		time.AfterFunc(time.Second, func() { fail(errStopTimeout) })
		if err := d.finish(); !errors.Is(err, errStopTimeout) {
			t.Errorf("error %v", err)
		}
	})
}

func TestCompactedTopicsStayBounded(t *testing.T) {
	w := newWorld(t, 1)
	p := w.pipeline(func(o *Options) {
		o.Trimmer = w.broker
		o.Config.CheckpointPeriod = 2 * time.Millisecond
		o.Config.CompactAbove = 4 << 10
	})
	stop := w.start(p)
	n := uint64(0)
	w.await("several compactions", func() bool {
		n++
		w.send(oneReading("plant/a", "x", epoch+int64(n), 1))
		return p.m.compactions.Get() >= 6
	})
	w.awaitStored(n)
	stop()
	for _, topic := range []string{wire.TopicState, wire.TopicLatest} {
		ranges, err := w.client.Offsets(w.context(), topic)
		if err != nil {
			t.Fatal(err)
		}
		if ranges[0].First == 0 {
			t.Errorf("%s was never trimmed", topic)
		}
		t.Logf("%s holds offsets %d to %d", topic, ranges[0].First, ranges[0].End)
	}
	stop = w.start(w.pipeline(nil))
	w.send(oneReading("plant/a", "x", epoch+int64(n), 1))
	w.awaitStored(n + 1)
	stop()
}

func TestConfigNamesEveryFieldItRefuses(t *testing.T) {
	c := DefaultConfig()
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	_, err := New(Options{Client: new(kafka.Client), Metrics: metrics.NewSet()})
	if err == nil {
		t.Fatal("a zero configuration is taken")
	}
	for _, field := range []string{
		"flush_period", "checkpoint_period", "lateness", "max_series_per_device", "fetch_bytes", "fetch_wait",
		"in_flight", "stop_timeout", "session_timeout", "rebalance_timeout", "average.window",
	} {
		if !strings.Contains(err.Error(), field+": ") {
			t.Errorf("the error does not name %s: %v", field, err)
		}
	}
}
