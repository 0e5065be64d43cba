package pipeline

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/VictoriaMetrics/metrics"
	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"

	"weir/kafka"
	"weir/telemetry"
	"weir/wire"
	"weir/wire/weirpb"
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

func TestPoisonGoesToTheDeadLettersAndThePartitionGoesOn(t *testing.T) {
	w := newWorld(t, 1)
	stop := w.start(w.pipeline(nil))
	w.send(oneReading("plant/a", "x", epoch, 1))
	junk := []byte("\xff\xff this is no record")
	offset := w.sendRaw("plant/a", junk)
	w.sendRaw("plant/a", nil) // names no device
	w.send(oneReading("plant/a", "x", epoch+1, 2))
	w.awaitStored(2)
	stop()
	letters := w.records(wire.TopicDeadLetters, 0)
	if len(letters) != 2 {
		t.Fatalf("%d dead letters, want 2", len(letters))
	}
	letter, err := wire.DecodeDeadLetter(letters[0].Value)
	if err != nil {
		t.Fatal(err)
	}
	if letter.Code != wire.CodeRecordMalformed || letter.Device != "plant/a" || !bytes.Equal(letter.Raw, junk) ||
		letter.Topic != wire.TopicReadings || letter.Offset != offset || letter.Stage != "pipeline" {
		t.Errorf("dead letter %+v", letter)
	}
}

func TestLargestRecordIsBuriedAndThePartitionGoesOn(t *testing.T) {
	w := newWorld(t, 1)
	junk := bytes.Repeat([]byte{0xff}, kafka.MaxMessageBytes-200)
	w.sendRaw("plant/a", junk)
	w.send(oneReading("plant/a", "x", epoch, 1))
	p := w.pipeline(nil)
	if err := w.ownUntilStored(p, 1); err != nil {
		t.Fatal(err)
	}
	if letters := w.records(wire.TopicDeadLetters, 0); len(letters) != 1 {
		t.Errorf("%d dead letters, want 1", len(letters))
	}
}

func TestRecordInAPartitionThatIsNotItsDevicesGoesToTheDeadLetters(t *testing.T) {
	w := newWorld(t, 2)
	home := kafka.PartitionFor("plant/a", 2)
	value := wire.AppendReadingBatch(nil, oneReading("plant/a", "x", epoch, 1))
	for range 2 {
		for partition := range 2 {
			record := kafka.Record{Key: []byte("plant/a"), Value: value}
			if _, err := w.producer.ProduceSync(w.context(), wire.TopicReadings, partition, []kafka.Record{record}); err != nil {
				t.Fatal(err)
			}
		}
	}
	stop := w.start(w.pipeline(nil))
	w.awaitStored(2)
	w.await("both strays are buried", func() bool { return len(w.records(wire.TopicDeadLetters, 1-home)) == 2 })
	stop()
	if c := w.chains()["plant/a/x"]; c.N != 2 {
		t.Errorf("n %d, want 2", c.N)
	}
	letter, err := wire.DecodeDeadLetter(w.records(wire.TopicDeadLetters, 1-home)[0].Value)
	if err != nil || letter.Code != wire.CodeWrongPartition || !bytes.Equal(letter.Raw, value) {
		t.Errorf("dead letter %+v: %v", letter, err)
	}
}

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
	p := w.pipeline(nil)
	p.hook = func(_ int, point string) error {
		if point == "checkpoint" && len(w.records(wire.TopicAlerts, 0)) > 0 {
			return errCrash
		}
		return nil
	}
	feed(1, 1000)
	if err := w.own(p, -1); !errors.Is(err, errCrash) {
		t.Fatal(err)
	}
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

// emittedWithoutCheckpoint leaves an update behind the marker, as an owner does that crashes before its next
// checkpoint, and returns a pipeline for its successor.
func (w *world) emittedWithoutCheckpoint() *Pipeline {
	w.t.Helper()
	w.send(oneReading("plant/a", "x", epoch, 1))
	if err := w.ownUntilStored(w.pipeline(nil), 1); err != nil {
		w.t.Fatal(err)
	}
	p := w.pipeline(func(o *Options) { o.Config.CheckpointPeriod = time.Millisecond })
	var emitted atomic.Bool
	p.hook = func(_ int, point string) error {
		switch {
		case point == "emit "+wire.TopicUpdates:
			emitted.Store(true)
		case point == "checkpoint" && emitted.Load():
			return errCrash
		}
		return nil
	}
	w.send(oneReading("plant/a", "x", epoch+1, 1))
	if err := w.own(p, -1); !errors.Is(err, errCrash) {
		w.t.Fatal(err)
	}
	w.awaitStored(2)
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

// sendDamaged stores a batch of so many records that claims to be compressed and is not.
func (w *world) sendDamaged(records int) {
	w.t.Helper()
	be := binary.BigEndian
	body := be.AppendUint16(nil, 1) // gzip
	body = be.AppendUint32(body, uint32(records-1))
	body = append(body, make([]byte, 8+8)...) // times
	body = append(body, bytes.Repeat([]byte{0xff}, 8+2+4)...)
	body = be.AppendUint32(body, uint32(records))
	body = append(body, "this is no gzip"...)
	batch := be.AppendUint64(nil, 0)
	batch = be.AppendUint32(batch, uint32(4+1+4+len(body)))
	batch = append(be.AppendUint32(batch, 0), 2) // leader epoch, magic
	batch = be.AppendUint32(batch, crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)))
	batch = append(batch, body...)

	options := w.broker.Options()
	transport := &kafkago.Transport{Dial: options.Dial}
	defer transport.CloseIdleConnections()
	client := kafkago.Client{Addr: kafkago.TCP(options.Brokers...), Transport: transport}
	set := append(be.AppendUint32(nil, uint32(len(batch))), batch...)
	res, err := client.RawProduce(w.context(), &kafkago.RawProduceRequest{
		Topic: wire.TopicReadings, RequiredAcks: kafkago.RequireAll,
		RawRecords: protocol.RawRecordSet{Reader: bytes.NewReader(set)},
	})
	if err == nil {
		err = res.Error
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

func TestBatchThatCannotBeReadIsBuriedOnceAndThePartitionGoesOn(t *testing.T) {
	w := newWorld(t, 1)
	w.send(oneReading("plant/a", "x", epoch, 1))
	w.sendDamaged(70)
	w.send(oneReading("plant/a", "x", epoch, 1))
	p := w.pipeline(nil)
	if err := w.ownUntilStored(p, 2); err != nil {
		t.Fatal(err)
	}
	letters := w.records(wire.TopicDeadLetters, 0)
	if len(letters) != 1 {
		t.Fatalf("%d dead letters, want 1", len(letters))
	}
	letter, err := wire.DecodeDeadLetter(letters[0].Value)
	if err != nil || letter.Code != wire.CodeRecordCorrupt || letter.Offset != 1 || !strings.Contains(letter.Message, "[1, 71)") {
		t.Errorf("dead letter %+v: %v", letter, err)
	}
	if got := p.m.lost.Get(); got != 70 {
		t.Errorf("%d lost records counted, want 70", got)
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
