package kafkatest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	kafkago "github.com/segmentio/kafka-go"

	"weir/kafka"
)

// RealBrokers is an Apache Kafka of several nodes on loopback ports, each of them broker and controller. Every partition
// has a replica on each, and a record is acknowledged when two have it: one node may be away.
type RealBrokers struct {
	nodes []*RealCluster
}

// StartRealBrokers starts n ≥ 3 nodes and waits until they answer, on what is in dir if they ran there before; the end of
// the test kills them. It needs what StartReal needs.
func StartRealBrokers(tb testing.TB, dir string, n int) *RealBrokers {
	tb.Helper()
	jars := needJars(tb)
	ports, err := freePorts(2 * n)
	if err != nil {
		tb.Fatal(err)
	}
	b := &RealBrokers{}
	voters := make([]string, n)
	for i := range n {
		voters[i] = fmt.Sprintf("%d@%s", i+1, ports[n+i])
		b.nodes = append(b.nodes, &RealCluster{dir: filepath.Join(dir, fmt.Sprintf("broker%d", i+1)), jars: jars, broker: ports[i]})
	}
	tb.Cleanup(b.Close)
	started := make(chan error, n)
	for i, c := range b.nodes {
		go func() {
			err := c.configureAs(i+1, ports[n+i], strings.Join(voters, ","), n)
			if err == nil {
				err = c.start()
			}
			started <- err
		}()
	}
	for range n {
		err = errors.Join(err, <-started)
	}
	if err != nil {
		tb.Fatalf("start Kafka of %d nodes: %v\n%s", n, err, b.nodes[0].log())
	}
	return b
}

// configureAs writes the files of node id of n.
func (c *RealCluster) configureAs(id int, controller, voters string, n int) error {
	if err := os.MkdirAll(c.dir, 0o700); err != nil {
		return err
	}
	setting := func(name string, value int) string { return fmt.Sprintf("%s=%d", name, value) }
	err := c.write(controller, voters,
		setting("node.id", id),
		setting("default.replication.factor", n), setting("min.insync.replicas", 2),
		setting("offsets.topic.replication.factor", n),
		setting("transaction.state.log.replication.factor", n), setting("transaction.state.log.min.isr", 2),
	)
	if err != nil {
		return err
	}
	return c.format()
}

// Options reach the cluster through any of its nodes.
func (b *RealBrokers) Options() kafka.Options {
	var o kafka.Options
	for _, c := range b.nodes {
		o.Brokers = append(o.Brokers, c.broker)
	}
	return o
}

// Close kills all nodes. It may be called again.
func (b *RealBrokers) Close() {
	for _, c := range b.nodes {
		c.Close()
	}
}

// Kill ends node i, counted from 0, without warning.
func (b *RealBrokers) Kill(i int) { b.nodes[i].Close() }

// Start runs node i again on its data and ports and waits until it answers.
func (b *RealBrokers) Start(i int) error {
	if err := b.nodes[i].start(); err != nil {
		return fmt.Errorf("start Kafka node %d: %w\n%s", i+1, err, b.nodes[i].log())
	}
	return nil
}

// Whole returns nil when every node has all that was acknowledged, so that any of them may be killed next.
func (b *RealBrokers) Whole(ctx context.Context) error {
	transport := &kafkago.Transport{}
	defer transport.CloseIdleConnections()
	client := &kafkago.Client{Addr: kafkago.TCP(b.Options().Brokers...), Transport: transport}
	m, err := client.Metadata(ctx, &kafkago.MetadataRequest{})
	if err != nil {
		return fmt.Errorf("ask for metadata: %w", err)
	}
	if len(m.Brokers) < len(b.nodes) {
		return fmt.Errorf("%d of %d nodes are there", len(m.Brokers), len(b.nodes))
	}
	for i := range m.Topics {
		for _, p := range m.Topics[i].Partitions {
			if len(p.Isr) < len(p.Replicas) {
				return fmt.Errorf("%s/%d: %d of %d replicas are in sync", p.Topic, p.ID, len(p.Isr), len(p.Replicas))
			}
		}
	}
	return nil
}
