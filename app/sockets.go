package app

import (
	"net"
	"slices"
	"sync"
	"syscall"
	"time"

	"weir/config"
)

// reservedFiles are kept from sockets, for the broker's files and connections to Kafka: a broker that cannot open
// a file any more fails. Of a small limit it is a quarter.
const reservedFiles = 1024

// maxFiles stands for no limit.
const maxFiles = 1 << 20

// socketLimit is how many connections may be accepted when the process may have so many files open.
func socketLimit(wanted, files int) int {
	most := files - min(reservedFiles, files/4)
	if wanted > 0 {
		most = min(most, wanted)
	}
	return max(1, most)
}

// limitSockets keeps connections from using up the files that the process may have open.
func (a *App) limitSockets(l net.Listener) *limitedListener {
	c := &a.opts.Config
	limited := newLimitedListener(l, socketLimit(c.MaxSockets, fileLimit()))
	if most, expected := limited.most, expectedSockets(c); most < expected {
		a.log.Info("fewer sockets than connections that may be configured", "sockets", most, "connections", expected,
			"because", "max_sockets, or the limit of open files (ulimit -n)")
	}
	a.set.NewGauge(`weir_http_sockets`, func() float64 { return float64(limited.open()) })
	a.set.NewGauge(`weir_http_sockets_max`, func() float64 { return float64(limited.most) })
	return limited
}

func expectedSockets(c *config.Config) int {
	n := 0
	if c.Has(config.RoleIngest) {
		n += c.Ingest.MaxConnections
	}
	if c.Has(config.RolePush) {
		n += c.Push.MaxConnections
	}
	return n
}

// recheck is how often a full listener looks for connections that have been closed.
const recheck = 50 * time.Millisecond

// limitedListener accepts no more while as many connections are open as there may be. Further ones wait in the
// kernel's queue. What it accepts is handed on as it is, as its users set socket options; so it finds out by
// looking which of its connections have been closed.
type limitedListener struct {
	net.Listener
	most  int
	ended chan struct{}
	once  sync.Once

	mu    sync.Mutex
	conns []syscall.RawConn // all that are open, and some that no longer are
	check int               // how many conns may be before they are looked at
}

func newLimitedListener(l net.Listener, most int) *limitedListener {
	return &limitedListener{Listener: l, most: most, ended: make(chan struct{})}
}

// Accept implements net.Listener.
func (l *limitedListener) Accept() (net.Conn, error) {
	for !l.hasRoom() {
		select {
		case <-time.After(recheck):
		case <-l.ended:
			return nil, net.ErrClosed
		}
	}
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if c, ok := conn.(syscall.Conn); ok {
		if raw, err := c.SyscallConn(); err == nil {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.conns = append(l.conns, raw)
		}
	}
	return conn, nil
}

// hasRoom looks at the connections when they may be too many, or have doubled since the last look.
func (l *limitedListener) hasRoom() bool {
	l.mu.Lock()
	n, check := len(l.conns), l.check
	l.mu.Unlock()
	return n < min(check, l.most) || l.open() < l.most
}

// open forgets the connections that have been closed, and counts the others.
func (l *limitedListener) open() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns = slices.DeleteFunc(l.conns, func(c syscall.RawConn) bool { return c.Control(func(uintptr) {}) != nil })
	l.check = max(64, 2*len(l.conns))
	return len(l.conns)
}

// Close implements net.Listener.
func (l *limitedListener) Close() error {
	l.once.Do(func() { close(l.ended) })
	return l.Listener.Close()
}
