package devices

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"weir/kafka"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memory is a table that several registries share, as instances share a topic.
type memory struct {
	mu       sync.Mutex
	values   map[string][]byte
	watchers []func(key string, value []byte)
	writes   map[string]int
	fail     bool
	ready    chan struct{}
}

func newMemory() *memory {
	m := &memory{values: make(map[string][]byte), writes: make(map[string]int), ready: make(chan struct{})}
	close(m.ready)
	return m
}

func (m *memory) Ready() <-chan struct{} { return m.ready }

func (m *memory) Get(key string) ([]byte, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	v, ok := m.values[key]
	return v, ok
}

func (m *memory) Watch(prefix string, fn func(string, []byte)) {
	m.watchers = append(m.watchers, func(key string, value []byte) {
		if strings.HasPrefix(key, prefix) {
			fn(key, value)
		}
	})
}

func (m *memory) Put(_ context.Context, key string, value []byte) error {
	m.mu.Lock()
	if m.fail {
		m.mu.Unlock()
		return errors.New("no broker")
	}
	m.values[key] = value
	m.writes[key]++
	if value == nil {
		delete(m.values, key)
	}
	m.mu.Unlock()
	for _, w := range m.watchers {
		w(key, value)
	}
	return nil
}

func (m *memory) PutAsync(ctx context.Context, key string, value []byte, done func(error)) {
	err := m.Put(ctx, key, value)
	if done != nil {
		done(err)
	}
}

func (m *memory) Delete(ctx context.Context, key string) error { return m.Put(ctx, key, nil) }

func (m *memory) written(key string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.writes[key]
}

// log keeps what was produced.
type log struct{ records []kafka.Record }

func (l *log) ProduceSync(_ context.Context, _ string, _ int, recs []kafka.Record) (int64, error) {
	l.records = append(l.records, recs...)
	return int64(len(l.records) - 1), nil
}

func options(table Table, node string) Options {
	return Options{Config: DefaultConfig(), Table: table, Producer: &log{}, Partitions: 4, Node: node}
}

func open(t testing.TB, o Options) *Registry {
	t.Helper()
	r, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// run runs a registry until the test ends; the function it returns ends it earlier.
func run(t *testing.T, r *Registry) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(stop)
	return stop
}

func (r *Registry) state(device string) string {
	if p := r.storedPresence(device); p != nil {
		return p.State
	}
	return "none"
}

func expectState(t *testing.T, r *Registry, device, want string) {
	t.Helper()
	if got := r.state(device); got != want {
		t.Fatalf("%s is %s after %s, want %s", device, got, time.Since(epoch), want)
	}
}

var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) // when synctest begins
