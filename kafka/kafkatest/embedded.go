package kafkatest

import (
	"context"
	"net"
	"sync"
	"testing"

	kafkago "github.com/segmentio/kafka-go"

	"weir/kafka"
	"weir/kafka/embedded"
)

// Embedded opens the embedded broker on a directory of the test's.
func Embedded(tb testing.TB) Cluster {
	tb.Helper()
	c := &embeddedCluster{dir: tb.TempDir()}
	c.open(tb)
	return c
}

type embeddedCluster struct {
	dir string

	mu     sync.Mutex
	broker *embedded.Broker
}

func (c *embeddedCluster) open(tb testing.TB) {
	tb.Helper()
	b, err := embedded.Open(embedded.Options{Dir: c.dir})
	if err != nil {
		tb.Fatalf("open embedded broker: %v", err)
	}
	c.mu.Lock()
	c.broker = b
	c.mu.Unlock()
	if err := c.allowShortSessions(); err != nil {
		tb.Fatalf("configure embedded broker: %v", err)
	}
}

// allowShortSessions lets tests of groups wait for seconds less: the broker's least session is 6 s.
func (c *embeddedCluster) allowShortSessions() error {
	opts := c.Options()
	transport := &kafkago.Transport{Dial: opts.Dial}
	defer transport.CloseIdleConnections()
	client := &kafkago.Client{Addr: kafkago.TCP(opts.Brokers...), Transport: transport}
	_, err := client.IncrementalAlterConfigs(context.Background(), &kafkago.IncrementalAlterConfigsRequest{
		Resources: []kafkago.IncrementalAlterConfigsRequestResource{{
			ResourceType: kafkago.ResourceTypeBroker, ResourceName: "0",
			Configs: []kafkago.IncrementalAlterConfigsRequestConfig{{
				Name: "group.min.session.timeout.ms", Value: "100",
			}},
		}},
	})
	return err
}

func (c *embeddedCluster) current() *embedded.Broker {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.broker
}

// Options dial whichever broker is open.
func (c *embeddedCluster) Options() kafka.Options {
	opts := c.current().Options()
	opts.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		return c.current().Dial(ctx, network, addr)
	}
	return opts
}

func (c *embeddedCluster) DeleteRecords(ctx context.Context, topic string, partition int, before int64) error {
	return c.current().DeleteRecords(ctx, topic, partition, before)
}

// Restart closes the broker and opens it again on the same directory. (How it dies without warning is
// tested in its own package, in a process of its own.)
func (c *embeddedCluster) Restart(tb testing.TB) {
	tb.Helper()
	c.Close()
	c.open(tb)
}

func (c *embeddedCluster) Close() { _ = c.current().Close() }
