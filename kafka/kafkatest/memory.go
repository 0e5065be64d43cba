package kafkatest

import (
	"testing"

	"weir/kafka"
	"weir/kafka/embedded"
)

// Memory is the embedded broker in memory, and a client and a producer of it, for tests of what is built upon topics. All
// end with the test.
type Memory struct {
	Broker   *embedded.Broker
	Client   *kafka.Client
	Producer *kafka.Producer
}

// InMemory starts a broker in memory that has these topics.
func InMemory(tb testing.TB, topics ...kafka.TopicSpec) Memory {
	tb.Helper()
	need := func(err error) {
		tb.Helper()
		if err != nil {
			tb.Fatal(err)
		}
	}
	broker, err := embedded.Open(embedded.Options{Config: embedded.DefaultConfig()})
	need(err)
	tb.Cleanup(func() { need(broker.Close()) })
	client, err := kafka.New(broker.Options())
	need(err)
	tb.Cleanup(client.Close)
	need(client.EnsureTopics(tb.Context(), topics))
	producer, err := client.NewProducer(tb.Context(), kafka.ProducerOptions{})
	need(err)
	tb.Cleanup(func() { need(producer.Close()) })
	return Memory{Broker: broker, Client: client, Producer: producer}
}
