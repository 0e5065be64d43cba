package kafka_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/kafka"
)

// holdCommits makes the coordinator keep commits waiting until release is called.
func (b *faultyBroker) holdCommits(t *testing.T) (release func()) {
	const offsetCommit = 8
	held := make(chan struct{})
	release = sync.OnceFunc(func() { close(held) })
	t.Cleanup(release)
	b.cluster.ControlKey(offsetCommit, func(kmsg.Request) (kmsg.Response, error, bool) {
		b.cluster.SleepControl(func() { <-held })
		return nil, nil, false
	})
	return release
}

func TestCommitEndsWithItsContext(t *testing.T) {
	b := newFaultyBroker(t)
	const topic = "two"
	if err := b.client.EnsureTopics(t.Context(), []kafka.TopicSpec{{Name: topic, Partitions: 2}}); err != nil {
		t.Fatal(err)
	}
	assigned := make(chan *kafka.Assignment)
	g, err := b.client.NewGroup(kafka.GroupOptions{
		ID: "g", Topic: topic, HeartbeatInterval: time.Minute, SessionTimeout: 5 * time.Minute,
		Own: func(ctx context.Context, a *kafka.Assignment) error {
			assigned <- a
			<-ctx.Done()
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- g.Run(ctx) }()
	one, other := <-assigned, <-assigned

	release := b.holdCommits(t)
	for _, a := range []*kafka.Assignment{one, other} { // one waits for the answer, the other for its turn
		short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		if err := a.Commit(short, 7); !errors.Is(err, context.DeadlineExceeded) || !kafka.Retriable(err) {
			t.Errorf("outcome %v", err)
		}
		cancel()
	}
	release()
	if err := other.Commit(t.Context(), 8); err != nil {
		t.Errorf("after the coordinator is back: %v", err)
	}
	if got, err := b.client.Committed(t.Context(), "g", topic, 2); err != nil || got[one.Partition] != 7 || got[other.Partition] != 8 {
		t.Errorf("committed %v, %v", got, err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
