package push

import (
	"context"
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

// version is that of a series in the store, or -2 if it is not there.
func (s *Server) version(name string) telemetry.Version {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	if e := s.hub.store.series[name]; e != nil {
		return e.last.Version
	}
	return -2
}

func (s *Server) openIDs() map[string]bool {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	ids := make(map[string]bool)
	for id := range s.hub.store.alerts {
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
	if got := s.version("p/a/m"); got != 2 {
		t.Errorf("p/a/m stands at %d, want 2", got)
	}
	if s.version("p/b/m") != 0 || s.version("p/gone/m") != -2 {
		t.Errorf("p/b/m at %d, p/gone/m at %d", s.version("p/b/m"), s.version("p/gone/m"))
	}
	if ids := s.openIDs(); !ids["open"] || ids["over"] {
		t.Errorf("open alerts = %v", ids)
	}
	if m := s.hub.m; m.replays.Get() != 1 || m.gaps.Get() != 0 || m.undecodable.Get() != 1 {
		t.Errorf("replays %d, gaps %d, undecodable %d", m.replays.Get(), m.gaps.Get(), m.undecodable.Get())
	}
	k.updates(0, 1, single("p/a/m", 3, 4), single("p/new/m", 0, 1))
	eventually(t, "live updates arrive", func() bool { return s.version("p/a/m") == 3 && s.version("p/new/m") == 0 })
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
	eventually(t, "the successor's update arrives", func() bool { return s.version("p/a/m") == 1 })
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	if got := s.hub.store.series["p/a/m"].last.Last; got != 2 {
		t.Errorf("value %v, want the successor's", got)
	}
	if got := s.hub.m.undecodable.Get(); got != 1 {
		t.Errorf("undecodable = %d", got)
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

	// A tail that believes it stands at 1, where nothing is any more.
	cfg := DefaultConfig()
	cfg.FetchMaxWait = 20 * time.Millisecond
	s, err := New(Options{Config: cfg, Kafka: k.client})
	if err != nil {
		t.Fatal(err)
	}
	s.hub.load([]telemetry.Update{single("p/a/m", 0, 1)})
	s.hub.setReady()
	src := newSource(s, k.client)
	src.behind.Store(2)
	tl := &tail{source: src, topic: wire.TopicUpdates, log: s.log, lag: s.hub.m.lag(wire.TopicUpdates, 0), names: make(intern)}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- tl.run(ctx, 1) }()
	eventually(t, "the tail has begun anew", func() bool { return s.version("p/a/m") == 4 })
	if m := s.hub.m; m.reloads.Get() != 1 || m.gaps.Get() != 1 {
		t.Errorf("reloads %d, gaps %d; want 1 and 1", m.reloads.Get(), m.gaps.Get())
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestALogThatWasMadeAnewEndsRun(t *testing.T) {
	k := newKafka(t, 1)
	k.latest(0, single("p/a/m", 3, 1))
	s, err := New(Options{Config: DefaultConfig(), Kafka: k.client})
	if err != nil {
		t.Fatal(err)
	}
	src := newSource(s, k.client)
	src.behind.Store(2)
	tl := &tail{source: src, topic: wire.TopicUpdates, log: s.log, lag: s.hub.m.lag(wire.TopicUpdates, 0), names: make(intern)}
	if err := tl.run(t.Context(), 100); err == nil {
		t.Error("no error although the log ends before what was read")
	}
}
