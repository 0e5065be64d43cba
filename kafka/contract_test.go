package kafka_test

import (
	"testing"

	"weir/kafka/kafkatest"
)

func TestEmbeddedBrokerKeepsTheContract(t *testing.T) {
	kafkatest.RunContract(t, kafkatest.Embedded)
}
