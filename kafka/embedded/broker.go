package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/VictoriaMetrics/metrics"
	"github.com/twmb/franz-go/pkg/kfake"

	"weir/kafka"
)

var (
	// ErrLocked says that another process has the data directory open.
	ErrLocked = errors.New("data directory is in use by another process")
	// ErrDataLost says that a log ends before an offset that was given out: going on would use offsets anew.
	ErrDataLost = errors.New("data directory has lost records")
	// ErrUnknownPartition says that a topic or partition does not exist.
	ErrUnknownPartition = errors.New("unknown topic or partition")
	// ErrClosed is what a closed broker answers.
	ErrClosed = errors.New("embedded broker is closed")
)

// Options are the broker's dependencies and configuration.
type Options struct {
	// Dir holds all data; it is created if missing. Empty: everything in memory, gone at Close (for tests).
	Dir     string
	Logger  *slog.Logger // nil discards
	Metrics *metrics.Set // nil: a private set
	// Config is [DefaultConfig] if it is the zero value.
	Config Config
	// Retention bounds topics by name, once [Broker.SetFloor] was called. A topic that is not here is only
	// trimmed by [Broker.DeleteRecords].
	Retention map[string]Retention
}

// Broker is a Kafka broker inside this process. Its methods may be called by several goroutines.
type Broker struct {
	log       *slog.Logger
	dir       string
	metrics   *brokerMetrics
	retention map[string]Retention
	listener  *listener
	lock      *os.File // with the following two: nil without Dir
	syncer    *syncer
	journal   *journal
	floor     atomic.Pointer[Floor]

	stop    context.CancelFunc // ends the background goroutines
	running sync.WaitGroup

	failOnce sync.Once
	failed   chan struct{}
	failure  error // set before failed is closed

	trimMu sync.Mutex // held while a log is trimmed; guards journal

	mu      sync.RWMutex // held for reading around calls into cluster, which hang once it is closed
	cluster *kfake.Cluster
	closed  bool
}

// Open starts the broker on its data directory, which no other process may use meanwhile. It returns when
// everything that was ever acknowledged can be read again.
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
	b := &Broker{
		log:       o.Logger,
		dir:       o.Dir,
		metrics:   newMetrics(o.Metrics, o.Retention),
		retention: o.Retention,
		listener:  newListener(),
		stop:      func() {},
		failed:    make(chan struct{}),
	}
	if err := b.open(o.Config); err != nil {
		b.release()
		return nil, fmt.Errorf("embedded broker: %w", err)
	}
	return b, nil
}

func (b *Broker) open(c Config) (err error) {
	if b.dir != "" {
		if err = b.openDir(); err != nil {
			return err
		}
	}
	if b.cluster, err = kfake.NewCluster(b.clusterOptions(c)...); err != nil {
		return err
	}
	(&fencing{cluster: b.cluster, dial: b.listener.dial}).install()
	if b.dir == "" {
		return nil
	}
	if err = b.checkJournal(); err != nil {
		b.cluster.Close()
		return err
	}
	b.start(c)
	return nil
}

func (b *Broker) openDir() (err error) {
	if err = os.MkdirAll(b.dir, 0o700); err != nil {
		return fmt.Errorf("make data directory: %w", err)
	}
	if b.lock, err = lockDir(b.dir); err != nil {
		return err
	}
	if err = prepare(b.dir, b.log); err != nil {
		return err
	}
	b.syncer = newSyncer(b.dir)
	b.journal, err = readJournal(b.dir)
	return err
}

func (b *Broker) start(c Config) {
	var ctx context.Context
	ctx, b.stop = context.WithCancel(context.Background())
	b.running.Go(func() { b.syncer.run(ctx, c.SyncPeriod, b.syncFailed) })
	b.running.Go(func() { b.trimmer(ctx, c.TrimPeriod) })
}

// never is longer than any process lives, in milliseconds.
const never = "3155760000000"

// maxInt32 is the most that kfake reads of a setting of this size.
const maxInt32 = "2147483647"

func (b *Broker) clusterOptions(c Config) []kfake.Opt {
	opts := []kfake.Opt{
		kfake.NumBrokers(1),
		kfake.ClusterID("weir"),
		kfake.WithLogger(&logger{log: b.log, fail: b.fail}),
		kfake.ListenFn(func(string, string) (net.Listener, error) { return b.listener, nil }),
		kfake.BrokerConfigs(map[string]string{
			"log.segment.bytes": strconv.FormatInt(c.SegmentBytes, 10),
			// Its compaction and retention remove segments before their replacement is written, and run on
			// this one ticker for all topics as soon as any of them has a policy.
			"log.cleaner.backoff.ms": never,
			"log.retention.ms":       "-1",
			"log.retention.bytes":    "-1",
			// Forgetting an idle group's offsets or a fenced producer after a week would undo both.
			"offsets.retention.minutes":      maxInt32,
			"transactional.id.expiration.ms": maxInt32,
		}),
	}
	if b.dir != "" {
		opts = append(opts, kfake.DataDir(b.dir))
	}
	return opts
}

// Options are what a client needs to reach the broker; the other fields are the caller's.
func (b *Broker) Options() kafka.Options {
	return kafka.Options{Brokers: []string{address}, Dial: b.Dial}
}

// Dial connects to the broker in memory, whatever the address.
func (b *Broker) Dial(ctx context.Context, _, _ string) (net.Conn, error) {
	c, err := b.listener.dial(ctx)
	if errors.Is(err, ErrClosed) && b.Err() != nil {
		err = b.Err()
	}
	return c, err
}

// Failed is closed when the broker could not write to its directory (disk full, mostly). From then on it
// acknowledges nothing and refuses connections: the process should end, and be started when there is room.
func (b *Broker) Failed() <-chan struct{} { return b.failed }

// Err is why the broker failed; nil while it works.
func (b *Broker) Err() error {
	select {
	case <-b.failed:
		return b.failure
	default:
		return nil
	}
}

// fail may be called from inside of kfake, so it only ends the connections: before kfake can answer.
func (b *Broker) fail(cause error) {
	b.failOnce.Do(func() {
		b.failure = fmt.Errorf("embedded broker cannot write: %w", cause)
		b.metrics.failures.Inc()
		b.listener.cut()
		close(b.failed)
	})
}

func (b *Broker) syncFailed(err error) {
	b.metrics.syncErrors.Inc()
	b.fail(err) // after a failed fsync the kernel may have dropped what was acknowledged
}

// Close stops the broker, ends all connections and makes everything durable. Close clients first: what they
// have in flight gets no answer.
func (b *Broker) Close() error {
	b.stop()
	b.running.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil
	}
	b.closed = true
	defer b.release()
	b.recordEnds()
	b.listener.cut()
	b.cluster.Close()
	if b.dir == "" || b.Err() != nil {
		return b.Err()
	}
	err := errors.Join(b.syncer.all(), b.journal.write())
	if err == nil {
		err = writeJSON(filepath.Join(b.dir, cleanFile), struct{}{})
	}
	if err != nil {
		return fmt.Errorf("close embedded broker: %w", err)
	}
	return nil
}

func (b *Broker) release() {
	if b.lock != nil {
		_ = b.lock.Close() // and with it the lock
	}
}
