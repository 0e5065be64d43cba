package bench

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"

	"github.com/HdrHistogram/hdrhistogram-go"

	"weir/internal/wsframe"
)

// Dialect is what a swarm has to know of a protocol: how to count deliveries without decoding them. A byte is found
// faster than a server can send, so that the readers cost little beside it on the same machine.
type Dialect struct {
	// Marker is in every delivery once, and PerMessage times in the rest of a message that has any.
	Marker     byte
	PerMessage int
	// Kind is the byte at KindAt of messages that hold deliveries; 0: all do.
	Kind   byte
	KindAt int
	// Decode is given the whole messages of some connections, and what it learns goes to the probe.
	Decode func(p *Probe, now int64, text []byte)
}

// SwarmOptions are many connections that read.
type SwarmOptions struct {
	Dialect
	// Address is the server's, Paths the requests' paths and queries by connection.
	Address string
	Path    func(i int) string
	// Hello are the messages to send by connection. It is ready when Ready has come ReadyCount times.
	Hello      func(i int) []string
	Ready      string
	ReadyCount int
	Conns      int
	// Probes is how many of the connections, evenly spread, have all that they read decoded.
	Probes int
	// Sources are local addresses to connect from, in turn. One has some 28,000 ports. None: as the system likes.
	Sources []string
	// ReceiveBuffer is the kernel's, in bytes; 0: as the system likes.
	ReceiveBuffer int
	// Stalled connections read nothing once they are ready.
	Stalled bool
}

// Swarm is connections that count what they receive. One goroutine reads all.
type Swarm struct {
	options SwarmOptions
	conns   []swarmConn
	reader  poller
	wait    sync.WaitGroup

	recording                atomic.Bool
	rows, messages, received atomic.Int64
	ended                    atomic.Int64

	mu      sync.Mutex
	endings map[string]int
	push    *hdrhistogram.Histogram
	device  *hdrhistogram.Histogram
	faults  Faults
	probed  int64
	told    int64 // readings
	newest  int64 // time of the newest reading, µs
}

// Faults are what a probe has found wrong: rows that do not begin where the row before ended.
type Faults struct {
	Gaps    int64 `json:"gaps"`
	Replays int64 `json:"replays"`
}

// swarmConn is one connection. It belongs to who reads from it.
type swarmConn struct {
	swarm  *Swarm
	fd     int
	handed atomic.Bool // to the reader
	header wsframe.Header
	begun  bool
	counts bool // the message holds deliveries
	probe  *Probe
	left   uint64 // of the frame's payload
	at     uint64 // how much of it has come
	aside  []byte // of a control frame
	tally  tally
}

type tally struct{ rows, messages, received int64 }

// Probe is a connection whose messages are decoded.
type Probe struct {
	swarm *Swarm
	text  []byte
	// told is the newest version by view and series.
	told map[int64][]int64
}

var errClosed = errors.New("closed by the server")

// feed takes bytes that were read.
func (c *swarmConn) feed(p []byte, now int64) error {
	c.tally.received += int64(len(p))
	for len(p) > 0 {
		if !c.begun {
			complete := c.header.Add(p[0])
			if p = p[1:]; !complete {
				continue
			}
			c.begin()
		}
		n := min(uint64(len(p)), c.left)
		c.payload(p[:n])
		p = p[n:]
		c.at += n
		if c.left -= n; c.left == 0 {
			if err := c.end(now); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *swarmConn) begin() {
	c.begun, c.at, c.left = true, 0, c.header.Payload()
	c.counts = c.header.IsData() && c.swarm.options.Kind == 0
}

func (c *swarmConn) payload(chunk []byte) {
	o := &c.swarm.options
	if !c.header.IsData() {
		c.aside = append(c.aside, chunk...)
		return
	}
	if at := uint64(o.KindAt); o.Kind != 0 && c.at <= at && at < c.at+uint64(len(chunk)) {
		c.counts = chunk[at-c.at] == o.Kind
	}
	if c.counts {
		c.tally.rows += int64(bytes.Count(chunk, []byte{o.Marker}))
	}
	if c.probe != nil {
		c.probe.text = append(c.probe.text, chunk...)
	}
}

func (c *swarmConn) end(now int64) error {
	c.begun = false
	opcode := c.header.Opcode()
	c.header.Reset()
	if opcode < wsframe.OpClose {
		if c.counts {
			c.tally.messages++
			c.tally.rows -= int64(c.swarm.options.PerMessage)
		}
		if c.probe != nil {
			c.swarm.options.Decode(c.probe, now, c.probe.text)
			c.probe.text = c.probe.text[:0]
		}
		return nil
	}
	aside := c.aside
	c.aside = nil
	switch opcode {
	case wsframe.OpPing:
		return c.pong(aside)
	case wsframe.OpClose:
		if len(aside) >= 2 {
			return fmt.Errorf("%w: %d %s", errClosed, binary.BigEndian.Uint16(aside), aside[2:])
		}
		return errClosed
	}
	return nil
}

// count adds what a connection has counted to the sums.
func (s *Swarm) count(t *tally) {
	if s.recording.Load() {
		s.rows.Add(t.rows)
		s.messages.Add(t.messages)
		s.received.Add(t.received)
	}
	*t = tally{}
}

// lose notes that a connection has ended.
func (s *Swarm) lose(err error) {
	s.ended.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.endings[err.Error()]++
}

// Received is what the connections of a swarm have counted, and their probes have seen.
type Received struct {
	// Rows are deliveries, Messages what they came in, Bytes all that was read.
	Rows, Messages, Bytes int64
	// Push is the time from when the server made a message until it was read, Device from when its newest reading was
	// due at the device (µs).
	Push, Device *hdrhistogram.Histogram
	// Probed is how many rows were decoded; Faults are theirs.
	Probed int64
	Faults Faults
	// Readings is for how many readings those rows stand.
	Readings int64
	// Endings are how connections ended, by reason.
	Endings map[string]int
}

// Record forgets what was counted and counts from now on.
func (s *Swarm) Record() {
	s.mu.Lock()
	s.push, s.device = hdrhistogram.New(minLatency, maxLatency, 3), hdrhistogram.New(minLatency, maxLatency, 3)
	s.probed, s.told = 0, 0
	s.mu.Unlock()
	s.rows.Store(0)
	s.messages.Store(0)
	s.received.Store(0)
	s.recording.Store(true)
}

// Recorded ends that.
func (s *Swarm) Recorded() Received {
	s.recording.Store(false)
	s.mu.Lock()
	defer s.mu.Unlock()
	r := Received{
		Rows: s.rows.Load(), Messages: s.messages.Load(), Bytes: s.received.Load(), Push: s.push, Device: s.device, Probed: s.probed, Faults: s.faults, Readings: s.told,
		Endings: make(map[string]int),
	}
	for reason, n := range s.endings {
		r.Endings[reason] = n
	}
	return r
}

// Seen takes a row that a probe was told, of so many readings, and when it was made by the server's clock and by the
// device's (µs); 0: it is not known.
func (p *Probe) Seen(now, readings, pushed, due int64) {
	s := p.swarm
	s.mu.Lock()
	defer s.mu.Unlock()
	s.newest = max(s.newest, due)
	if !s.recording.Load() {
		return
	}
	s.probed++
	s.told += readings
	if pushed != 0 {
		_ = s.push.RecordValue(min(maxLatency, max(minLatency, now-pushed)))
	}
	if due != 0 {
		_ = s.device.RecordValue(min(maxLatency, max(minLatency, now-due)))
	}
}

// newestReading is the time of the newest reading that a probe was told of (µs); 0: there was none.
func (s *Swarm) newestReading() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.newest
}

// follow checks that a row begins where the one before ended. Without one before it begins a chain.
func (p *Probe) follow(view, i, version, since int64, snapshot bool) {
	const unknown = math.MinInt64
	told := p.told[view]
	for int64(len(told)) <= i {
		told = append(told, unknown)
	}
	if before := told[i]; before != unknown && !snapshot && since != before {
		p.swarm.mu.Lock()
		if since > before {
			p.swarm.faults.Gaps++
		} else {
			p.swarm.faults.Replays++
		}
		p.swarm.mu.Unlock()
	}
	told[i] = version
	if p.told == nil {
		p.told = make(map[int64][]int64)
	}
	p.told[view] = told
}
