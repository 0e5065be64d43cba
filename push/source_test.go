package push

import (
	"context"
	"fmt"
	"testing"
	"time"

	"weir/kafka"
	"weir/kafka/kafkatest"
	"weir/telemetry"
	"weir/wire"
)

// kafkaFixture is a broker with push's topics, and what is needed to write to them.
type kafkaFixture struct {
	t       *testing.T
	cluster kafkatest.Cluster
	client  *kafka.Client
	p       *kafka.Producer
}

func newKafka(t *testing.T, partitions int) *kafkaFixture {
	t.Helper()
	k := &kafkaFixture{t: t, cluster: kafkatest.Embedded(t)}
	t.Cleanup(k.cluster.Close)
	var err error
	if k.client, err = kafka.New(k.cluster.Options()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.client.Close)
	var specs []kafka.TopicSpec
	for _, topic := range []string{wire.TopicUpdates, wire.TopicAlerts, wire.TopicLatest} {
		specs = append(specs, kafka.TopicSpec{Name: topic, Partitions: partitions, Compact: topic == wire.TopicLatest, Retention: time.Hour, ReplicationFactor: 1})
	}
	if err := k.client.EnsureTopics(t.Context(), specs); err != nil {
		t.Fatal(err)
	}
	if k.p, err = k.client.NewProducer(t.Context(), kafka.ProducerOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = k.p.Close() })
	return k
}

func (k *kafkaFixture) produce(topic string, partition int, recs ...kafka.Record) int64 {
	k.t.Helper()
	base, err := k.p.ProduceSync(k.t.Context(), topic, partition, recs)
	if err != nil {
		k.t.Fatal(err)
	}
	return base
}

func (k *kafkaFixture) updates(partition int, fence int64, us ...telemetry.Update) int64 {
	k.t.Helper()
	return k.produce(wire.TopicUpdates, partition, kafka.Record{Value: wire.AppendUpdateBatch(nil, 3_000_000, us), Headers: kafka.FenceHeaders(fence)})
}

func (k *kafkaFixture) latest(partition int, us ...telemetry.Update) {
	k.t.Helper()
	for i := range us {
		k.produce(wire.TopicLatest, partition, kafka.Record{
			Key: []byte(wire.SeriesKey(us[i].Series)), Value: wire.AppendUpdateBatch(nil, 3_000_000, us[i:i+1]),
		})
	}
}

func (k *kafkaFixture) marker(partition int, m wire.Marker) {
	k.t.Helper()
	k.produce(wire.TopicLatest, partition, kafka.Record{Key: []byte(wire.MarkerKey), Value: wire.AppendMarker(nil, m)})
}

// start runs a server on the broker until the test ends.
func (k *kafkaFixture) start(change func(*Config)) *Server {
	k.t.Helper()
	cfg := DefaultConfig()
	cfg.FetchMaxWait = 20 * time.Millisecond
	if change != nil {
		change(&cfg)
	}
	s, err := New(Options{Config: cfg, Kafka: k.client, Epoch: "e"})
	if err != nil {
		k.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	k.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			k.t.Errorf("Run: %v", err)
		}
	})
	return s
}

func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-deadline:
			t.Fatalf("waited too long until %s", what)
		case <-tick.C:
		}
	}
}

// versionIn is that of a series in the store, or -2 if it is not there.
func versionIn(h *hub, name string) telemetry.Version {
	h.mu.Lock()
	defer h.mu.Unlock()
	if e := h.store.series[name]; e != nil {
		return e.last.Version
	}
	return -2
}

func idsIn(h *hub) map[string]bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	ids := make(map[string]bool)
	for id := range h.store.alerts {
		ids[id] = true
	}
	return ids
}

func TestStartReadsLatestAndContinuesFromItsMarkers(t *testing.T) {
	k := newKafka(t, 2)
	k.updates(0, 1, single("p/a/m", 0, 1), single("p/gone/m", 0, 1)) // in latest; not to be read again
	next := k.updates(0, 1, single("p/a/m", 1, 2))
	k.latest(0, single("p/a/m", 0, 1), single("p/gone/m", 0, 1), single("p/a/m", 1, 2))
	k.produce(wire.TopicLatest, 0, kafka.Record{Key: []byte(wire.SeriesKey("p/gone/m"))})
	k.produce(wire.TopicLatest, 0, kafka.Record{Key: []byte("unknown"), Value: []byte("x")}, kafka.Record{Key: []byte("s/broken"), Value: []byte{0xff}})
	open := alert("open", "p/a/m", telemetry.Firing, 1)
	over := alert("over", "p/a/m", telemetry.Firing, 1)
	k.produce(wire.TopicLatest, 0, kafka.Record{Key: []byte(wire.AlertKey("open")), Value: wire.AppendAlert(nil, &open)},
		kafka.Record{Key: []byte(wire.AlertKey("over")), Value: wire.AppendAlert(nil, &over)})
	k.marker(0, wire.Marker{Updates: next, Alerts: 0})
	over.Phase, over.Version = telemetry.Resolved, 2
	k.produce(wire.TopicAlerts, 0, kafka.Record{Key: []byte("p/a"), Value: wire.AppendAlert(nil, &over)})
	k.updates(0, 1, single("p/a/m", 2, 3))
	k.updates(1, 1, single("p/b/m", 0, 9)) // no latest yet: from the log's beginning

	s := k.start(nil)
	eventually(t, "ready", s.Ready)
	if got := versionIn(s.hub, "p/a/m"); got != 2 {
		t.Errorf("p/a/m stands at %d, want 2", got)
	}
	if versionIn(s.hub, "p/b/m") != 0 || versionIn(s.hub, "p/gone/m") != -2 {
		t.Errorf("p/b/m at %d, p/gone/m at %d", versionIn(s.hub, "p/b/m"), versionIn(s.hub, "p/gone/m"))
	}
	if ids := idsIn(s.hub); !ids["open"] || ids["over"] {
		t.Errorf("open alerts = %v", ids)
	}
	if m := s.hub.m; m.replays.Get() != 1 || m.gaps.Get() != 0 || m.undecodable.Get() != 1 {
		t.Errorf("replays %d, gaps %d, undecodable %d", m.replays.Get(), m.gaps.Get(), m.undecodable.Get())
	}
	k.updates(0, 1, single("p/a/m", 3, 4), single("p/new/m", 0, 1))
	eventually(t, "live updates arrive", func() bool { return versionIn(s.hub, "p/a/m") == 3 && versionIn(s.hub, "p/new/m") == 0 })
}

func TestRecordsOfAFencedWriterAndJunkArePassedOver(t *testing.T) {
	k := newKafka(t, 1)
	s := k.start(nil)
	eventually(t, "ready", s.Ready)
	k.updates(0, 4, single("p/a/m", 0, 1))
	k.produce(wire.TopicUpdates, 0, kafka.FenceRecord(5))
	k.updates(0, 4, single("p/a/m", 1, 66)) // too late
	k.produce(wire.TopicUpdates, 0, kafka.Record{Value: []byte("junk")})
	k.updates(0, 5, single("p/a/m", 1, 2))
	eventually(t, "the successor's update arrives", func() bool { return versionIn(s.hub, "p/a/m") == 1 })
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	if got := s.hub.store.series["p/a/m"].last.Last; got != 2 {
		t.Errorf("value %v, want the successor's", got)
	}
	if got := s.hub.m.undecodable.Get(); got != 1 {
		t.Errorf("undecodable = %d", got)
	}
}

func (k *kafkaFixture) fencedMarker(fence int64, m wire.Marker) {
	k.t.Helper()
	k.produce(wire.TopicLatest, 0, kafka.Record{
		Key: []byte(wire.MarkerKey), Value: wire.AppendMarker(nil, m), Headers: kafka.FenceHeaders(fence),
	})
}

func valueIn(h *hub, name string) float64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.store.series[name].last.Last
}

func TestFencesBelowTheStartAreRemembered(t *testing.T) {
	k := newKafka(t, 1)
	k.produce(wire.TopicUpdates, 0, kafka.FenceRecord(5))
	k.updates(0, 5, single("p/a/m", 0, 1))
	k.latest(0, single("p/a/m", 0, 1))
	k.fencedMarker(5, wire.Marker{Updates: 2})
	k.updates(0, 4, single("p/a/m", 1, 66)) // too late, and beyond the marker
	k.updates(0, 5, single("p/a/m", 1, 2))
	s := k.start(nil)
	eventually(t, "ready", s.Ready)
	if got := valueIn(s.hub, "p/a/m"); got != 2 {
		t.Errorf("value %v, want the owner's", got)
	}
}

func TestLastRecordsOfAPredecessorBeyondTheMarkerAreTaken(t *testing.T) {
	k := newKafka(t, 1)
	k.latest(0, single("p/a/m", 0, 1))
	k.fencedMarker(5, wire.Marker{Updates: 0})
	k.produce(wire.TopicLatest, 0, kafka.FenceRecord(6)) // the successor begins
	k.updates(0, 5, single("p/a/m", 1, 2))               // not yet fenced there
	k.produce(wire.TopicUpdates, 0, kafka.FenceRecord(6))
	k.updates(0, 6, single("p/a/m", 2, 3))
	s := k.start(nil)
	eventually(t, "ready", s.Ready)
	if got := versionIn(s.hub, "p/a/m"); got != 2 || s.hub.m.gaps.Get() != 0 {
		t.Errorf("at version %d with %d gaps", got, s.hub.m.gaps.Get())
	}
}

func TestFencesThatRetentionHasTakenAreRemembered(t *testing.T) {
	k := newKafka(t, 1)
	k.produce(wire.TopicUpdates, 0, kafka.FenceRecord(5))
	k.updates(0, 5, single("p/a/m", 0, 1))
	k.latest(0, single("p/a/m", 0, 1))
	k.fencedMarker(5, wire.Marker{Updates: 2})
	k.updates(0, 4, single("p/a/m", 1, 66))
	k.updates(0, 5, single("p/a/m", 1, 2))
	if err := k.cluster.(kafka.Trimmer).DeleteRecords(t.Context(), wire.TopicUpdates, 0, 2); err != nil {
		t.Fatal(err)
	}
	tl := k.tail(wire.TopicUpdates)
	k.follow(tl, 0, func() {
		eventually(t, "the tail has begun anew", func() bool { return versionIn(tl.hub, "p/a/m") == 1 })
	})
	if got := valueIn(tl.hub, "p/a/m"); got != 2 {
		t.Errorf("value %v, want the owner's", got)
	}
}

func TestWhatRetentionHasTakenIsReadFromLatest(t *testing.T) {
	k := newKafka(t, 1)
	for v := range telemetry.Version(5) {
		k.updates(0, 1, single("p/a/m", v, 1))
	}
	k.latest(0, single("p/a/m", 3, 1))
	k.marker(0, wire.Marker{Updates: 4})
	trimmer := k.cluster.(kafka.Trimmer)
	if err := trimmer.DeleteRecords(t.Context(), wire.TopicUpdates, 0, 4); err != nil {
		t.Fatal(err)
	}

	tl := k.tail(wire.TopicUpdates)
	tl.hub.load([]telemetry.Update{single("p/a/m", 0, 1)})
	k.follow(tl, 1, func() { // a tail that believes it stands at 1, where nothing is any more
		eventually(t, "the tail has begun anew", func() bool { return versionIn(tl.hub, "p/a/m") == 4 })
	})
	if m := tl.hub.m; m.reloads.Get() != 1 || m.gaps.Get() != 1 {
		t.Errorf("reloads %d, gaps %d; want 1 and 1", m.reloads.Get(), m.gaps.Get())
	}
}

func TestAlertsThatRetentionHasTakenAreReadFromLatest(t *testing.T) {
	k := newKafka(t, 1)
	for v := range telemetry.Version(3) {
		a := alert(fmt.Sprint("a", v), "p/a/m", telemetry.Firing, v)
		k.produce(wire.TopicAlerts, 0, kafka.Record{Value: wire.AppendAlert(nil, &a)})
	}
	a1 := alert("a1", "p/a/m", telemetry.Firing, 1)
	k.produce(wire.TopicLatest, 0, kafka.Record{Key: []byte(wire.AlertKey("a1")), Value: wire.AppendAlert(nil, &a1)})
	k.marker(0, wire.Marker{Alerts: 2})
	if err := k.cluster.(kafka.Trimmer).DeleteRecords(t.Context(), wire.TopicAlerts, 0, 2); err != nil {
		t.Fatal(err)
	}
	tl := k.tail(wire.TopicAlerts)
	gone := alert("gone", "p/a/m", telemetry.Firing, 0) // its end is among what was trimmed
	tl.hub.loadAlerts(0, []telemetry.Alert{gone})
	other := alert("other", "q/a/m", telemetry.Firing, 0)
	tl.hub.loadAlerts(1, []telemetry.Alert{other})
	p, f := tl.hub.pipe(), newFollower(t)
	defer p.end()
	if err := tl.hub.subscribe(p.client, "x", choice{patterns: patterns("#"), hz: 0}, nil); err != nil {
		t.Fatal(err)
	}
	if f.take(p.message()); len(f.open) != 2 {
		t.Fatalf("open alerts before = %+v", f.open)
	}
	tl.hub.mu.Lock()
	before := tl.hub.at.cursor()
	tl.hub.mu.Unlock()
	k.follow(tl, 0, func() {
		for f.resyncs == 0 || len(f.open) == 0 || f.ids["x"] == 0 || f.views[f.ids["x"]] == nil {
			f.take(p.message())
		}
		for len(f.alerts) == 0 && len(f.open) < 3 {
			f.take(p.message())
		}
	})
	if f.exact {
		t.Error("what was trimmed of alerts is said to be told")
	}
	again := tl.hub.pipe()
	defer again.end()
	if err := tl.hub.subscribe(again.client, "y", choice{patterns: patterns("#"), hz: 0}, comeBack(before)); err != nil {
		t.Fatal(err)
	}
	for back := newFollower(t); ; {
		if m, ok := back.take(again.message()).(*wire.Subscribed); ok {
			if m.Resumed || m.AlertsResumed {
				t.Errorf("who comes back from before is told %s as all", transitionsOf(m.Alerts))
			}
			break
		}
	}
	if got := idsIn(tl.hub); len(got) != 3 || !got["a1"] || !got["a2"] || !got["other"] {
		t.Errorf("open alerts after = %v", got)
	}
}

// tail is one that belongs to no running server, with a hub that is ready.
func (k *kafkaFixture) tail(topic string) *tail {
	k.t.Helper()
	cfg := DefaultConfig()
	cfg.FetchMaxWait = 20 * time.Millisecond
	s, err := New(Options{Config: cfg, Kafka: k.client})
	if err != nil {
		k.t.Fatal(err)
	}
	s.hub.setReady()
	src := newSource(s, k.client)
	src.behind.Store(2)
	return &tail{source: src, topic: topic, log: s.log, lag: s.hub.m.lag(topic, 0), names: make(intern)}
}

// follow runs a tail while during runs.
func (k *kafkaFixture) follow(tl *tail, from int64, during func()) {
	k.t.Helper()
	ctx, cancel := context.WithCancel(k.t.Context())
	ended := make(chan error)
	go func() { ended <- tl.run(ctx, from) }()
	during()
	cancel()
	if err := <-ended; err != nil {
		k.t.Error(err)
	}
}

func TestALogThatWasMadeAnewEndsRun(t *testing.T) {
	k := newKafka(t, 1)
	if err := k.tail(wire.TopicUpdates).run(t.Context(), 100); err == nil {
		t.Error("no error although the log ends before what was read")
	}
}

func TestStopReadsWhatWasWrittenBefore(t *testing.T) {
	k := newKafka(t, 2)
	cfg := DefaultConfig()
	cfg.FetchMaxWait, cfg.FetchMaxBytes = 20*time.Millisecond, 64<<10
	s, err := New(Options{Config: cfg, Kafka: k.client})
	if err != nil {
		t.Fatal(err)
	}
	src := newSource(s, k.client)
	src.last, s.source = time.Hour, src.run
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	eventually(t, "ready", s.Ready)
	s.hub.mu.Lock() // the tail has several fetches before it
	const last = 9
	for v := range telemetry.Version(last + 1) {
		us := make([]telemetry.Update, 1000)
		for i := range us {
			us[i] = single(fmt.Sprintf("p/%d/m", i), v, 1)
		}
		k.updates(0, 1, us...)
	}
	stop()
	s.hub.mu.Unlock()
	select {
	case err := <-ended:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(patience):
		t.Fatal("it does not stop, although all has been read")
	}
	if got := versionIn(s.hub, "p/0/m"); got != last {
		t.Errorf("stopped at version %d, want %d", got, last)
	}
}
