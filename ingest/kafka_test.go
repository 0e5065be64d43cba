package ingest

import (
	"testing"
	"time"

	"weir/kafka"
	"weir/kafka/embedded"
	"weir/telemetry"
	"weir/wire"
)

// cluster is an embedded broker in memory with the topics ingest writes, and a producer on it.
type cluster struct {
	broker   *embedded.Broker
	client   *kafka.Client
	producer *kafka.Producer
}

func openCluster(t testing.TB) *cluster {
	t.Helper()
	broker, err := embedded.Open(embedded.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = broker.Close() })
	client, err := kafka.New(broker.Options())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	specs := []kafka.TopicSpec{{Name: wire.TopicReadings, Partitions: 4}, {Name: wire.TopicDeadLetters, Partitions: 4}}
	if err := client.EnsureTopics(t.Context(), specs); err != nil {
		t.Fatal(err)
	}
	producer, err := client.NewProducer(t.Context(), kafka.ProducerOptions{
		Linger: 2 * time.Millisecond, DeliveryTimeout: 500 * time.Millisecond, CloseTimeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = producer.Close() })
	return &cluster{broker, client, producer}
}

// readings reads everything a device has in the topic.
func (c *cluster) readings(t *testing.T, device string) []telemetry.Reading {
	t.Helper()
	partition := kafka.PartitionFor(device, 4)
	ranges, err := c.client.Offsets(t.Context(), wire.TopicReadings)
	if err != nil {
		t.Fatal(err)
	}
	var out []telemetry.Reading
	err = c.client.ReadRange(t.Context(), wire.TopicReadings, partition, ranges[partition].First, ranges[partition].End,
		func(r *kafka.Record) error {
			if string(r.Key) == device {
				out = append(out, readingsOf(t, r.Value)...)
			}
			return nil
		})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestWhatAReceiptCountsAsAcceptedIsInKafka(t *testing.T) {
	c := openCluster(t)
	s := start(t, c.producer)
	d := s.dial(t, "", nil)
	frame := `{"device":"plant1/press7","readings":[{"metric":"a","ts":1700000000000,"value":1.5},{"metric":"b","ts":1700000000001,"value":true},{"metric":"c","value":"x"}]}`
	for i := range 10 {
		d.send(frame)
		if r := d.receipt(); r.Accepted != 2 || len(r.Rejected) != 1 {
			t.Fatalf("receipt: %+v", r)
		}
		if n := len(c.readings(t, "plant1/press7")); n != 2*(i+1) {
			t.Fatalf("after receipt %d: %d readings in Kafka", i+1, n)
		}
	}
	want := []telemetry.Reading{{Metric: "a", Time: 1700000000000000, Value: 1.5}, {Metric: "b", Time: 1700000000001000, Value: 1}}
	for i, r := range c.readings(t, "plant1/press7")[:2] {
		if r != want[i] {
			t.Errorf("reading %d: %+v, want %+v", i, r, want[i])
		}
	}
}

func TestWithoutABrokerReceiptsWaitAndThenSayNotStored(t *testing.T) {
	c := openCluster(t)
	s := start(t, c.producer)
	d := s.dial(t, "", nil)
	d.send(oneReading)
	d.receipt()
	if err := c.broker.Close(); err != nil {
		t.Fatal(err)
	}
	d.send(oneReading)
	d.silent("a receipt without a broker")
	r := d.receipt()
	if r.Frame != 2 || r.Accepted != 0 || r.Err == nil || r.Err.Code != wire.CodeNotStored || r.RetryAfter == 0 {
		t.Errorf("receipt: %+v", r)
	}
	// The connection is as good as before.
	d.send(`{"type":"app_ping"}`)
	d.message()
}
