package kafka_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/kafka"
)

// storeThenAnswer carries out the next produce request but answers it with code, as a leader does that loses
// its place while it waits for the replicas. The requests after it are answered by then until it yields 0.
func (b *faultyBroker) storeThenAnswer(t *testing.T, code kafkago.Error, then func() kafkago.Error) {
	first, passing := true, false // functions of control run one at a time, unless they sleep
	b.cluster.ControlKey(0, func(req kmsg.Request) (kmsg.Response, error, bool) {
		b.cluster.KeepControl()
		if passing {
			return nil, nil, false
		}
		if !first {
			if next := then(); next != 0 {
				return b.answer(req, next), nil, true
			}
			return nil, nil, false
		}
		first, passing = false, true
		b.cluster.SleepControl(func() {
			if err := b.forward(req); err != nil {
				t.Errorf("forward: %v", err)
			}
		})
		passing = false
		return b.answer(req, code), nil, true
	})
}

// forward sends a request to the broker on a connection of its own.
func (b *faultyBroker) forward(req kmsg.Request) error {
	conn, err := net.Dial("tcp", b.cluster.ListenAddrs()[0])
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.Write(kmsg.NewRequestFormatter().AppendRequest(nil, req, 1)); err != nil {
		return err
	}
	var size [4]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return err
	}
	_, err = io.CopyN(io.Discard, conn, int64(binary.BigEndian.Uint32(size[:])))
	return err
}

func (b *faultyBroker) send(t *testing.T, p *kafka.Producer, value string) (int64, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	return p.ProduceSync(ctx, b.topic, 0, []kafka.Record{{Value: []byte(value)}})
}

// stored returns the values in the log.
func (b *faultyBroker) stored(t *testing.T) (out []string) {
	t.Helper()
	ranges, err := b.client.Offsets(t.Context(), b.topic)
	if err != nil {
		t.Fatal(err)
	}
	err = b.client.ReadRange(t.Context(), b.topic, 0, 0, ranges[0].End, func(r *kafka.Record) error {
		out = append(out, string(r.Value))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestABatchIsNeverTakenForARetryOfOneThatWasGivenUp(t *testing.T) {
	for _, test := range []struct {
		code kafkago.Error
		want error
	}{
		{kafkago.NotLeaderForPartition, kafka.ErrInDoubt},
		{kafkago.LeaderNotAvailable, kafka.ErrInDoubt},
		{kafkago.UnknownTopicOrPartition, kafka.ErrInDoubt},
		{kafkago.FencedLeaderEpoch, kafka.ErrInDoubt},
		{kafkago.UnknownLeaderEpoch, kafka.ErrInDoubt},
		{kafkago.Error(-1), kafka.ErrInDoubt},
		{kafkago.Error(12345), kafka.ErrInDoubt},
		{kafkago.MessageSizeTooLarge, kafka.ErrTooLarge}, // a lie, but a known one must not pass either
		{kafkago.NotEnoughReplicas, kafka.ErrTimeout},
	} {
		for _, id := range []string{"", "tx"} {
			t.Run(fmt.Sprintf("%d %s", test.code, id), func(t *testing.T) {
				t.Parallel()
				b := newFaultyBroker(t)
				p := b.producer(t, kafka.ProducerOptions{TransactionalID: id, DeliveryTimeout: 150 * time.Millisecond})
				var down atomic.Int32
				down.Store(int32(test.code))
				b.storeThenAnswer(t, test.code, func() kafkago.Error { return kafkago.Error(down.Load()) })
				if _, err := b.send(t, p, "A"); !errors.Is(err, test.want) {
					t.Fatalf("outcome of A is %v, want %v", err, test.want)
				}
				down.Store(0)
				// A slow machine may have those that follow given up, too: they are sent under other names until one is not.
				base, value, err := int64(-1), "", error(nil)
				for n := range 200 {
					value = fmt.Sprint("B", n)
					if base, err = b.send(t, p, value); !errors.Is(err, kafka.ErrTimeout) && !errors.Is(err, kafka.ErrInDoubt) {
						break
					}
				}
				got := b.stored(t)
				if last := len(got) - 1; err != nil || got[0] != "A" || base < 1 || int(base) != last || got[last] != value {
					t.Fatalf("%s is at %d, %v; the log holds %q", value, base, err, got)
				}
			})
		}
	}
}

func TestABatchThatMayBeStoredIsNotWrittenUnderAnotherIdentity(t *testing.T) {
	for _, code := range []kafkago.Error{kafkago.NotLeaderForPartition, kafkago.UnknownTopicOrPartition, kafkago.Error(-1)} {
		for then, want := range map[kafkago.Error]error{
			kafkago.DuplicateSequenceNumber:  nil,
			kafkago.OutOfOrderSequenceNumber: kafka.ErrInDoubt,
			kafkago.UnknownProducerId:        kafka.ErrInDoubt,
			kafkago.TopicAuthorizationFailed: kafka.ErrInDoubt,
		} {
			t.Run(fmt.Sprintf("%d %d", code, then), func(t *testing.T) {
				t.Parallel()
				b := newFaultyBroker(t)
				p := b.producer(t, kafka.ProducerOptions{})
				answers := []kafkago.Error{then}
				b.storeThenAnswer(t, code, func() (next kafkago.Error) {
					if len(answers) > 0 {
						next, answers = answers[0], nil
					}
					return next
				})
				if _, err := b.send(t, p, "A"); !errors.Is(err, want) {
					t.Fatalf("outcome %v, want %v", err, want)
				}
				if got := b.stored(t); !slices.Equal(got, []string{"A"}) {
					t.Fatalf("the log holds %q", got)
				}
			})
		}
	}
}
