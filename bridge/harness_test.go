package bridge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"go.uber.org/goleak"

	"weir/kafka"
	"weir/kafka/embedded"
	"weir/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	// patience is in sum still short: the tests of topics wait side by side.
	patience   = 30 * time.Second
	partitions = 3 // of Weir's topics
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", patience, what)
		}
	}
}

// receive waits for what comes of a channel, and not for ever: a test that hangs tells nothing.
func receive[T any](t testing.TB, what string, from <-chan T) (out T) {
	t.Helper()
	select {
	case out = <-from:
	case <-time.After(patience):
		t.Fatalf("not within %s: %s", patience, what)
	}
	return out
}

// world is a broker with Weir's topics.
type world struct {
	t        testing.TB
	client   *kafka.Client
	producer *kafka.Producer
	broker   *embedded.Broker // nil: another one
}

func open(t testing.TB) *world {
	t.Helper()
	broker, err := embedded.Open(embedded.Options{Logger: slog.New(slog.DiscardHandler), Config: embedded.DefaultConfig()})
	must(t, err)
	t.Cleanup(func() { _ = broker.Close() })
	w := openOn(t, broker.Options())
	w.broker = broker
	return w
}

func openOn(t testing.TB, o kafka.Options) *world {
	t.Helper()
	client, err := kafka.New(o)
	must(t, err)
	t.Cleanup(client.Close)
	w := &world{t: t, client: client}
	for _, topic := range []string{wire.TopicMessages, wire.TopicReadings, wire.TopicBacklog, wire.TopicDeadLetters} {
		w.topic(topic, partitions)
	}
	w.producer, err = client.NewProducer(context.Background(), kafka.ProducerOptions{})
	must(t, err)
	t.Cleanup(func() { _ = w.producer.Close() })
	return w
}

func (w *world) topic(name string, partitions int) {
	w.t.Helper()
	must(w.t, w.client.EnsureTopics(context.Background(), []kafka.TopicSpec{{Name: name, Partitions: partitions}}))
}

// put writes records of a foreign program to partition 0 of a topic.
func (w *world) put(topic string, values ...string) {
	w.t.Helper()
	w.putTo(topic, 0, values...)
}

func (w *world) putTo(topic string, partition int, values ...string) {
	w.t.Helper()
	var records []kafka.Record
	for _, v := range values {
		r := kafka.Record{Value: []byte(v), Key: []byte("k"), Headers: []kafka.Header{{Key: "h", Value: []byte("x")}}}
		if v == "" {
			r.Value = nil
		}
		records = append(records, r)
	}
	_, err := w.producer.ProduceSync(context.Background(), topic, partition, records)
	must(w.t, err)
}

// all reads a topic.
func (w *world) all(topic string) (out []kafka.Record) {
	w.t.Helper()
	ranges, err := w.client.Offsets(context.Background(), topic)
	for p := 0; err == nil && p < len(ranges); p++ {
		err = w.client.ReadRange(context.Background(), topic, p, ranges[p].First, ranges[p].End, func(r *kafka.Record) error {
			out = append(out, r.Clone())
			return nil
		})
	}
	must(w.t, err)
	return out
}

func (w *world) messages() (out []*wire.MessageValue) {
	w.t.Helper()
	for _, r := range w.all(wire.TopicMessages) {
		m, err := wire.DecodeRoomRecord(r.Value)
		if errors.Is(err, wire.ErrNotOfRooms) {
			continue
		}
		must(w.t, err)
		out = append(out, m.Message)
	}
	return out
}

func (w *world) letters() (out []wire.DeadLetter) {
	w.t.Helper()
	for _, r := range w.all(wire.TopicDeadLetters) {
		letter, err := wire.DecodeDeadLetter(r.Value)
		must(w.t, err)
		out = append(out, letter)
	}
	return out
}

// committed is how far a bridge has come in a partition.
func (w *world) committed(bridge, topic string, partition int) int64 {
	w.t.Helper()
	all, err := w.client.Committed(context.Background(), GroupPrefix+bridge, topic, partition+1)
	must(w.t, err)
	return all[partition]
}

// running is a Server in Run.
type running struct {
	*Server
	stop func()
	set  *metrics.Set
	log  *logged
}

// run starts bridges of a text; change adapts the options.
func (w *world) run(text string, change ...func(*Options)) *running {
	w.t.Helper()
	out := &running{set: metrics.NewSet(), log: new(logged)}
	c := DefaultConfig()
	c.LookAgain = 100 * time.Millisecond
	o := Options{Config: c, Client: w.client, Producer: w.producer, Partitions: partitions, Metrics: out.set,
		Logger: slog.New(slog.NewTextHandler(out.log, nil))}
	for _, f := range change {
		f(&o)
	}
	s, err := New(o)
	must(w.t, err)
	out.Server = s
	s.Apply(w.parse(text))
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	out.stop = sync.OnceFunc(func() { cancel(); must(w.t, receive(w.t, "the end of the bridges", ended)) })
	w.t.Cleanup(out.stop)
	return out
}

func (w *world) parse(text string) *Plan {
	w.t.Helper()
	p, err := Parse([]byte(text))
	must(w.t, err)
	return p
}

func (r *running) runner(name string) *runner {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, one := range r.runners {
		if one.name == name {
			return one
		}
	}
	return nil
}

func (r *running) metric(name string) string {
	var text strings.Builder
	r.set.WritePrometheus(&text)
	for line := range strings.Lines(text.String()) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func (r *running) counted(bridge string, v Verdict) string {
	return r.metric(fmt.Sprintf(`weir_bridge_records_total{bridge=%q,outcome=%q}`, bridge, v))
}

// logged takes a log from several goroutines.
type logged struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) count(what string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), what)
}
