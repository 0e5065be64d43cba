package embedded

import (
	"context"
	"net"
	"sync"
	"time"
)

// address is what the broker tells clients to dial. Nothing listens there: [Broker.Dial] ignores it.
const address = "embedded:9092"

// memAddr is the address of both ends of every connection.
type memAddr struct{}

func (memAddr) Network() string { return "memory" }
func (memAddr) String() string  { return address }

// conn is one end of an in-memory connection.
type conn struct {
	in, out *pipe
	once    sync.Once
	onClose func()
}

// newConnPair returns two connected ends; onClose is called when the second is closed.
func newConnPair(onClose func(*conn)) (client, server *conn) {
	up, down := newPipe(), newPipe()
	client = &conn{in: down, out: up, onClose: func() {}}
	server = &conn{in: up, out: down}
	server.onClose = func() { onClose(server) }
	return client, server
}

func (c *conn) Read(b []byte) (int, error)  { return c.in.read(b) }
func (c *conn) Write(b []byte) (int, error) { return c.out.write(b) }

func (c *conn) Close() error {
	c.once.Do(func() {
		c.in.closeRead()
		c.out.closeWrite()
		c.onClose()
	})
	return nil
}

func (c *conn) LocalAddr() net.Addr  { return memAddr{} }
func (c *conn) RemoteAddr() net.Addr { return memAddr{} }

func (c *conn) SetDeadline(t time.Time) error {
	c.in.readable.setDeadline(t)
	c.out.writable.setDeadline(t)
	return nil
}

func (c *conn) SetReadDeadline(t time.Time) error {
	c.in.readable.setDeadline(t)
	return nil
}

func (c *conn) SetWriteDeadline(t time.Time) error {
	c.out.writable.setDeadline(t)
	return nil
}

// listener hands the server's ends of new connections to the broker.
type listener struct {
	accept chan *conn
	done   chan struct{}
	once   sync.Once

	mu    sync.Mutex
	conns map[*conn]struct{} // open server ends
}

func newListener() *listener {
	return &listener{
		accept: make(chan *conn),
		done:   make(chan struct{}),
		conns:  make(map[*conn]struct{}),
	}
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.accept:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

func (l *listener) Addr() net.Addr { return memAddr{} }

func (l *listener) dial(ctx context.Context) (net.Conn, error) {
	client, server := newConnPair(l.forget)
	l.mu.Lock()
	l.conns[server] = struct{}{}
	l.mu.Unlock()
	err := ErrClosed
	select {
	case l.accept <- server:
		return client, nil
	case <-l.done:
	case <-ctx.Done():
		err = ctx.Err()
	}
	_ = server.Close()
	return nil, err
}

func (l *listener) forget(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, c)
}

// open is the number of connections that are not closed.
func (l *listener) open() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.conns)
}

// cut ends every connection and refuses new ones.
func (l *listener) cut() {
	_ = l.Close()
	l.mu.Lock()
	conns := make([]*conn, 0, len(l.conns))
	for c := range l.conns {
		conns = append(conns, c)
	}
	l.mu.Unlock()
	for _, c := range conns {
		_ = c.Close()
	}
}
