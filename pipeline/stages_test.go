package pipeline

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"weir/kafka"
	"weir/telemetry"
	"weir/wire"
	"weir/wire/weirpb"
)

// bench is a row of stages without goroutines and without a broker.
type bench struct {
	*stages
	sent *recorder
}

// recorder keeps what emit sends and acknowledges it, or not yet.
type recorder struct {
	next    storeAll
	records []kafka.Record
	hold    bool
	held    []func()
}

func (r *recorder) produce(ctx context.Context, topic string, partition int, recs []kafka.Record, done func(int64, error)) error {
	for i := range recs {
		r.records = append(r.records, recs[i].Clone())
	}
	ack := func() { _ = r.next.Produce(ctx, topic, partition, recs, done) }
	if r.hold {
		r.held = append(r.held, ack)
		return nil
	}
	ack()
	return nil
}

func (r *recorder) release() {
	held := r.held
	r.hold, r.held = false, nil
	for _, ack := range held {
		ack()
	}
}

type senderFunc func(context.Context, string, int, []kafka.Record, func(int64, error)) error

func (f senderFunc) Produce(ctx context.Context, topic string, partition int, recs []kafka.Record, done func(int64, error)) error {
	return f(ctx, topic, partition, recs, done)
}

func newBench(c Config) *bench {
	m := newCounters(metrics.NewSet())
	sent := &recorder{}
	s := newBenchStages(func(*Batch) {})
	s.validate = newValidate(c.Lateness, m)
	s.emit.producer = senderFunc(sent.produce)
	s.summarise.period = c.FlushPeriod
	return &bench{stages: s, sent: sent}
}

// apply runs a batch through all stages but the last.
func (x *bench) apply(b *Batch) *Batch {
	for _, stage := range []func(*Batch) *Batch{
		x.decode.apply, x.validate.apply, x.compute.apply, x.average.apply, x.judge.apply, x.rules.apply, x.summarise.apply,
	} {
		stage(b)
	}
	return b
}

// batchOf holds a record for each of the given device batches, from offset on.
func batchOf(offset int64, batches ...*telemetry.Batch) *Batch {
	var records []kafka.Record
	for i, b := range batches {
		records = append(records, kafka.Record{Offset: offset + int64(i), Key: []byte(b.Device), Value: wire.AppendReadingBatch(nil, b)})
	}
	b := new(Batch)
	b.load(records, offset+int64(len(batches)))
	return b
}

func TestDecodeResolvesSeriesAndNumbersReadings(t *testing.T) {
	x := newBench(DefaultConfig())
	b := batchOf(7, &telemetry.Batch{Device: "plant/a", Readings: []telemetry.Reading{
		{Metric: "x", Time: epoch, Value: 1}, {Metric: "y", Time: epoch, Value: 2}, {Metric: "x", Time: epoch + 1, Value: 3},
	}})
	x.decode.apply(b)
	if len(b.readings) != 3 {
		t.Fatalf("%d readings", len(b.readings))
	}
	for i, want := range []string{"plant/a/x", "plant/a/y", "plant/a/x"} {
		r := b.readings[i]
		if r.series.name != want || r.version != telemetry.VersionOf(7, i) {
			t.Errorf("reading %d: %s version %d", i, r.series.name, r.version)
		}
	}
	if b.readings[0].series != b.readings[2].series {
		t.Error("one series became two")
	}
	again := x.decode.apply(batchOf(8, &telemetry.Batch{Device: "plant/a", Readings: []telemetry.Reading{{Metric: "y", Time: epoch}}}))
	if again.readings[0].series != b.readings[1].series {
		t.Error("a series is another one in the next record")
	}
}

// readingsOf has a reading of each of the metrics.
func readingsOf(metrics ...string) (list []telemetry.Reading) {
	for _, m := range metrics {
		list = append(list, telemetry.Reading{Metric: m, Time: epoch, Value: 1})
	}
	return list
}

func TestRecordsThatNameWhatNoDeviceMayAreRefusedAndLeaveNoTrace(t *testing.T) {
	x := newBench(DefaultConfig())
	b := batchOf(0,
		&telemetry.Batch{Device: "plant/#", Readings: readingsOf("x")},
		&telemetry.Batch{Device: "plant/a", Readings: readingsOf("x", "_x")},
	)
	x.decode.apply(b)
	for i, want := range []string{telemetry.CodePathWildcard, telemetry.CodePathReserved} {
		if r := &b.records[i]; r.verdict != unreadable || r.fault.code != want {
			t.Errorf("record %d: verdict %d, fault %+v, want code %s", i, r.verdict, r.fault, want)
		}
	}
	if g := x.decode.registry; len(g.devices) != 0 || g.seriesN != 0 || len(b.readings) != 0 {
		t.Errorf("%d devices, %d series and %d readings are left", len(g.devices), g.seriesN, len(b.readings))
	}
}

func TestReadingsOfMetricsTooManyAreLeftOutAndTheOthersCount(t *testing.T) {
	x := newBench(DefaultConfig())
	x.decode.registry.maxSeries = 2
	b := batchOf(0,
		&telemetry.Batch{Device: "plant/a", Readings: readingsOf("x", "y", "z", "x", "v")},
		&telemetry.Batch{Device: "plant/a", Readings: readingsOf("y")},
		&telemetry.Batch{Device: "plant/a", Readings: readingsOf("w")},
		&telemetry.Batch{Device: "plant/b", Readings: readingsOf("z")},
	)
	x.decode.apply(b)
	var got []string
	for _, r := range b.readings {
		got = append(got, fmt.Sprint(r.series.name, " ", r.version.Offset(), " ", r.version.Index()))
	}
	want := []string{"plant/a/x 0 0", "plant/a/y 0 1", "plant/a/x 0 3", "plant/a/y 1 0", "plant/b/z 3 0"}
	if !slices.Equal(got, want) {
		t.Errorf("readings %q, want %q", got, want)
	}
	for i, path := range []string{"readings[2].metric", "", "readings[0].metric", ""} {
		r := &b.records[i]
		if r.verdict != fresh || (r.fault != nil) != (path != "") {
			t.Errorf("record %d: verdict %d, fault %+v", i, r.verdict, r.fault)
		} else if path != "" && (r.fault.code != wire.CodeTooManySeries || r.fault.path != path) {
			t.Errorf("record %d: fault %+v, want path %s", i, r.fault, path)
		}
	}
	if got := x.decode.m.surplus.Get(); got != 3 {
		t.Errorf("%d readings left out, want 3", got)
	}
}

// A series that no state contains would be missing from what a successor counts.
func TestOnlyReadingsOfNewRecordsAdmitSeries(t *testing.T) {
	x := newBench(DefaultConfig())
	frame := func(metrics ...string) *telemetry.Batch {
		return &telemetry.Batch{Device: "plant/a", Session: "boot", Seq: 1, Readings: readingsOf(metrics...)}
	}
	x.decode.apply(batchOf(5, frame("x")))
	x.decode.apply(batchOf(6, frame("x", "resent")))
	x.decode.apply(batchOf(4, frame("replayed")))
	unused := batchOf(7)
	value := (&weirpb.ReadingBatch{Device: "plant/a", Metrics: []string{"x", "unused"}, TimeDelta: []int64{1}, Value: []float64{1}})
	raw, err := value.MarshalVT()
	if err != nil {
		t.Fatal(err)
	}
	unused.load([]kafka.Record{{Offset: 7, Value: raw}}, 8)
	x.decode.apply(unused)
	if series := x.decode.registry.devices["plant/a"].series; len(series) != 1 || len(unused.readings) != 1 {
		t.Errorf("series %v, want x alone", slices.Collect(maps.Keys(series)))
	}
}

func TestReadingsAreJudgedByTheNewestTimeOfTheirDevice(t *testing.T) {
	x := newBench(DefaultConfig())
	const lateness = int64(300e6)
	b := batchOf(0, &telemetry.Batch{Device: "plant/a", Readings: []telemetry.Reading{
		{Metric: "x", Time: epoch, Value: 1},
		{Metric: "x", Time: epoch - lateness, Value: 2},
		{Metric: "x", Time: epoch - lateness - 1, Value: 3},
		{Metric: "x", Time: epoch + 1, Value: math.NaN()},
		{Metric: "x", Time: epoch + 1, Value: math.Inf(-1)},
		{Metric: "x", Time: epoch - lateness, Value: 4}, // an invalid reading makes no others late
		{Metric: "x", Time: math.MinInt64, Value: 5},
		{Metric: "y", Time: epoch - lateness - 1, Value: 6},
	}})
	x.apply(b)
	for i, want := range []fate{counted, counted, late, invalid, invalid, counted, late, late} {
		if got := b.readings[i].fate; got != want {
			t.Errorf("reading %d: fate %d, want %d", i, got, want)
		}
	}
	u := b.rows[0]
	if u.N != 3 || u.Late != 2 || u.Invalid != 2 || u.Min != 1 || u.Max != 4 || u.Last != 1 || u.Version != telemetry.VersionOf(0, 6) {
		t.Errorf("update %+v", u)
	}
}

func TestUpdateWithoutReadingsKeepsTheStateOfTheOneBefore(t *testing.T) {
	x := newBench(DefaultConfig())
	first := x.apply(batchOf(0, oneReading("plant/a", "x", epoch, 5))).rows[0]
	b := batchOf(1, oneReading("plant/a", "x", epoch-3600e6, 6))
	b.kind = barrier // flush at once
	u := x.apply(b).rows[0]
	if u.N != 0 || u.Late != 1 || u.Since != first.Version || u.Avg != first.Avg || u.State != first.State || u.Worst != telemetry.OK {
		t.Errorf("update %+v after %+v", u, first)
	}
	newest := b.readings[0].series.summary.newest
	if newest.N != 1 || newest.Last != 5 || newest.Version != u.Version || newest.Late != 1 {
		t.Errorf("what weir.latest shows lost its values: %+v", newest)
	}
}

func TestPanicPoisonsOneRecordAndItsReadingsCountAsInvalid(t *testing.T) {
	x := newBench(DefaultConfig())
	b := batchOf(0, oneReading("plant/a", "x", epoch, 1), oneReading("plant/a", "x", epoch+1, 2), oneReading("plant/a", "x", epoch+2, 3))
	x.validate.apply(x.decode.apply(b))
	b.each("test", fresh, func(r *record) {
		if r.offset == 1 {
			panic("boom")
		}
		for i := range b.of(r) {
			b.of(r)[i].avg = 42
		}
	})
	x.summarise.apply(b)
	u := b.rows[0]
	if u.N != 2 || u.Invalid != 1 || u.Max != 3 || u.Avg != 42 || u.Version != telemetry.VersionOf(2, 0) {
		t.Errorf("update %+v", u)
	}
	x.emit.apply(b)
	letters := x.emit.dead.take()
	if len(letters) != 1 {
		t.Fatalf("%d dead letters, want 1", len(letters))
	}
	letter, err := wire.DecodeDeadLetter(letters[0].Value)
	if err != nil || letter.Code != wire.CodePipelinePanic || letter.Offset != 1 || string(letter.Raw) != string(b.records[1].value) {
		t.Errorf("dead letter %+v: %v", letter, err)
	}
}

func TestDeadLetterOfAnOversizedRecordIsCutAndSaysSo(t *testing.T) {
	x := newBench(DefaultConfig())
	junk := bytes.Repeat([]byte{0xff}, 3<<20)
	b := new(Batch)
	b.load([]kafka.Record{{Offset: 9, Key: junk, Value: junk}}, 10)
	x.emit.apply(x.apply(b))
	if len(x.sent.records) != 0 {
		t.Fatal("written early")
	}
	record := x.emit.dead.take()[0]
	letter, err := wire.DecodeDeadLetter(record.Value)
	if err != nil || len(letter.Raw) != maxRaw || !strings.Contains(letter.Message, fmt.Sprint(len(junk))) || letter.Offset != 9 {
		t.Errorf("dead letter of %d bytes of record %d, %q: %v", len(letter.Raw), letter.Offset, letter.Message, err)
	}
	if size := len(record.Key) + len(record.Value); size > 1<<20-1<<10 {
		t.Errorf("%d bytes do not fit into the least that brokers take by default", size)
	}
}

func TestBarrierWaitsForDeadLettersThatWereWrittenEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newBench(DefaultConfig())
		x.sent.hold = true
		junk := bytes.Repeat([]byte{0xff}, maxRaw)
		b := new(Batch)
		for i := range int64(3) {
			b.load([]kafka.Record{{Offset: i, Key: []byte("plant/a"), Value: junk}}, i+1)
		}
		x.emit.apply(x.apply(b))
		if len(x.sent.held) == 0 {
			t.Fatal("nothing was written early")
		}
		passed := false
		x.emit.done = func(*Batch) { passed = true }
		go x.emit.apply(&Batch{kind: barrier})
		if synctest.Wait(); passed {
			t.Error("the barrier passed before dead letters were acknowledged")
		}
		x.sent.release()
		if synctest.Wait(); !passed {
			t.Error("the barrier does not pass")
		}
	})
}

func TestAlertIsRaisedOnceAndResolvedUnderItsName(t *testing.T) {
	run := func(told map[string]telemetry.Version) (alerts []telemetry.Alert) {
		x := newBench(DefaultConfig())
		x.rules.told = told
		offset := int64(0)
		feed := func(v float64) {
			alerts = append(alerts, x.apply(batchOf(offset, oneReading("plant/a", "x", epoch+offset*1e6, v))).alerts...)
			offset++
		}
		for i := range 400 {
			feed(10 + float64(i%3))
		}
		feed(1000)
		for i := range 400 {
			feed(10 + float64(i%3))
		}
		return alerts
	}
	alerts := run(nil)
	if len(alerts) != 2 {
		t.Fatalf("%d transitions, want 2: %+v", len(alerts), alerts)
	}
	firing, resolved := alerts[0], alerts[1]
	if firing.Phase != telemetry.Firing || firing.Version != telemetry.VersionOf(400, 0) || firing.Raised != firing.Version || firing.Value != 1000 {
		t.Errorf("firing: %+v", firing)
	}
	if resolved.Phase != telemetry.Resolved || resolved.ID != firing.ID || resolved.Raised != firing.Raised || resolved.StartedTime != firing.Time {
		t.Errorf("resolved: %+v", resolved)
	}
	if again := run(map[string]telemetry.Version{firing.ID: firing.Version}); len(again) != 1 || transition(t, &again[0]) != transition(t, &resolved) {
		t.Errorf("a replay after the firing emits %+v, want the resolution alone", again)
	}
}

func TestIdleSeriesGoesOutAtOnceAndABusyOneOncePerPeriod(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := DefaultConfig()
		c.FlushPeriod = 10 * time.Millisecond
		x := newBench(c)
		var wakes []time.Duration
		x.summarise.wake = func(d time.Duration) { wakes = append(wakes, d) }
		offset := int64(0)
		feed := func() (rows int) {
			b := x.apply(batchOf(offset, oneReading("plant/a", "x", epoch+offset, 1)))
			offset++
			rows = len(b.rows)
			x.emit.apply(b)
			return rows
		}
		if feed() != 1 {
			t.Error("the first reading waits")
		}
		time.Sleep(4 * time.Millisecond)
		for range 2 {
			if feed() != 0 {
				t.Error("a flush within the period")
			}
		}
		if len(wakes) != 1 || wakes[0] != 6*time.Millisecond {
			t.Errorf("asked for ticks after %v, want one after 6ms", wakes)
		}
		time.Sleep(wakes[0])
		b := &Batch{kind: flush}
		if x.summarise.apply(b); len(b.rows) != 1 || b.rows[0].N != 2 {
			t.Errorf("the tick brings %+v", b.rows)
		}
		x.emit.apply(b)
		time.Sleep(time.Second)
		if feed() != 1 {
			t.Error("the first reading after a silence waits")
		}
	})
}

func TestRowsWaitForTheAcknowledgementOfTheFlushBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newBench(DefaultConfig())
		woken := 0
		x.summarise.wake = func(time.Duration) { woken++ }
		x.sent.hold = true
		x.emit.apply(x.apply(batchOf(0, oneReading("plant/a", "x", epoch, 1))))
		time.Sleep(time.Second)
		for offset := range int64(5) {
			if b := x.apply(batchOf(1+offset, oneReading("plant/a", "x", epoch+offset, 1))); len(b.rows) > 0 {
				t.Fatal("a second flush while the first is on its way")
			}
		}
		x.sent.release()
		if woken != 1 {
			t.Fatalf("woken %d times by the acknowledgement, want once", woken)
		}
		b := &Batch{kind: flush}
		if x.summarise.apply(b); len(b.rows) != 1 || b.rows[0].N != 5 {
			t.Errorf("rows %+v", b.rows)
		}
	})
}

func TestLargeFlushIsSplitIntoRecordsThatDecodeToTheSameRows(t *testing.T) {
	x := newBench(DefaultConfig())
	var sent []telemetry.Update
	for i := range 10_000 {
		u := telemetry.Update{Series: "plant/a/x", Version: telemetry.Version(i), Since: telemetry.Version(i - 1), N: 1}
		sent = append(sent, u)
	}
	x.emit.apply(&Batch{kind: flush, emitted: epoch, rows: sent})
	var rows []telemetry.Update
	var err error
	for _, r := range x.sent.records {
		if len(r.Value) > maxRecordBytes {
			t.Errorf("a record of %d bytes", len(r.Value))
		}
		if rows, err = wire.DecodeUpdateBatch(r.Value, rows, nil); err != nil {
			t.Fatal(err)
		}
	}
	if len(x.sent.records) < 2 || len(rows) != len(sent) {
		t.Fatalf("%d records with %d rows", len(x.sent.records), len(rows))
	}
	for i := range rows {
		if rows[i].Version != sent[i].Version {
			t.Fatalf("row %d is version %d", i, rows[i].Version)
		}
	}
}
