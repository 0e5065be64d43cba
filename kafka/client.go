package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/cenkalti/backoff/v5"
	kafkago "github.com/segmentio/kafka-go"
)

const (
	// requestTimeout bounds one request; half of it is what the broker is told.
	requestTimeout = 10 * time.Second
	// dialTimeout bounds a connection attempt with its negotiation of versions.
	dialTimeout = 5 * time.Second
	// metadataTTL bounds the age of what is known of leaders; an error refreshes it at once.
	metadataTTL = 5 * time.Second
	// refreshPause keeps a failing cluster from being asked for metadata by every partition.
	refreshPause = 250 * time.Millisecond

	// missingTopicAttempts is how often a topic that the cluster does not know is asked for again: about 3 s.
	missingTopicAttempts = 8
	// loggedFailure is the failure of an operation that is logged: earlier ones are usual in a young cluster,
	// later ones tell nothing new.
	loggedFailure = 3

	retryFirst = 20 * time.Millisecond
	retryMax   = time.Second
)

// Options of a Client.
type Options struct {
	Brokers  []string                                                          // host:port, any of the cluster's
	Dial     func(ctx context.Context, network, addr string) (net.Conn, error) // nil: TCP
	ClientID string                                                            // told to the broker; default "weir"
	Logger   *slog.Logger                                                      // nil discards
	Metrics  *metrics.Set                                                      // nil: a private set
}

// Client is a connection to a Kafka cluster: the root of producers, tails and groups. Safe for concurrent use.
type Client struct {
	opts      Options
	log       *slog.Logger
	metrics   *clientMetrics
	transport *kafkago.Transport
	api       *kafkago.Client

	mu        sync.Mutex
	refreshed time.Time
	queries   map[string]*query // by leader's address
	closed    bool
}

// New returns a client. It connects when first used.
func New(opts Options) (*Client, error) {
	if len(opts.Brokers) == 0 {
		return nil, errors.New("kafka: brokers: must name at least one")
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.Metrics == nil {
		opts.Metrics = metrics.NewSet()
	}
	if opts.ClientID == "" {
		opts.ClientID = "weir"
	}
	if opts.Dial == nil {
		opts.Dial = (&net.Dialer{Timeout: dialTimeout, KeepAlive: 15 * time.Second}).DialContext
	}
	transport := &kafkago.Transport{
		Dial:        opts.Dial,
		DialTimeout: dialTimeout,
		IdleTimeout: time.Minute,
		MetadataTTL: metadataTTL,
		ClientID:    opts.ClientID,
	}
	return &Client{
		opts:      opts,
		log:       opts.Logger,
		metrics:   newClientMetrics(opts.Metrics),
		transport: transport,
		api:       &kafkago.Client{Addr: kafkago.TCP(opts.Brokers...), Timeout: requestTimeout, Transport: transport},
		queries:   make(map[string]*query),
	}, nil
}

// Close gives up the client's connections. Producers, tails and groups made from it must be closed before.
func (c *Client) Close() {
	c.mu.Lock()
	queries := c.queries
	c.queries, c.closed = nil, true
	c.mu.Unlock()
	for _, q := range queries {
		q.close()
	}
	c.transport.CloseIdleConnections()
}

// Partitions returns the number of partitions of a topic.
func (c *Client) Partitions(ctx context.Context, topic string) (int, error) {
	t, err := c.topic(ctx, topic)
	if err != nil {
		return 0, fmt.Errorf("partitions of %s: %w", topic, err)
	}
	return len(t.Partitions), nil
}

// topic returns a topic's metadata, from the transport's cache. The caller answers for retries.
func (c *Client) topic(ctx context.Context, topic string) (*kafkago.Topic, error) {
	m, err := c.api.Metadata(ctx, &kafkago.MetadataRequest{Topics: []string{topic}})
	if err != nil {
		c.refresh()
		return nil, err
	}
	t := &m.Topics[0]
	if t.Error != nil {
		c.refresh()
		return nil, t.Error
	}
	return t, nil
}

// leader returns the address of the broker that leads a partition.
func (c *Client) leader(ctx context.Context, topic string, partition int) (string, error) {
	t, err := c.topic(ctx, topic)
	if err != nil {
		return "", err
	}
	for i := range t.Partitions {
		p := &t.Partitions[i]
		if p.ID != partition {
			continue
		}
		if p.Error != nil || p.Leader.Host == "" {
			c.refresh()
			return "", errors.Join(kafkago.LeaderNotAvailable, p.Error)
		}
		return brokerAddr(p.Leader), nil
	}
	return "", kafkago.UnknownTopicOrPartition
}

func brokerAddr(b kafkago.Broker) string {
	return net.JoinHostPort(b.Host, strconv.Itoa(b.Port))
}

// refresh makes the transport ask for metadata again. It has no call for that, so its pool is dropped;
// requests under way keep theirs.
func (c *Client) refresh() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); !c.closed && now.Sub(c.refreshed) >= refreshPause {
		c.refreshed = now
		c.transport.CloseIdleConnections()
	}
}

// retry calls op until it succeeds, fails for good, or ctx ends. A topic that stays unknown is a failure for
// good. The error of an ended ctx tells the last failure.
func (c *Client) retry(ctx context.Context, op func() error) error {
	pause := newBackOff()
	unknown := 0
	for failed := 1; ; failed++ {
		err := op()
		if err == nil || ctx.Err() != nil || !Retriable(err) {
			return err
		}
		reason := Classify(err)
		if reason != ReasonUnknownTopic {
			unknown = 0
		} else if unknown++; unknown > missingTopicAttempts {
			return err
		}
		if failed == loggedFailure {
			c.log.Warn("still trying", "reason", reason, "error", err)
		}
		c.refresh()
		if !sleep(ctx, pause.NextBackOff()) {
			return fmt.Errorf("%w (last: %w)", context.Cause(ctx), err)
		}
	}
}

func newBackOff() *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval, b.Multiplier = retryFirst, retryMax, 2
	b.Reset()
	return b
}

// sleep waits for d and reports false if ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
