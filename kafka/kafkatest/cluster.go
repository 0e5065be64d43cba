// Package kafkatest runs one suite of tests over every broker that Weir works with, so that the embedded
// broker promises what Kafka promises, and starts a real Kafka for it, and a broker in memory for tests of what is built
// upon topics.
package kafkatest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"weir/kafka"
)

// Cluster is a broker under test. It may also be a kafka.Trimmer and a Restarter.
type Cluster interface {
	Options() kafka.Options
	Close()
}

// Restarter stops the broker without warning and starts it again on the same data.
type Restarter interface {
	Restart(tb testing.TB)
}

// RunContract runs the suite. open is called once for all tests; they use topics of their own.
func RunContract(t *testing.T, open func(testing.TB) Cluster) {
	cluster := open(t)
	t.Cleanup(cluster.Close)
	tests := []struct {
		name string
		run  func(*suite)
	}{
		{"topics", (*suite).topics},
		{"offsets", (*suite).offsets},
		{"produce", (*suite).produce},
		{"producer faults", (*suite).faults},
		{"fence", (*suite).fence},
		{"tail", (*suite).tail},
		{"group", (*suite).group},
		{"copy forward", (*suite).copyForward},
		{"restart", (*suite).restart},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { test.run(&suite{T: t, cluster: cluster}) })
	}
}

// suite is one test of the contract with what it needs.
type suite struct {
	*testing.T
	cluster Cluster
}

// patience is how long a test waits for what must come.
const patience = 30 * time.Second

// sub runs a part of a test with its own cleanups.
func (s *suite) sub(name string, run func(*suite)) {
	s.Helper()
	s.Run(name, func(t *testing.T) { run(&suite{T: t, cluster: s.cluster}) })
}

func (s *suite) context() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	s.Cleanup(cancel)
	return ctx
}

// client returns a client of the cluster; change adapts its options.
func (s *suite) client(change ...func(*kafka.Options)) *kafka.Client {
	s.Helper()
	opts := s.cluster.Options()
	opts.Logger = slog.New(slog.NewTextHandler(s.Output(), nil))
	for _, f := range change {
		f(&opts)
	}
	c, err := kafka.New(opts)
	s.ok(err)
	s.Cleanup(c.Close)
	return c
}

var topicNumber atomic.Int64

// topic creates a topic of its own name.
func (s *suite) topic(c *kafka.Client, partitions int, change ...func(*kafka.TopicSpec)) string {
	s.Helper()
	spec := kafka.TopicSpec{Name: s.name(), Partitions: partitions}
	for _, f := range change {
		f(&spec)
	}
	s.ok(c.EnsureTopics(s.context(), []kafka.TopicSpec{spec}))
	return spec.Name
}

// name is for one topic or group.
func (s *suite) name() string { return fmt.Sprintf("contract.%d", topicNumber.Add(1)) }

func (s *suite) producer(c *kafka.Client, opts kafka.ProducerOptions) *kafka.Producer {
	s.Helper()
	p, err := c.NewProducer(s.context(), opts)
	s.ok(err)
	s.Cleanup(func() { _ = p.Close() })
	return p
}

func (s *suite) ok(err error) {
	s.Helper()
	if err != nil {
		s.Fatalf("unexpected error: %v", err)
	}
}

func (s *suite) isError(err, want error) {
	s.Helper()
	if !errors.Is(err, want) {
		s.Fatalf("error is %v, want %v", err, want)
	}
}

// read returns all records of a partition.
func (s *suite) read(c *kafka.Client, topic string, partition int) []kafka.Record {
	s.Helper()
	ranges, err := c.Offsets(s.context(), topic)
	s.ok(err)
	var out []kafka.Record
	r := ranges[partition]
	s.ok(c.ReadRange(s.context(), topic, partition, r.First, r.End, func(r *kafka.Record) error {
		out = append(out, r.Clone())
		return nil
	}))
	return out
}

// await waits for a condition.
func (s *suite) await(what string, condition func() bool) {
	s.Helper()
	deadline := time.Now().Add(patience)
	for !condition() {
		if time.Now().After(deadline) {
			s.Fatalf("waited in vain until %s", what)
		}
		<-time.After(5 * time.Millisecond)
	}
}

func record(key, value string) kafka.Record {
	return kafka.Record{Key: []byte(key), Value: []byte(value)}
}

func values(records []kafka.Record) []string {
	out := make([]string, len(records))
	for i := range records {
		out[i] = string(records[i].Value)
	}
	return out
}
