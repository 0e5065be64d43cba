package kafka_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/kafka"
)

// logged returns a client of the broker and what it logs.
func (b *faultyBroker) logged(t *testing.T) (*kafka.Client, *bytes.Buffer) {
	t.Helper()
	var out bytes.Buffer
	c, err := kafka.New(kafka.Options{Brokers: b.cluster.ListenAddrs(), Logger: slog.New(slog.NewTextHandler(&out, nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c, &out
}

func TestATopicThatStaysUnknownIsAnErrorInTheEnd(t *testing.T) {
	t.Parallel()
	c, out := newFaultyBroker(t).logged(t)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	_, err := c.Offsets(ctx, "none")
	if ctx.Err() != nil || kafka.Classify(err) != kafka.ReasonUnknownTopic {
		t.Fatalf("error %v", err)
	}
	if n := strings.Count(out.String(), "still trying"); n != 1 {
		t.Errorf("logged %d times:\n%s", n, out)
	}
}

func TestTailFindsOutTheRangeAlthoughTheLeaderMovesMeanwhile(t *testing.T) {
	const listOffsets = 2
	b := newFaultyBroker(t)
	if _, err := b.produce(t, b.producer(t, kafka.ProducerOptions{})); err != nil {
		t.Fatal(err)
	}
	tail := b.client.NewTail(kafka.TailOptions{Topic: b.topic, Offset: 100})
	defer tail.Close()
	failures := 2
	b.cluster.ControlKey(listOffsets, func(req kmsg.Request) (kmsg.Response, error, bool) {
		b.cluster.KeepControl()
		if failures--; failures < 0 {
			return nil, nil, false
		}
		partition := kmsg.NewListOffsetsResponseTopicPartition()
		partition.ErrorCode = int16(kafkago.NotLeaderForPartition)
		topic := kmsg.NewListOffsetsResponseTopic()
		topic.Topic, topic.Partitions = b.topic, append(topic.Partitions, partition)
		resp := req.ResponseKind().(*kmsg.ListOffsetsResponse)
		resp.Topics = append(resp.Topics, topic)
		return resp, nil, true
	})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	_, err := tail.Next(ctx)
	var out *kafka.ErrOffsetOutOfRange
	if !errors.As(err, &out) || out.First != 0 || out.End != 1 {
		t.Fatalf("error %v", err)
	}
}
