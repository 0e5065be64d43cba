package kafka_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/kafka"
)

// faultyBroker is a broker whose answers to produce requests a test can replace.
type faultyBroker struct {
	cluster *kfake.Cluster
	client  *kafka.Client
	topic   string
}

func newFaultyBroker(t *testing.T) *faultyBroker {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	client, err := kafka.New(kafka.Options{Brokers: cluster.ListenAddrs()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	b := &faultyBroker{cluster: cluster, client: client, topic: "t"}
	if err := client.EnsureTopics(t.Context(), []kafka.TopicSpec{{Name: b.topic, Partitions: 1}}); err != nil {
		t.Fatal(err)
	}
	return b
}

// refuse answers the next produce requests with the given codes, in order, and carries none of them out.
func (b *faultyBroker) refuse(codes ...kafkago.Error) {
	var n atomic.Int32
	b.cluster.ControlKey(0, func(req kmsg.Request) (kmsg.Response, error, bool) {
		i := int(n.Add(1)) - 1
		if i >= len(codes) {
			return nil, nil, false
		}
		b.cluster.KeepControl()
		return b.answer(req, codes[i]), nil, true
	})
}

// answer is one to a produce request with one batch.
func (b *faultyBroker) answer(req kmsg.Request, code kafkago.Error) kmsg.Response {
	asked := req.(*kmsg.ProduceRequest).Topics[0]
	partition := kmsg.NewProduceResponseTopicPartition()
	partition.Partition = asked.Partitions[0].Partition
	partition.ErrorCode = int16(code)
	partition.BaseOffset = -1
	topic := kmsg.NewProduceResponseTopic()
	topic.Topic, topic.Partitions = asked.Topic, append(topic.Partitions, partition)
	resp := req.ResponseKind().(*kmsg.ProduceResponse)
	resp.Topics = append(resp.Topics, topic)
	return resp
}

func (b *faultyBroker) producer(t *testing.T, opts kafka.ProducerOptions) *kafka.Producer {
	t.Helper()
	p, err := b.client.NewProducer(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

func (b *faultyBroker) produce(t *testing.T, p *kafka.Producer) (int64, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	return p.ProduceSync(ctx, b.topic, 0, []kafka.Record{{Value: []byte("v")}})
}

func TestProducerRecoversWhenTheBrokerHasForgottenIt(t *testing.T) {
	for _, id := range []string{"", "tx"} {
		b := newFaultyBroker(t)
		p := b.producer(t, kafka.ProducerOptions{TransactionalID: id})
		if _, err := b.produce(t, p); err != nil {
			t.Fatal(err)
		}
		for i, code := range []kafkago.Error{kafkago.UnknownProducerId, kafkago.OutOfOrderSequenceNumber} {
			b.refuse(code)
			if base, err := b.produce(t, p); err != nil || base != int64(i+1) {
				t.Fatalf("transactional id %q: after %v: offset %d, %v", id, code, base, err)
			}
		}
	}
}

func TestProducerDoesNotWriteAgainWhatMayBeStored(t *testing.T) {
	b := newFaultyBroker(t)
	p := b.producer(t, kafka.ProducerOptions{})
	b.refuse(kafkago.RequestTimedOut, kafkago.OutOfOrderSequenceNumber)
	if _, err := b.produce(t, p); !errors.Is(err, kafka.ErrInDoubt) {
		t.Fatalf("error %v", err)
	}
	if base, err := b.produce(t, p); err != nil || base != 0 {
		t.Fatalf("the next call: offset %d, %v", base, err)
	}
}

func TestConfirmedDuplicateIsSuccess(t *testing.T) {
	b := newFaultyBroker(t)
	p := b.producer(t, kafka.ProducerOptions{})
	b.refuse(kafkago.RequestTimedOut, kafkago.DuplicateSequenceNumber)
	if base, err := b.produce(t, p); err != nil || base != -1 {
		t.Fatalf("offset %d, %v", base, err)
	}
}

func TestRefusedBatchDoesNotUseUpItsSequence(t *testing.T) {
	b := newFaultyBroker(t)
	p := b.producer(t, kafka.ProducerOptions{})
	b.refuse(kafkago.MessageSizeTooLarge, kafkago.NotLeaderForPartition, kafkago.NotEnoughReplicas)
	if _, err := b.produce(t, p); !errors.Is(err, kafka.ErrTooLarge) {
		t.Fatalf("error %v", err)
	}
	if base, err := b.produce(t, p); err != nil || base != 0 {
		t.Fatalf("offset %d, %v", base, err)
	}
}

func TestPlainProducerIsNotFenced(t *testing.T) {
	b := newFaultyBroker(t)
	p := b.producer(t, kafka.ProducerOptions{})
	b.refuse(kafkago.InvalidProducerEpoch)
	if base, err := b.produce(t, p); err != nil || base != 0 {
		t.Fatalf("offset %d, %v", base, err)
	}
}

func TestFencedProducerFailsAllThatIsQueued(t *testing.T) {
	b := newFaultyBroker(t)
	p := b.producer(t, kafka.ProducerOptions{TransactionalID: "tx", MaxBatchBytes: 200})
	b.refuse(kafkago.InvalidProducerEpoch)
	outcome := make(chan error, 50)
	accepted := 0
	for range 50 {
		err := p.Produce(t.Context(), b.topic, 0, []kafka.Record{{Value: make([]byte, 100)}}, func(_ int64, err error) { outcome <- err })
		if err == nil {
			accepted++
		} else if !errors.Is(err, kafka.ErrFenced) {
			t.Fatal(err)
		}
	}
	for range accepted {
		if err := <-outcome; !errors.Is(err, kafka.ErrFenced) {
			t.Fatalf("outcome %v", err)
		}
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestProducerOptionsAreChecked(t *testing.T) {
	b := newFaultyBroker(t)
	_, err := b.client.NewProducer(t.Context(), kafka.ProducerOptions{Linger: -1, MaxBatchBytes: 1, MaxBufferedBytes: 1})
	for _, field := range []string{"linger", "max_batch_bytes", "max_buffered_bytes"} {
		if err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("error %v does not name %s", err, field)
		}
	}
	if _, err := kafka.New(kafka.Options{}); err == nil {
		t.Error("a client without brokers")
	}
	if _, err := b.client.NewGroup(kafka.GroupOptions{}); err == nil {
		t.Error("a group without id, topic and owner")
	}
}

func TestGroupEndsWhenTheCoordinatorRefusesIt(t *testing.T) {
	b := newFaultyBroker(t)
	g, err := b.client.NewGroup(kafka.GroupOptions{
		ID: "g", Topic: b.topic, SessionTimeout: 300 * time.Millisecond, HeartbeatInterval: 50 * time.Millisecond,
		Own: func(context.Context, *kafka.Assignment) error { return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Run(t.Context()); !errors.Is(err, kafkago.InvalidSessionTimeout) {
		t.Fatalf("Run ended with %v", err)
	}
}
