package app

import (
	"context"
	"maps"
	"sync"
	"testing"
	"time"

	"weir/config"
	"weir/kafka"
	"weir/kafka/embedded"
	"weir/wire"
)

// topics is an embedded broker in memory with Weir's topics.
func topics(t *testing.T, partitions int) *kafka.Client {
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
	c := config.Default()
	c.Partitions = partitions
	if _, err := ensureTopics(t.Context(), client, &c); err != nil {
		t.Fatal(err)
	}
	return client
}

func TestProcessesThatStartTogetherAgreeOnTheEpoch(t *testing.T) {
	client := topics(t, 2)
	ids := make([]identity, 5)
	var all sync.WaitGroup
	for i := range ids {
		all.Go(func() {
			p, err := client.NewProducer(t.Context(), kafka.ProducerOptions{})
			if err != nil {
				t.Error(err)
				return
			}
			defer p.Close()
			if ids[i], err = claimIdentity(t.Context(), client, p, 2); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for _, id := range ids {
		if id != ids[0] || id.Epoch == "" || id.Partitions != 2 {
			t.Errorf("identities differ: %+v", ids)
		}
	}
	if id, found, err := readEpoch(t.Context(), client, 2); err != nil || !found || id != ids[0] {
		t.Errorf("%+v, %v, %v", id, found, err)
	}
}

func TestTheFirstClaimStaysTheEpochWhenTheTopicIsCompacted(t *testing.T) {
	client := topics(t, 2)
	p, err := client.NewProducer(t.Context(), kafka.ProducerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	claim := func(epoch string) {
		if err := writeClaim(t.Context(), p, identity{Epoch: epoch, Partitions: 2}); err != nil {
			t.Fatal(err)
		}
	}
	claim("first")
	claim("second") // of a process that had not seen the first
	if id, err := claimIdentity(t.Context(), client, p, 2); err != nil || id.Epoch != "first" {
		t.Errorf("%+v, %v", id, err)
	}
	// Compaction keeps the last record of each key: the first claim must be the only one of its key.
	ranges, err := client.Offsets(t.Context(), wire.TopicDevices)
	if err != nil {
		t.Fatal(err)
	}
	keys := make(map[string]int)
	part := epochPartition(2)
	err = client.ReadRange(t.Context(), wire.TopicDevices, part, ranges[part].First, ranges[part].End, func(r *kafka.Record) error {
		keys[string(r.Key)]++
		return nil
	})
	if want := map[string]int{"epoch/first": 1, "epoch/second": 1}; err != nil || !maps.Equal(keys, want) {
		t.Errorf("records by key: %v, %v", keys, err)
	}
}

func TestTheFloorsAreTheNewestMarkers(t *testing.T) {
	client := topics(t, 2)
	p, err := client.NewProducer(t.Context(), kafka.ProducerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	write := func(m wire.Marker) {
		record := kafka.Record{Key: []byte(wire.MarkerKey), Value: wire.AppendMarker(nil, m)}
		if _, err := p.ProduceSync(t.Context(), wire.TopicLatest, 1, []kafka.Record{record}); err != nil {
			t.Fatal(err)
		}
	}
	write(wire.Marker{Readings: 1, Updates: 2, Alerts: 3})

	f := newFloors(client, nil)
	ctx, cancel := context.WithCancel(t.Context())
	var run sync.WaitGroup
	run.Go(func() { f.run(ctx, 2) })
	defer run.Wait()
	defer cancel()
	floor := func(topic string, partition int) int64 {
		offset, err := f.floor(ctx, topic, partition)
		if err != nil {
			t.Fatal(err)
		}
		return offset
	}
	write(wire.Marker{Readings: 10, Updates: 20, Alerts: 30})
	eventually(t, "the newest marker", func() bool { return floor(wire.TopicReadings, 1) == 10 })
	if floor(wire.TopicUpdates, 1) != 20 || floor(wire.TopicAlerts, 1) != 30 {
		t.Errorf("updates %d, alerts %d", floor(wire.TopicUpdates, 1), floor(wire.TopicAlerts, 1))
	}
	if floor(wire.TopicReadings, 0) >= 0 {
		t.Error("a partition without a marker has a floor")
	}
	if floor(wire.TopicDeadLetters, 0) < 1<<60 {
		t.Error("dead letters are kept although nobody has to have read them")
	}
}

func TestAPartThatEndsEndsTheProcess(t *testing.T) {
	a, err := New(Options{Config: memory()})
	if err != nil {
		t.Fatal(err)
	}
	a.background("broken", func(context.Context) error { return context.DeadlineExceeded })
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	began := time.Now()
	if err := a.Run(ctx); err == nil || err.Error() != "broken: context deadline exceeded" {
		t.Errorf("after %s: %v", time.Since(began), err)
	}
}
