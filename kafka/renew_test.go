package kafka_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/kafka"
)

// stall answers batches to the topic "stuck" with a lost leader until end is called, and the first one to
// other topics as if the producer were forgotten, if forget is set. begun is closed with the first batch to
// "stuck".
func (b *faultyBroker) stall(t *testing.T, forget bool) (begun <-chan struct{}, end func()) {
	t.Helper()
	if err := b.client.EnsureTopics(t.Context(), []kafka.TopicSpec{{Name: "stuck", Partitions: 1}}); err != nil {
		t.Fatal(err)
	}
	var over atomic.Bool
	first := make(chan struct{})
	seen := sync.OnceFunc(func() { close(first) })
	b.cluster.ControlKey(0, func(req kmsg.Request) (kmsg.Response, error, bool) {
		b.cluster.KeepControl()
		stuck := req.(*kmsg.ProduceRequest).Topics[0].Topic == "stuck"
		switch {
		case stuck && !over.Load():
			seen()
			return b.answer(req, kafkago.NotLeaderForPartition), nil, true
		case !stuck && forget:
			forget = false
			return b.answer(req, kafkago.UnknownProducerId), nil, true
		}
		return nil, nil, false
	})
	return first, func() { over.Store(true) }
}

// produceStuck produces to the topic that is stuck.
func produceStuck(t *testing.T, p *kafka.Producer) (outcome <-chan error) {
	t.Helper()
	ch := make(chan error, 1)
	err := p.Produce(t.Context(), "stuck", 0, []kafka.Record{{Value: []byte("v")}}, func(_ int64, err error) { ch <- err })
	if err != nil {
		t.Fatal(err)
	}
	return ch
}

func TestRenewDoesNotWaitForeverForAPartitionThatIsStuck(t *testing.T) {
	b := newFaultyBroker(t)
	p := b.producer(t, kafka.ProducerOptions{TransactionalID: "tx", RenewTimeout: 50 * time.Millisecond})
	begun, end := b.stall(t, false)
	outcome := produceStuck(t, p)
	<-begun
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := p.Renew(ctx); !errors.Is(err, kafka.ErrTimeout) || !kafka.Retriable(err) {
		t.Fatalf("renew: %v", err)
	}
	if base, err := b.produce(t, p); err != nil || base != 0 {
		t.Fatalf("under the old epoch: offset %d, %v", base, err)
	}
	end()
	if err := <-outcome; err != nil {
		t.Fatalf("the batch that was stuck: %v", err)
	}
	if err := p.Renew(ctx); err != nil {
		t.Fatalf("renew later: %v", err)
	}
	if base, err := b.produce(t, p); err != nil || base != 1 {
		t.Fatalf("under the new epoch: offset %d, %v", base, err)
	}
}

func TestABatchThatNeedsANewEpochOutlastsAPartitionThatIsStuck(t *testing.T) {
	b := newFaultyBroker(t)
	p := b.producer(t, kafka.ProducerOptions{TransactionalID: "tx", RenewTimeout: 20 * time.Millisecond})
	begun, end := b.stall(t, true)
	outcome := produceStuck(t, p)
	<-begun
	time.AfterFunc(200*time.Millisecond, end)
	if base, err := b.produce(t, p); err != nil || base != 0 {
		t.Fatalf("offset %d, %v", base, err)
	}
	if err := <-outcome; err != nil {
		t.Fatalf("the batch that was stuck: %v", err)
	}
}
