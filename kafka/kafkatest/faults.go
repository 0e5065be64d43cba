package kafkatest

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"

	"weir/kafka"
)

// Faults breaks connections on purpose: put it into a client's options with Apply.
type Faults struct {
	mu       sync.Mutex
	dial     func(ctx context.Context, network, addr string) (net.Conn, error)
	conns    map[*faultyConn]struct{}
	answers  int // produce answers still to be lost
	requests int // produce requests seen
	down     bool
}

var errCut = errors.New("connection cut by the test")

// Apply routes the options' connections through f.
func (f *Faults) Apply(o *kafka.Options) {
	f.dial = o.Dial
	if f.dial == nil {
		f.dial = (&net.Dialer{}).DialContext
	}
	f.conns = make(map[*faultyConn]struct{})
	o.Dial = f.connect
}

// LoseAnswers makes the next n produce requests reach the broker and be carried out, and their answers be
// lost together with the connection.
func (f *Faults) LoseAnswers(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answers = n
}

// Left is how many answers are still to be lost.
func (f *Faults) Left() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.answers
}

// Requests is how many produce requests were sent.
func (f *Faults) Requests() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.requests
}

// Cut ends all connections; SetDown also refuses new ones.
func (f *Faults) Cut() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for c := range f.conns {
		_ = c.Conn.Close()
	}
}

// SetDown makes the broker unreachable, or reachable again.
func (f *Faults) SetDown(down bool) {
	f.mu.Lock()
	f.down = down
	f.mu.Unlock()
	if down {
		f.Cut()
	}
}

func (f *Faults) connect(ctx context.Context, network, addr string) (net.Conn, error) {
	f.mu.Lock()
	down := f.down
	f.mu.Unlock()
	if down {
		return nil, &net.OpError{Op: "dial", Net: network, Err: errCut}
	}
	inner, err := f.dial(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	c := &faultyConn{Conn: inner, faults: f}
	f.mu.Lock()
	f.conns[c] = struct{}{}
	f.mu.Unlock()
	return c, nil
}

// faultyConn follows the frames that are written, to know produce requests.
type faultyConn struct {
	net.Conn
	faults *Faults

	mu     sync.Mutex
	head   []byte // of the frame begun, until it tells size and API
	left   int    // bytes of the frame to come
	losing bool   // the next answer is to be lost
}

const (
	frameHead  = 6 // size and API key
	apiProduce = 0
)

func (c *faultyConn) Write(p []byte) (int, error) {
	c.follow(p)
	return c.Conn.Write(p)
}

func (c *faultyConn) follow(p []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(p) > 0 {
		if c.left > 0 {
			n := min(c.left, len(p))
			c.left -= n
			p = p[n:]
			continue
		}
		n := min(frameHead-len(c.head), len(p))
		c.head = append(c.head, p[:n]...)
		p = p[n:]
		if len(c.head) == frameHead {
			c.left = int(binary.BigEndian.Uint32(c.head)) - 2
			if binary.BigEndian.Uint16(c.head[4:]) == apiProduce {
				c.losing = c.faults.produce()
			}
			c.head = c.head[:0]
		}
	}
}

func (f *Faults) produce() (lose bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.requests++
	if f.answers == 0 {
		return false
	}
	f.answers--
	return true
}

// Read waits for the answer even if it is to be lost: the broker has then done what was asked.
func (c *faultyConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.mu.Lock()
	losing := c.losing
	c.mu.Unlock()
	if losing {
		_ = c.Close()
		return 0, io.ErrUnexpectedEOF
	}
	return n, err
}

func (c *faultyConn) Close() error {
	c.faults.mu.Lock()
	delete(c.faults.conns, c)
	c.faults.mu.Unlock()
	return c.Conn.Close()
}
