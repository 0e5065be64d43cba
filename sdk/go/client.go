package device

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"weir/telemetry"
	"weir/wire"
)

// ErrClosed says that the client was closed.
var ErrClosed = errors.New("the client is closed")

// Client sends the readings of one device. Its methods are safe for concurrent use.
type Client struct {
	o     Options
	enc   *encoder
	log   *slog.Logger
	wake  chan struct{}      // to run: there may be something to do
	cut   chan time.Duration // to run: drop the connection, and stay away for so long
	ctx   context.Context    // ends with the client
	end   context.CancelFunc
	done  chan struct{} // run has returned
	count counters

	results  chan result // to run: of commands, and of the token source
	commands []Command   // run's: they wait
	busy     bool        // run's: one is being carried out
	work     sync.WaitGroup

	mu      sync.Mutex
	queue   queue
	store   store
	seq     uint64 // the highest given
	online  bool   // a connection is in use, so new frames are live
	hello   []byte // the message, nil without one
	greet   bool   // the message is to be sent on the connection of now
	closing bool
	failure error         // why the client has given up
	moved   chan struct{} // closed when a frame leaves or the client ends; nil while nobody waits

	batchMu sync.Mutex // taken before mu
	batch   []Reading
	timer   *time.Timer
}

// New checks the options, opens the buffer and begins to connect. It does not wait for the network; Close ends what
// it has started.
func New(o Options) (*Client, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("device: %w", err)
	}
	id := identity{device: o.Device, session: o.Session, columns: o.Columns}
	if id.session == "" && o.Buffer.path == "" {
		id.session = rand.Text()
	}
	stored, left, err := o.Buffer.open(id)
	if err != nil {
		return nil, fmt.Errorf("device: %w", err)
	}
	c := &Client{
		o: o, log: o.Logger.With("device", o.Device),
		enc:  newEncoder(o.Device, left.session, o.Columns),
		wake: make(chan struct{}, 1), cut: make(chan time.Duration, 1), done: make(chan struct{}),
		results: make(chan result, 1),
		store:   stored, seq: left.seq,
	}
	for _, e := range left.entries {
		c.queue.add(e)
	}
	c.ctx, c.end = context.WithCancel(context.Background())
	go c.run()
	return c, nil
}

// Session is the one that frames are numbered in.
func (c *Client) Session() string { return c.enc.session }

// Send puts one frame of at most 4,096 readings into the buffer and returns its number in the session. It waits
// only under the policy Wait, until ctx ends. A batch begun by Publish stays where it is.
func (c *Client) Send(ctx context.Context, readings ...Reading) (seq uint64, err error) {
	if len(readings) == 0 || len(readings) > telemetry.MaxReadingsPerRecord {
		return 0, fmt.Errorf("device: a frame holds 1 to %d readings, not %d", telemetry.MaxReadingsPerRecord, len(readings))
	}
	own := false
	for i := range readings {
		if err := check(&readings[i]); err != nil {
			return 0, err
		}
		if readings[i].Time == 0 {
			if !own {
				readings, own = slices.Clone(readings), true
			}
			readings[i].Time = time.Now().UnixMicro()
		}
	}
	if c.o.Buffer.limits.WhenFull != Wait {
		return c.push(readings)
	}
	err = c.patiently(ctx, func() (err error) {
		seq, err = c.push(readings)
		return err
	})
	return seq, err
}

// push makes a frame and puts it into the buffer.
func (c *Client) push(readings []Reading) (seq uint64, err error) {
	body := c.enc.body(readings)
	if len(body) > wire.MaxFrameBytes-1024 {
		return 0, fmt.Errorf("device: a frame of %d bytes is too large", len(body))
	}
	e := &entry{at: time.Now().UnixMilli(), readings: len(readings), size: len(body), body: body}
	c.mu.Lock()
	dropped, err := c.pushLocked(e)
	c.mu.Unlock()
	for _, d := range dropped {
		c.log.Warn("frame dropped for want of room", "seq", d.seq, "readings", d.readings)
		if c.o.OnDropped != nil {
			c.o.OnDropped(d.seq, d.readings)
		}
	}
	if err != nil {
		return 0, err
	}
	c.signal()
	return e.seq, nil
}

func (c *Client) pushLocked(e *entry) (dropped []*entry, err error) {
	if err := c.usableLocked(); err != nil {
		return nil, err
	}
	limits := &c.o.Buffer.limits
	if int64(e.size) > limits.Bytes {
		return nil, fmt.Errorf("device: a frame of %d bytes is larger than the buffer", e.size)
	}
	for c.queue.len() >= limits.Frames || c.queue.bytes+int64(e.size) > limits.Bytes {
		if limits.WhenFull != DropOldest {
			return dropped, ErrFull
		}
		old := c.queue.oldest()
		if old == nil {
			return dropped, ErrFull
		}
		if err := c.store.remove(old); err != nil {
			return dropped, err
		}
		c.count.drop(old.readings)
		dropped = append(dropped, old)
	}
	if c.online {
		e.lane = live
	}
	e.seq = c.seq + 1
	if err := c.store.put(e); err != nil {
		return dropped, err
	}
	c.seq++
	c.queue.add(e)
	return dropped, nil
}

// Birth is what a device says of itself. Both marshal to JSON objects as the protocol describes them; nil leaves out.
type Birth struct {
	// Metadata has units, expected interval, location and so on.
	Metadata any `json:"metadata,omitempty"`
	// Will is what the server is to record when the connection is lost without a farewell.
	Will any `json:"will,omitempty"`
}

// Hello tells the server about the device: now, and again on each connection.
func (c *Client) Hello(b Birth) error {
	message, err := json.Marshal(struct {
		Type    string `json:"type"`
		Payload any    `json:"payload"`
	}{typeHello, struct {
		Device string `json:"device"`
		Birth
	}{c.o.Device, b}})
	if err != nil {
		return fmt.Errorf("device: hello: %w", err)
	}
	c.mu.Lock()
	c.hello, c.greet = message, true
	c.mu.Unlock()
	c.signal()
	return nil
}

// Interrupt drops the connection without a farewell, as a network that fails does, and stays away for that long. It
// is for tests of what a device does then.
func (c *Client) Interrupt(away time.Duration) {
	select {
	case c.cut <- away:
	default:
	}
}

// Done closes when the client has given up (see Err) or was closed.
func (c *Client) Done() <-chan struct{} { return c.done }

// Err is why the client has given up: the server forbade to come back, or too many attempts failed. It is nil as
// long as the client goes on.
func (c *Client) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.failure
}
