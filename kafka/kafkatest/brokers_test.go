//go:build realkafka

package kafkatest_test

import (
	"context"
	"testing"
	"time"

	"weir/kafka"
	"weir/kafka/kafkatest"
)

func TestWhatTwoOfThreeBrokersAcknowledgeOutlivesEach(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	brokers := kafkatest.StartRealBrokers(t, t.TempDir(), 3)
	client, err := kafka.New(brokers.Options())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.EnsureTopics(ctx, []kafka.TopicSpec{{Name: "outlives", Partitions: 1}}); err != nil {
		t.Fatal(err)
	}
	producer, err := client.NewProducer(ctx, kafka.ProducerOptions{DeliveryTimeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	defer producer.Close()
	for i := range int64(3) {
		brokers.Kill(int(i))
		offset, err := producer.ProduceSync(ctx, "outlives", 0, []kafka.Record{{Value: []byte("x")}})
		if err != nil || offset != i {
			t.Fatalf("without node %d: offset %d, %v", i, offset, err)
		}
		if err := brokers.Start(int(i)); err != nil {
			t.Fatal(err)
		}
		for brokers.Whole(ctx) != nil {
			time.Sleep(100 * time.Millisecond)
		}
	}
}
