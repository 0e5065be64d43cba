//go:build realkafka

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/lxzan/gws"

	"weir/kafka"
	"weir/kafka/kafkatest"
)

// listener is in a room and counts what it is told.
type listener struct {
	gws.BuiltinEventHandler
	mu     sync.Mutex
	joined bool
	told   []int // how often each order
	newest [2]int
	wrong  []string
}

func (l *listener) OnMessage(_ *gws.Conn, message *gws.Message) {
	defer message.Close()
	var m struct {
		Type    string
		Payload struct {
			Type    string
			Payload struct{ N int }
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := json.Unmarshal(message.Bytes(), &m); err != nil {
		return // of types whose fields are others
	}
	switch n := m.Payload.Payload.N; {
	case m.Type == "joined":
		l.joined = true
	case m.Type == "message" && n < len(l.told):
		if l.told[n]++; n <= l.newest[n%2] {
			l.wrong = append(l.wrong, fmt.Sprintf("order %d after %d", n, l.newest[n%2]))
		}
		l.newest[n%2] = n
	}
}

// check returns nil when the orders 1 to n were told once.
func (l *listener) check(n int) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := 1; i <= n; i++ {
		if l.told[i] != 1 {
			return fmt.Errorf("order %d was told %d times; %v", i, l.told[i], l.wrong)
		}
	}
	if len(l.wrong) > 0 {
		return fmt.Errorf("out of order: %v", l.wrong)
	}
	return nil
}

const roomBridge = `
bridges:
  - name: orders
    topic: erp.orders
    filter: value.kind == "order"
    to: {room: plant1/ops}
    type: order
    payload: '{n: value.n}'
`

func TestEveryRecordIsToldOnceAndInOrderThoughItsBridgeIsKilled(t *testing.T) {
	options := kafkatest.StartReal(t).Options()
	brokers := strings.Join(options.Brokers, ",")
	file := filepath.Join(t.TempDir(), "bridges.yaml")
	if err := os.WriteFile(file, []byte(roomBridge), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("WEIR_BRIDGES__FILE", file)
	t.Setenv("WEIR_BRIDGES__SESSION_TIMEOUT", "6s")
	t.Setenv("WEIR_BRIDGES__IN_FLIGHT", "64")
	push := serve(t, "push", "push", brokers)
	bridges := []*process{serve(t, "bridge-0", "bridge", brokers), serve(t, "bridge-1", "bridge", brokers)}

	const orders = 4000
	l := &listener{told: make([]int, orders+1)}
	conn, _, err := gws.NewClient(l, &gws.ClientOption{Addr: "ws://" + push.addr + "/v1/live"})
	if err != nil {
		t.Fatal(err)
	}
	go conn.ReadLoop()
	t.Cleanup(func() { _ = conn.WriteClose(1000, nil) })
	if err := conn.WriteString(`{"type":"join","payload":{"room":"plant1/ops"}}`); err != nil {
		t.Fatal(err)
	}
	eventually(t, 30*time.Second, "the room is joined", func() error {
		l.mu.Lock()
		defer l.mu.Unlock()
		if !l.joined {
			return fmt.Errorf("no answer")
		}
		return nil
	})

	client, err := kafka.New(options)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if err := client.EnsureTopics(ctx, []kafka.TopicSpec{{Name: "erp.orders", Partitions: 2}}); err != nil {
		t.Fatal(err)
	}
	producer, err := client.NewProducer(ctx, kafka.ProducerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = producer.Close() }()
	for n := 1; n <= orders; n++ {
		records := []kafka.Record{{Value: fmt.Appendf(nil, `{"kind":"order","n":%d}`, n)}, {Value: []byte(`{"kind":"noise"}`)}}
		if err := producer.Produce(ctx, "erp.orders", n%2, records, nil); err != nil {
			t.Fatal(err)
		}
		if n%20 == 0 {
			time.Sleep(50 * time.Millisecond) // 400 a second
		}
		if n == 1000 || n == 2500 { // each in the middle of its work
			which := n / 2500
			bridges[which].signal(syscall.SIGKILL)
			bridges[which] = serve(t, fmt.Sprintf("bridge-%d-again", which), "bridge", brokers)
		}
	}
	eventually(t, time.Minute, "every order is told once", func() error { return l.check(orders) })
	repeated, err := push.get("/metrics")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(repeated) {
		if strings.HasPrefix(line, "weir_rooms_messages_repeated_total") {
			t.Logf("%d orders; %s", orders, strings.TrimSpace(line))
		}
	}
}
