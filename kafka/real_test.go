//go:build realkafka

package kafka_test

import (
	"testing"

	"weir/kafka/kafkatest"
)

func TestApacheKafkaKeepsTheContract(t *testing.T) {
	kafkatest.RunContract(t, kafkatest.Real)
}
