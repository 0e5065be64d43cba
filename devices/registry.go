package devices

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"weir/kafka"
)

// Keys of weir.devices.
const (
	metaPrefix = "meta/"
	connPrefix = "conn/"
	// layout is of the records' values.
	layout = 1
)

// Table is where the records are kept; *table.Table is one.
type Table interface {
	Ready() <-chan struct{}
	Watch(prefix string, fn func(key string, value []byte))
	Put(ctx context.Context, key string, value []byte) error
	PutAsync(ctx context.Context, key string, value []byte, done func(error))
	Delete(ctx context.Context, key string) error
}

// Producer stores records; *kafka.Producer is one.
type Producer interface {
	ProduceSync(ctx context.Context, topic string, partition int, recs []kafka.Record) (int64, error)
}

// Options are a Registry's dependencies.
type Options struct {
	Config Config
	// Changed is called when a device's metadata have changed, by the goroutine that reads the table: it must not block. nil:
	// nobody wants to know.
	Changed func(device string)
	// Table of weir.devices, which does not run yet.
	Table Table
	// Producer and Partitions are for the command that deletes a device from weir.readings' consumers.
	Producer   Producer
	Partitions int
	// Node names this instance in presence records.
	Node string
	// Alive reports whether an instance is there. nil: all are.
	Alive func(node string) bool
	// Submit stores a frame of a device, as if it had sent it: its last will. nil: wills with readings are refused.
	Submit func(ctx context.Context, device string, frame []byte) error
	// Quota is how many readings a second a device may send, and at once; 0: as many as it likes. nil: not known.
	Quota   func(device string) (perSecond float64, burst int)
	Logger  *slog.Logger
	Metrics *metrics.Set
	// Now is the clock; nil: time.Now.
	Now func() time.Time
}

// Registry knows the devices.
type Registry struct {
	opts   Options
	cfg    Config
	table  Table
	log    *slog.Logger
	m      *instruments
	now    func() time.Time
	shards *shards
	began  time.Time
	// missing is since when instances have not been seen, in microseconds since the start. It is Run's.
	missing map[string]int64

	// known is what weir.devices says, decoded.
	known struct {
		sync.RWMutex
		metas map[string]*storedMeta
		conns map[string]*storedPresence
		shed  map[string]struct{} // deletions for age that are under way
	}
	// writes gives each device's metadata one writer at a time.
	writes [shardCount]sync.Mutex

	queue queue
	wills chan willing
}

// New checks the options and watches the table, which has to run only after that.
func New(o Options) (*Registry, error) {
	if err := o.Config.Validate(); err != nil {
		return nil, err
	}
	if o.Table == nil || o.Producer == nil || o.Partitions <= 0 || o.Node == "" {
		return nil, errors.New("devices: a table, a producer, the number of partitions and the node's name are required")
	}
	r := &Registry{
		opts: o, cfg: o.Config, table: o.Table, log: o.Logger, now: o.Now,
		shards: newShards(o.Config.MaxTracked), wills: make(chan willing, maxWills),
	}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	if r.now == nil {
		r.now = time.Now
	}
	if o.Metrics == nil {
		o.Metrics = metrics.NewSet()
	}
	r.began, r.missing = time.Now(), make(map[string]int64)
	r.known.metas = make(map[string]*storedMeta)
	r.known.conns = make(map[string]*storedPresence)
	r.known.shed = make(map[string]struct{})
	r.queue.init()
	r.m = newInstruments(o.Metrics, r)
	r.table.Watch(metaPrefix, r.watchMeta)
	r.table.Watch(connPrefix, r.watchPresence)
	return r, nil
}

func (r *Registry) micros() int64 { return r.now().UnixMicro() }

// up is how long the registry has been there, in microseconds, whatever the clock is set to; never 0.
func (r *Registry) up() int64 { return time.Since(r.began).Microseconds() + 1 }

func (r *Registry) instant() instant { return instant{wall: r.micros(), up: r.up()} }

// storedMeta is the record meta/<device>.
type storedMeta struct {
	V       int    `json:"v"`
	Version uint64 `json:"version"`
	// Updated is when, in microseconds, By who wrote it.
	Updated int64           `json:"updated"`
	By      string          `json:"by"`
	Raw     json.RawMessage `json:"metadata"`

	meta *Meta
	// read is when it came, in microseconds since the start.
	read int64
}

func (m *storedMeta) decode() error {
	meta, refusal := DecodeMeta(m.Raw, "")
	if refusal != nil {
		return refusal
	}
	m.meta = meta
	return nil
}

// storedPresence is the record conn/<device>. Times are in microseconds.
type storedPresence struct {
	V         int    `json:"v"`
	State     string `json:"state"`
	Since     int64  `json:"since"`
	Node      string `json:"node"`
	Transport string `json:"transport,omitempty"`
	Principal string `json:"principal,omitempty"`
	Remote    string `json:"remote,omitempty"`
	// Text is the device's last will, if that was a text.
	Text string `json:"text,omitempty"`

	state State
}

func (r *Registry) watchMeta(key string, value []byte) {
	device := strings.TrimPrefix(key, metaPrefix)
	var m *storedMeta
	if value != nil {
		m = new(storedMeta)
		err := json.Unmarshal(value, m)
		if err == nil && m.V != layout {
			err = errors.New("unknown layout")
		}
		if err == nil {
			m.read, err = r.up(), m.decode()
		}
		if err != nil {
			r.m.unreadable.Inc()
			r.log.Warn("metadata cannot be read", "device", device, "error", err)
			return
		}
	}
	r.setKnown(device, m)
	if r.opts.Changed != nil {
		r.opts.Changed(device)
	}
}

func (r *Registry) setKnown(device string, m *storedMeta) {
	r.known.Lock()
	defer r.known.Unlock()
	if m == nil {
		delete(r.known.metas, device)
		return
	}
	r.known.metas[device] = m
}

func (r *Registry) watchPresence(key string, value []byte) {
	device := strings.TrimPrefix(key, connPrefix)
	var p *storedPresence
	if value != nil {
		p = new(storedPresence)
		if err := json.Unmarshal(value, p); err != nil || p.V != layout {
			r.m.unreadable.Inc()
			r.log.Warn("presence cannot be read", "device", device, "error", err)
			return
		}
		p.state, _ = ParseState(p.State)
	}
	r.known.Lock()
	if p == nil {
		delete(r.known.conns, device)
	} else {
		r.known.conns[device] = p
	}
	r.known.Unlock()
	if p == nil {
		if !r.unshed(device) {
			r.deleted(device)
		}
		return
	}
	r.contradict(device, p)
}

func (r *Registry) storedMeta(device string) *storedMeta {
	r.known.RLock()
	defer r.known.RUnlock()
	return r.known.metas[device]
}

func (r *Registry) storedPresence(device string) *storedPresence {
	r.known.RLock()
	defer r.known.RUnlock()
	return r.known.conns[device]
}

// Meta is what is said about a device.
func (r *Registry) Meta(device string) (*Meta, bool) {
	if s := r.storedMeta(device); s != nil {
		return s.meta, true
	}
	return nil, false
}

// Labels are the numbers that the values of a metric are named by, or nil.
func (r *Registry) Labels(device, metric string) map[string]float64 {
	r.known.RLock()
	defer r.known.RUnlock()
	if s := r.known.metas[device]; s != nil {
		if m := s.meta.Metrics[metric]; m != nil {
			return m.Labels
		}
	}
	return nil
}

// interval is how often readings are expected from a device.
func (r *Registry) interval(device string) time.Duration {
	if m, ok := r.Meta(device); ok && m.ExpectedInterval > 0 {
		return m.ExpectedInterval
	}
	return r.cfg.ExpectedInterval
}
