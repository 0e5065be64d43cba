package commands

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"weir/kafka"
	"weir/wire"
)

// Producer stores records; *kafka.Producer is one.
type Producer interface {
	Produce(ctx context.Context, topic string, partition int, recs []kafka.Record, done func(base int64, err error)) error
}

// Options are a Hub's dependencies.
type Options struct {
	Config     Config
	Client     *kafka.Client
	Producer   Producer
	Partitions int // of weir.messages
	Logger     *slog.Logger
	Metrics    *metrics.Set
}

// Hub knows the commands of all devices, and hands them to those who are attached here. Its methods are safe for
// concurrent use.
type Hub struct {
	cfg        Config
	client     *kafka.Client
	producer   Producer
	partitions int
	log        *slog.Logger
	metrics    instruments

	mu      sync.Mutex
	state   *state
	applied []int64       // the next offset of each partition
	changed chan struct{} // closed and made anew when something was applied
	loading int
	ready   chan struct{}
	devices atomic.Int64
}

// New makes a Hub. It knows nothing before Run has read the topic.
func New(o Options) (*Hub, error) {
	if err := o.Config.Validate(); err != nil {
		return nil, err
	}
	if o.Producer == nil || o.Partitions <= 0 {
		return nil, errors.New("commands: a producer and the number of partitions are required")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Metrics == nil {
		o.Metrics = metrics.NewSet()
	}
	h := &Hub{
		cfg: o.Config, client: o.Client, producer: o.Producer, partitions: o.Partitions, log: o.Logger,
		state: newState(o.Config), applied: make([]int64, o.Partitions),
		changed: make(chan struct{}), ready: make(chan struct{}), loading: o.Partitions,
	}
	h.metrics = newInstruments(o.Metrics, h)
	return h, nil
}

// Ready is closed when all that was there at the start has been read.
func (h *Hub) Ready() <-chan struct{} { return h.ready }

// Attach has deliver called for every command of the device that is waiting, and for those that come. detach ends
// that; it may be called more than once. deliver must not block, nor call the Hub; true counts as delivered, and who
// returns false says so later, with Delivered.
func (h *Hub) Attach(device string, deliver func(*Command) bool) (detach func()) {
	h.mu.Lock()
	a := &attachment{deliver}
	b := h.state.box(device)
	b.attached = append(b.attached, a)
	h.devices.Add(1)
	now := time.Now()
	var delivered []delivery
	for _, e := range b.entries {
		if !e.status.Finished() && now.Before(e.Expires) && h.handLocked(a, e) {
			delivered = append(delivered, delivery{device, e.ID})
		}
	}
	h.mu.Unlock()
	h.note(delivered...)
	return sync.OnceFunc(func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		b.attached = slices.DeleteFunc(b.attached, func(other *attachment) bool { return other == a })
		h.devices.Add(-1)
		h.state.tidy(device)
	})
}

func (h *Hub) handLocked(a *attachment, e *entry) bool {
	h.metrics.handed.Inc()
	return a.deliver(&e.Command)
}

// noticeTimeout bounds how long it is waited for room in the producer's buffer to note deliveries, however many.
const noticeTimeout = time.Second

// Delivered notes that a device has got a command. It does not wait until that is stored.
func (h *Hub) Delivered(device, id string) { h.note(delivery{device, id}) }

// delivery is a command that a device has got.
type delivery struct{ device, id string }

func (h *Hub) note(all ...delivery) {
	if len(all) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), noticeTimeout)
	defer cancel()
	for _, d := range all {
		h.noteOne(ctx, d.device, d.id)
	}
}

func (h *Hub) noteOne(ctx context.Context, device, id string) {
	h.mu.Lock()
	e := h.find(device, id)
	news := e != nil && e.status == Pending
	h.mu.Unlock()
	if news {
		h.write(ctx, device, &record{Type: typeDelivered, ID: id, At: time.Now().UnixMilli()}, func(int64, error) {})
	}
}

// Result stores what a device answers. done is called once, when Kafka has acknowledged it, with nil or an
// *wire.Error: command_unknown, command_expired, not_stored. It must not block. Further results of a command are acknowledged
// and left out.
func (h *Hub) Result(ctx context.Context, device, id string, r Result, done func(error)) {
	h.mu.Lock()
	e := h.find(device, id)
	status := Pending
	if e != nil {
		if status = e.status; !status.Finished() && !time.Now().Before(e.Expires) {
			status = Expired
		}
	}
	h.mu.Unlock()
	switch {
	case e == nil:
		done(wire.NewError(wire.CodeCommandUnknown, ""))
		return
	case status == Expired:
		done(wire.NewError(wire.CodeCommandExpired, ""))
		return
	case status.Finished():
		done(nil)
		return
	}
	h.write(ctx, device, &record{Type: typeResult, ID: id, At: time.Now().UnixMilli(), Result: &r}, func(_ int64, err error) {
		if err != nil {
			done(wire.NewError(wire.CodeNotStored, ""))
			return
		}
		done(nil)
	})
}

func (h *Hub) find(device, id string) *entry {
	if b := h.state.boxes[device]; b != nil {
		return b.find(id)
	}
	return nil
}

// write produces a record; done is called once.
func (h *Hub) write(ctx context.Context, device string, r *record, done func(int64, error)) {
	value, err := r.encode()
	if err == nil {
		err = h.producer.Produce(ctx, wire.TopicMessages, kafka.PartitionFor(device, h.partitions),
			[]kafka.Record{{Time: r.At, Key: []byte(device), Value: value}}, done)
	}
	if err != nil {
		h.metrics.unstored.Inc()
		done(-1, err)
	}
}

// apply takes a record of the log. It returns the command that was delivered by that, if any.
func (h *Hub) apply(device string, value []byte, now time.Time) (d delivery, delivered bool) {
	r, err := decodeRecord(value)
	if errors.Is(err, errOther) {
		return d, false
	}
	if err != nil {
		h.metrics.malformed.Inc()
		return d, false
	}
	return delivery{device, r.ID}, h.applyLocking(device, r, now)
}

// applyLocking reports whether a command was delivered.
func (h *Hub) applyLocking(device string, r *record, now time.Time) (delivered bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	e := h.find(device, r.ID)
	switch {
	case r.Type == typeCommand && e == nil:
		return h.takeLocked(r.command(device), now)
	case r.Type == typeCommand || e == nil || e.status.Finished():
		// A repetition, or about something that is over.
	case r.Type == typeDelivered && e.status == Pending:
		e.status, e.delivered = Delivered, time.UnixMilli(r.At)
	case r.Type == typeResult:
		status := Done
		if !r.Result.OK {
			status = Failed
		}
		h.metrics.finished[status].Inc()
		h.state.finish(e, status, time.UnixMilli(r.At), *r.Result)
	}
	return false
}

func (h *Hub) takeLocked(c Command, now time.Time) (delivered bool) {
	over := !now.Before(c.Expires)
	if over && h.loading > 0 {
		return false // of a time before this process
	}
	e, ok := h.state.add(c)
	if !ok {
		h.metrics.dropped.Inc()
		return false
	}
	if over { // while it was being stored: nobody gets it, and whoever asks is told
		h.metrics.finished[Expired].Inc()
		h.state.finish(e, Expired, c.Expires, Result{})
		return false
	}
	for _, a := range h.state.boxes[c.Device].attached {
		if h.handLocked(a, e) {
			delivered = true
		}
	}
	return delivered
}

func (h *Hub) expire(now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.metrics.finished[Expired].Add(h.state.expire(now))
}
