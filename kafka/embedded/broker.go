package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"sync"

	"github.com/VictoriaMetrics/metrics"
	"github.com/twmb/franz-go/pkg/kfake"
)

// ErrLocked says that another process has the data directory open.
var ErrLocked = errors.New("data directory is in use by another process")

// Options are the broker's dependencies and configuration.
type Options struct {
	// Dir holds all data; it is created if missing. Empty: everything in memory, gone at Close (for tests).
	Dir     string
	Logger  *slog.Logger
	Metrics *metrics.Set
	// Config is [DefaultConfig] if it is the zero value.
	Config Config
}

// Broker is a Kafka broker inside this process. All methods may be called by several goroutines.
type Broker struct {
	log      *slog.Logger
	dir      string
	lock     *os.File // nil without Dir
	listener *listener

	mu      sync.RWMutex // held for reading around every call into cluster: its calls hang once it is closed
	cluster *kfake.Cluster
	closed  bool
}

// Open starts the broker on its data directory, alone.
func Open(o Options) (*Broker, error) {
	if o.Config == (Config{}) {
		o.Config = DefaultConfig()
	}
	if err := o.Config.Validate(); err != nil {
		return nil, fmt.Errorf("embedded broker: %w", err)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	b := &Broker{log: o.Logger, dir: o.Dir, listener: newListener()}
	if err := b.open(o); err != nil {
		b.release()
		return nil, fmt.Errorf("embedded broker: %w", err)
	}
	return b, nil
}

func (b *Broker) open(o Options) (err error) {
	if b.dir != "" {
		if err = os.MkdirAll(b.dir, 0o700); err != nil {
			return fmt.Errorf("make data directory: %w", err)
		}
		if b.lock, err = lockDir(b.dir); err != nil {
			return err
		}
	}
	b.cluster, err = kfake.NewCluster(b.clusterOptions(o.Config)...)
	return err
}

func (b *Broker) clusterOptions(c Config) []kfake.Opt {
	opts := []kfake.Opt{
		kfake.NumBrokers(1),
		kfake.ClusterID("weir"),
		kfake.ListenFn(func(string, string) (net.Listener, error) { return b.listener, nil }),
		kfake.BrokerConfigs(map[string]string{
			"log.segment.bytes": strconv.FormatInt(c.SegmentBytes, 10),
		}),
	}
	if b.dir != "" {
		opts = append(opts, kfake.DataDir(b.dir))
	}
	return opts
}

// Brokers are the addresses to give to a client together with [Broker.Dial].
func (b *Broker) Brokers() []string { return []string{address} }

// Dial connects to the broker in memory, whatever the address.
func (b *Broker) Dial(ctx context.Context, _, _ string) (net.Conn, error) {
	return b.listener.dial(ctx)
}

// Close stops the broker and ends all connections. Clients should be closed before.
func (b *Broker) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil
	}
	b.closed = true
	b.cluster.Close()
	b.listener.cut()
	b.release()
	return nil
}

func (b *Broker) release() {
	if b.lock != nil {
		b.lock.Close()
	}
}
