//go:build realkafka

package bridge

import (
	"testing"

	"weir/kafka/kafkatest"
)

func TestRecordsOfARealKafkaAreCarried(t *testing.T) {
	testCarrying(t, openOn(t, kafkatest.StartReal(t).Options()))
}
