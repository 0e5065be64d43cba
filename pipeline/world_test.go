package pipeline

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"go.uber.org/goleak"

	"weir/kafka"
	"weir/kafka/embedded"
	"weir/telemetry"
	"weir/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must come.
const patience = 60 * time.Second

// world is an embedded broker with Weir's topics.
type world struct {
	t          testing.TB
	broker     *embedded.Broker
	client     *kafka.Client
	producer   *kafka.Producer
	partitions int
}

func newWorld(t testing.TB, partitions int) *world {
	t.Helper()
	broker, err := embedded.Open(embedded.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = broker.Close() })
	w := &world{t: t, broker: broker, partitions: partitions}
	w.client = w.newClient()
	var specs []kafka.TopicSpec
	for _, spec := range wire.TopicSpecs() {
		specs = append(specs, kafka.TopicSpec{Name: spec.Name, Partitions: partitions, Compact: spec.Compact})
	}
	if err := w.client.EnsureTopics(w.context(), specs); err != nil {
		t.Fatal(err)
	}
	if w.producer, err = w.client.NewProducer(w.context(), kafka.ProducerOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.producer.Close() })
	return w
}

func (w *world) newClient() *kafka.Client {
	w.t.Helper()
	options := w.broker.Options()
	options.Logger = testLogger(w.t)
	client, err := kafka.New(options)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(client.Close)
	return client
}

func (w *world) context() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	w.t.Cleanup(cancel)
	return ctx
}

// testConfig checkpoints often.
func testConfig() Config {
	c := DefaultConfig()
	c.CheckpointPeriod = 20 * time.Millisecond
	c.FetchWait = 50 * time.Millisecond
	return c
}

func (w *world) pipeline(change func(*Options)) *Pipeline {
	w.t.Helper()
	options := Options{Client: w.client, Config: testConfig(), Metrics: metrics.NewSet(), Logger: testLogger(w.t)}
	if change != nil {
		change(&options)
	}
	p, err := New(options)
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

// start runs p until the function it returns is called, or the test ends.
func (w *world) start(p *Pipeline) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := p.Run(ctx); err != nil {
			w.t.Errorf("run: %v", err)
		}
	}()
	stop = func() {
		cancel()
		<-done
	}
	w.t.Cleanup(stop)
	return stop
}

// send stores a batch in the partition of its device.
func (w *world) send(b *telemetry.Batch) {
	w.t.Helper()
	w.sendRaw(b.Device, wire.AppendReadingBatch(nil, b))
}

func (w *world) sendRaw(device string, value []byte) (offset int64) {
	w.t.Helper()
	record := kafka.Record{Key: []byte(device), Value: value}
	offset, err := w.producer.ProduceSync(w.context(), wire.TopicReadings, kafka.PartitionFor(device, w.partitions), []kafka.Record{record})
	if err != nil {
		w.t.Fatal(err)
	}
	return offset
}

// records returns what readers of a partition accept.
func (w *world) records(topic string, partition int) []kafka.Record {
	w.t.Helper()
	ranges, err := w.client.Offsets(w.context(), topic)
	if err != nil {
		w.t.Fatal(err)
	}
	var out []kafka.Record
	var filter kafka.FenceFilter
	err = w.client.ReadRange(w.context(), topic, partition, ranges[partition].First, ranges[partition].End, func(r *kafka.Record) error {
		if filter.Accept(r) {
			out = append(out, r.Clone())
		}
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

// chain is what a dashboard knows that has seen all updates of a series.
type chain struct {
	telemetry.Update
	rows int
}

// chains follows the updates of all series, and reports where one does not begin at the end of the last.
func (w *world) chains() map[string]*chain {
	w.t.Helper()
	out := make(map[string]*chain)
	for partition := range w.partitions {
		for _, record := range w.records(wire.TopicUpdates, partition) {
			if wire.IsControl(record.Value) {
				w.end(out, record.Value)
				continue
			}
			rows, err := wire.DecodeUpdateBatch(record.Value, nil, nil)
			if err != nil {
				w.t.Fatal(err)
			}
			for i := range rows {
				w.follow(out, &rows[i], partition, record.Offset)
			}
		}
	}
	return out
}

// end takes the chains of a device that was deleted aside, unless they went on since.
func (w *world) end(chains map[string]*chain, value []byte) {
	w.t.Helper()
	c, err := wire.DecodeControl(value)
	if err != nil {
		w.t.Fatal(err)
	}
	for name, chain := range chains {
		if device, _, _ := telemetry.SplitSeries(name); device == c.Device && chain.Version <= c.Version && !ended(name) {
			delete(chains, name)
			chains[endedAt(name, c.Version)] = chain
		}
	}
}

// endedAt is the name by which tests know a series that was deleted.
func endedAt(name string, deleted telemetry.Version) string {
	return fmt.Sprintf("%s@%d", name, deleted)
}

func ended(name string) bool { return strings.Contains(name, "@") }

func (w *world) follow(chains map[string]*chain, u *telemetry.Update, partition int, offset int64) {
	w.t.Helper()
	c := chains[u.Series]
	if c == nil {
		c = &chain{Update: telemetry.Update{Series: u.Series, Version: telemetry.NoVersion, Since: telemetry.NoVersion}}
		chains[u.Series] = c
	}
	if u.Version <= u.Since {
		w.t.Errorf("%s at %d/%d: update (%d, %d] is empty", u.Series, partition, offset, u.Since, u.Version)
	}
	if err := c.Merge(u); err != nil {
		w.t.Errorf("%s at %d/%d: update (%d, %d] follows version %d", u.Series, partition, offset, u.Since, u.Version, c.Version)
		c.Version = max(c.Version, u.Version)
	}
	c.rows++
}

// stored sums what the chains stand for.
func stored(chains map[string]*chain) (n uint64) {
	for _, c := range chains {
		n += c.N + c.Late + c.Invalid
	}
	return n
}

// await waits for a condition. It looks half of the time at most, or those would wait that bring it about.
func (w *world) await(what string, condition func() bool) {
	w.t.Helper()
	began := time.Now()
	for looks := began; !condition(); looks = time.Now() {
		if time.Since(began) > patience {
			w.t.Fatalf("timeout: %s", what)
		}
		time.Sleep(max(5*time.Millisecond, time.Since(looks)))
	}
}

func (w *world) awaitStored(n uint64) map[string]*chain {
	w.t.Helper()
	var chains map[string]*chain
	w.await("all readings are emitted", func() bool {
		chains = w.chains()
		return stored(chains) >= n
	})
	return chains
}

func testLogger(t testing.TB) *slog.Logger {
	if testing.Verbose() {
		return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelInfo}))
	}
	return nil
}

// µs is a fixed source time that tests count from.
const epoch = int64(1_700_000_000_000_000)

func oneReading(device, metric string, t int64, v float64) *telemetry.Batch {
	return &telemetry.Batch{
		Device: device, Ingest: time.Now().UnixMicro(),
		Readings: []telemetry.Reading{{Metric: metric, Time: t, Value: v}},
	}
}
