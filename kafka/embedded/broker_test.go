package embedded

import (
	"context"
	"testing"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t testing.TB, o Options) *Broker {
	t.Helper()
	b, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

func goClient(t testing.TB, b *Broker) *kafkago.Client {
	tr := &kafkago.Transport{Dial: b.Dial}
	t.Cleanup(tr.CloseIdleConnections)
	return &kafkago.Client{Addr: kafkago.TCP(b.Brokers()...), Transport: tr, Timeout: 10 * time.Second}
}

func TestServesKafkaGo(t *testing.T) {
	b := open(t, Options{Dir: t.TempDir()})
	c := goClient(t, b)
	res, err := c.CreateTopics(context.Background(), &kafkago.CreateTopicsRequest{Topics: []kafkago.TopicConfig{{Topic: "a", NumPartitions: 2, ReplicationFactor: 1}}})
	if err != nil || res.Errors["a"] != nil {
		t.Fatal(err, res)
	}
}
