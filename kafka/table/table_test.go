package table_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"weir/kafka"
	"weir/kafka/embedded"
	"weir/kafka/kafkatest"
	"weir/kafka/table"
)

const topic = "things"

type world struct {
	broker   *embedded.Broker
	client   *kafka.Client
	producer *kafka.Producer
}

func open(t *testing.T) *world {
	t.Helper()
	b := kafkatest.InMemory(t, kafka.TopicSpec{Name: topic, Partitions: 3, Compact: true})
	return &world{b.Broker, b.Client, b.Producer}
}

func (w *world) table(t *testing.T, above int64, watch func(key string, value []byte)) *table.Table {
	t.Helper()
	tb := table.New(table.Options{
		Client: w.client, Producer: w.producer, Topic: topic, Partitions: 3, Trimmer: w.broker, CompactAbove: above, CompactEvery: 50 * time.Millisecond})
	if watch != nil {
		tb.Watch("k/", watch)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- tb.Run(ctx) }()
	t.Cleanup(func() { cancel(); must(t, <-ended) })
	select {
	case <-tb.Ready():
	case <-time.After(30 * time.Second):
		t.Fatal("not loaded")
	}
	return tb
}

func TestWritesAreReadBackEverywhere(t *testing.T) {
	w := open(t)
	a := w.table(t, 0, nil)
	var mu sync.Mutex
	seen := map[string]string{}
	b := w.table(t, 0, func(key string, value []byte) {
		mu.Lock()
		defer mu.Unlock()
		seen[key] = string(value)
	})
	for i := range 20 {
		must(t, a.Put(t.Context(), fmt.Sprintf("k/%02d", i), fmt.Appendf(nil, "v%d", i)))
	}
	must(t, a.Put(t.Context(), "other", nil))
	must(t, a.Delete(t.Context(), "k/07"))
	if v, ok := a.Get("k/03"); !ok || string(v) != "v3" {
		t.Fatalf("k/03 is %q, %v", v, ok)
	}
	if _, ok := a.Get("k/07"); ok {
		t.Fatal("k/07 is still there")
	}
	if v, ok := a.Get("other"); !ok || v == nil {
		t.Fatal("an empty value is no deletion")
	}
	must(t, b.Put(t.Context(), "k/99", []byte("last")))
	eventually(t, func() bool { return count(b) == 21 })
	var keys []string
	b.Range("k/", func(key string, _ []byte) bool { keys = append(keys, key); return len(keys) < 3 })
	if fmt.Sprint(keys) != "[k/00 k/01 k/02]" {
		t.Fatalf("range in order: %v", keys)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(seen) != 21 || seen["k/07"] != "" || seen["k/03"] != "v3" {
		t.Fatalf("watched: %v", seen)
	}
	c := w.table(t, 0, nil)
	if n := count(c); n != 21 {
		t.Fatalf("loaded %d keys", n)
	}
}

func TestRewritingKeepsTheNewestOfEachKey(t *testing.T) {
	w := open(t)
	a := w.table(t, 256, nil)
	for i := range 300 {
		must(t, a.Put(t.Context(), fmt.Sprintf("k/%d", i%5), fmt.Appendf(nil, "v%d", i)))
	}
	must(t, a.Delete(t.Context(), "k/0"))
	eventually(t, func() bool {
		ranges, err := w.client.Offsets(t.Context(), topic)
		must(t, err)
		return ranges[0].First+ranges[1].First+ranges[2].First > 200
	})
	must(t, a.Put(t.Context(), "k/1", []byte("after")))
	b := w.table(t, 0, nil)
	for key, want := range map[string]string{"k/1": "after", "k/2": "v297", "k/3": "v298", "k/4": "v299"} {
		if v, _ := b.Get(key); string(v) != want {
			t.Errorf("%s is %q, want %q", key, v, want)
		}
	}
	if n := count(b); n != 4 {
		t.Errorf("%d keys, want 4", n)
	}
}

func count(tb *table.Table) (n int) {
	tb.Range("", func(string, []byte) bool { n++; return true })
	return n
}

func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("did not come about")
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
