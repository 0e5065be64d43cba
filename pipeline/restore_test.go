package pipeline

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"weir/kafka"
	"weir/telemetry"
	"weir/wire"
	"weir/wire/weirpb"
)

func TestUnknownStateLayoutWarmsTheSeriesUpAndKeepsItsChain(t *testing.T) {
	w := newWorld(t, 1)
	stop := w.start(w.pipeline(nil))
	for i := range int64(50) {
		w.send(oneReading("plant/a", "x", epoch+i, 1))
	}
	before := w.awaitStored(50)["plant/a/x"]
	if before.State != telemetry.OK {
		t.Fatalf("state %v after 50 readings", before.State)
	}
	stop()
	w.rewriteState("s/plant/a/x", func(m *weirpb.SeriesState) { m.Layout = 99 })

	p := w.pipeline(nil)
	stop = w.start(p)
	w.send(oneReading("plant/a", "x", epoch+50, 1))
	after := w.awaitStored(51)["plant/a/x"]
	stop()
	if after.State != telemetry.Warming || after.N != 51 {
		t.Errorf("state %v, n %d", after.State, after.N)
	}
	if got := p.m.layouts.Get(); got != 1 {
		t.Errorf("%d unknown layouts counted, want 1", got)
	}
}

func TestAlertRaisedAfterTheLastCheckpointIsResolvedAlthoughTheDetectorForgotIt(t *testing.T) {
	w := newWorld(t, 1)
	n := int64(0)
	feed := func(count int, v float64) {
		for range count {
			w.send(oneReading("plant/a", "x", epoch+n*1e6, v))
			n++
		}
	}
	feed(60, 10)
	if err := w.ownUntilStored(w.pipeline(nil), 60); err != nil {
		t.Fatal(err)
	}
	w.crashAfter(
		func() { feed(1, 1000) },
		func() bool { return stored(w.chains()) == 61 && len(w.records(wire.TopicAlerts, 0)) == 1 },
	)
	w.rewriteState("s/plant/a/x", func(m *weirpb.SeriesState) { m.Layout = 99 })
	feed(100, 10)
	if err := w.ownUntilStored(w.pipeline(nil), 161); err != nil {
		t.Fatal(err)
	}
	records := w.records(wire.TopicAlerts, 0)
	var alerts []telemetry.Alert
	for _, r := range records {
		alert, err := wire.DecodeAlert(r.Value)
		if err != nil {
			t.Fatal(err)
		}
		alerts = append(alerts, alert)
	}
	if len(alerts) != 2 || alerts[1].Phase != telemetry.Resolved || alerts[1].ID != alerts[0].ID {
		t.Fatalf("transitions %+v", alerts)
	}
	open := true
	for _, r := range w.records(wire.TopicLatest, 0) {
		if string(r.Key) == wire.AlertKey(alerts[0].ID) {
			open = r.Value != nil
		}
	}
	if open {
		t.Error("weir.latest says that it is still open")
	}
}

// rewriteState replaces the newest record of a key, as a version of Weir from the future would have.
func (w *world) rewriteState(key string, change func(*weirpb.SeriesState)) {
	w.t.Helper()
	var newest *kafka.Record
	for _, r := range w.records(wire.TopicState, 0) {
		if string(r.Key) == key {
			newest = &r
		}
	}
	var m weirpb.SeriesState
	if newest == nil || m.UnmarshalVT(newest.Value) != nil {
		w.t.Fatalf("no state under %s", key)
	}
	change(&m)
	value, _ := m.MarshalVT()
	record := kafka.Record{Key: newest.Key, Value: value, Headers: newest.Headers}
	if _, err := w.producer.ProduceSync(w.context(), wire.TopicState, 0, []kafka.Record{record}); err != nil {
		w.t.Fatal(err)
	}
}

func TestTopicThatLostReadingsIsRefusedByName(t *testing.T) {
	w := newWorld(t, 1)
	err := w.own(w.pipeline(nil), 100)
	if err == nil || !strings.Contains(err.Error(), wire.TopicReadings) {
		t.Errorf("error %v, want one that names %s", err, wire.TopicReadings)
	}
}

// crashAfter runs an owner that is sent readings behind its first checkpoint and crashes before the next one, when
// they have been emitted.
func (w *world) crashAfter(send func(), emitted func() bool) {
	w.t.Helper()
	p := w.pipeline(nil)
	var checkpoints atomic.Int32
	p.hook = func(_ int, point string) error {
		switch {
		case point == "marker written":
			send()
		case point == "checkpoint" && checkpoints.Add(1) == 2:
			w.await("it is emitted", emitted)
			return errCrash
		}
		return nil
	}
	if err := w.own(p, -1); !errors.Is(err, errCrash) {
		w.t.Fatal(err)
	}
}

// emittedWithoutCheckpoint leaves an update behind the marker, as an owner does that crashes before its next
// checkpoint, and returns a pipeline for its successor.
func (w *world) emittedWithoutCheckpoint() *Pipeline {
	w.t.Helper()
	w.send(oneReading("plant/a", "x", epoch, 1))
	if err := w.ownUntilStored(w.pipeline(nil), 1); err != nil {
		w.t.Fatal(err)
	}
	w.crashAfter(
		func() { w.send(oneReading("plant/a", "x", epoch+1, 1)) },
		func() bool { return stored(w.chains()) == 2 },
	)
	return w.pipeline(nil)
}

func TestOwnerRefusesToGoOnWhenWhatWasEmittedWasDeleted(t *testing.T) {
	w := newWorld(t, 1)
	p := w.emittedWithoutCheckpoint()
	// A fence follows what is deleted, for the broker keeps the last batch.
	fence, err := w.producer.ProduceSync(w.context(), wire.TopicUpdates, 0, []kafka.Record{kafka.FenceRecord(0)})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.broker.DeleteRecords(w.context(), wire.TopicUpdates, 0, fence); err != nil {
		t.Fatal(err)
	}
	err = w.own(p, -1)
	if err == nil || !strings.Contains(err.Error(), wire.TopicUpdates) || !strings.Contains(err.Error(), "accept_loss") {
		t.Errorf("error %v, want one that names %s and says what to do", err, wire.TopicUpdates)
	}
	if ranges, err := w.client.Offsets(w.context(), wire.TopicUpdates); err != nil || ranges[0].End != fence+2 {
		t.Errorf("%s ends at %d, want the owner's fence alone behind %d: %v", wire.TopicUpdates, ranges[0].End, fence, err)
	}
	p.config.AcceptLoss = true
	ctx, stop := context.WithCancel(w.context())
	p.hook = func(_ int, point string) error {
		if point == "restored" {
			stop()
		}
		return nil
	}
	if err := p.newOwner(0, -1, func(context.Context, int64) error { return nil }).run(ctx); err != nil {
		t.Errorf("an owner that may lose: %v", err)
	}
}

func TestOldFencesMayBeDeletedBeforeTheNextOwner(t *testing.T) {
	w := newWorld(t, 1)
	var end int64
	for range 3 {
		p := w.pipeline(nil)
		ctx, stop := context.WithCancel(w.context())
		p.hook = func(_ int, point string) error {
			if point == "restored" {
				stop()
			}
			return nil
		}
		if err := p.newOwner(0, -1, func(context.Context, int64) error { return nil }).run(ctx); err != nil {
			t.Fatal(err)
		}
		for _, topic := range []string{wire.TopicUpdates, wire.TopicAlerts} {
			ranges, err := w.client.Offsets(w.context(), topic)
			if err != nil {
				t.Fatal(err)
			}
			if end = ranges[0].End; end < 1 {
				t.Fatalf("%s is empty", topic)
			}
			if err := w.broker.DeleteRecords(w.context(), topic, 0, end); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestUpdateOfAZombieBehindTheMarkerIsNotReadBack(t *testing.T) {
	w := newWorld(t, 1)
	for n := range uint64(2) {
		w.send(oneReading("plant/a", "x", epoch+int64(n), 1))
		if err := w.ownUntilStored(w.pipeline(nil), n+1); err != nil {
			t.Fatal(err)
		}
	}
	newest := w.chains()["plant/a/x"].Version
	row := telemetry.Update{Series: "plant/a/x", Since: newest, Version: newest + 1, N: 1}
	zombie := kafka.Record{Value: wire.AppendUpdateBatch(nil, epoch, []telemetry.Update{row}), Headers: kafka.FenceHeaders(0)}
	if _, err := w.producer.ProduceSync(w.context(), wire.TopicUpdates, 0, []kafka.Record{zombie}); err != nil {
		t.Fatal(err)
	}
	w.send(oneReading("plant/a", "x", epoch+2, 1))
	if err := w.ownUntilStored(w.pipeline(nil), 3); err != nil {
		t.Fatal(err)
	}
}

func TestTopicThatEndsBeforeItsMarkerIsRefusedByName(t *testing.T) {
	for topic, marker := range map[string]wire.Marker{
		wire.TopicUpdates: {Updates: 1000}, wire.TopicAlerts: {Alerts: 1000},
	} {
		w := newWorld(t, 1)
		record := kafka.Record{Key: []byte(wire.MarkerKey), Value: wire.AppendMarker(nil, marker)}
		if _, err := w.producer.ProduceSync(w.context(), wire.TopicLatest, 0, []kafka.Record{record}); err != nil {
			t.Fatal(err)
		}
		if err := w.own(w.pipeline(nil), -1); err == nil || !strings.Contains(err.Error(), topic) {
			t.Errorf("error %v, want one that names %s", err, topic)
		}
	}
}

func TestReadingsDeletedUnreadArePassedOverAndCounted(t *testing.T) {
	w := newWorld(t, 1)
	send := func(n int) {
		for range n {
			w.send(oneReading("plant/a", "x", epoch, 1))
		}
	}
	send(2)
	if err := w.ownUntilStored(w.pipeline(nil), 2); err != nil {
		t.Fatal(err)
	}
	send(10)
	if err := w.broker.DeleteRecords(w.context(), wire.TopicReadings, 0, 7); err != nil {
		t.Fatal(err)
	}
	p := w.pipeline(nil)
	if err := w.ownUntilStored(p, 7); err != nil {
		t.Fatal(err)
	}
	if c := w.chains()["plant/a/x"]; c.N != 7 || p.m.lost.Get() != 5 {
		t.Errorf("n %d with %d lost, want the 7 that were left and 5", c.N, p.m.lost.Get())
	}
}
