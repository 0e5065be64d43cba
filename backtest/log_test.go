package backtest

import (
	"errors"
	"io"
	"slices"
	"testing"

	"weir/kafka"
	"weir/kafka/embedded"
	"weir/wire"
)

func TestTheLogIsReadInOrderOfTimeUpToWhereItEnded(t *testing.T) {
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
	const partitions = 3
	if err := client.EnsureTopics(t.Context(), []kafka.TopicSpec{{Name: wire.TopicReadings, Partitions: partitions}}); err != nil {
		t.Fatal(err)
	}
	producer, err := client.NewProducer(t.Context(), kafka.ProducerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = producer.Close() })
	produce := func(partition int, times ...int64) {
		t.Helper()
		var list []kafka.Record
		for _, at := range times {
			list = append(list, kafka.Record{Time: at, Key: []byte("k"), Value: []byte("v")})
		}
		if _, err := producer.ProduceSync(t.Context(), wire.TopicReadings, partition, list); err != nil {
			t.Fatal(err)
		}
	}
	produce(0, 10, 40, 70)
	produce(2, 20, 30, 80)
	log, err := OpenLog(t.Context(), client)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	produce(1, 5)
	produce(2, 90)
	var got []int64
	for {
		rec, err := log.Next(t.Context())
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, rec.Time)
	}
	if want := []int64{10, 20, 30, 40, 70, 80}; !slices.Equal(got, want) {
		t.Errorf("read %v, want %v", got, want)
	}
}
