package ingest

import (
	"io"
	"net"
	"sync"
	"time"
)

const (
	lingerTime  = time.Second
	lingerBytes = 4 << 20
)

// lingering is a connection whose Close lets the peer read what was written last. A socket closed with
// unread data resets, and the reset can overtake the close frame: a device that sends too much would see
// "connection reset" instead of the code that tells why.
type lingering struct {
	net.Conn
	once sync.Once
	err  error

	mu     sync.Mutex
	closed bool // Close has begun
}

// Close ends the writing side, discards what the peer still sends for a bounded time, and closes.
func (l *lingering) Close() error {
	l.once.Do(func() {
		l.mu.Lock()
		l.closed = true
		l.mu.Unlock()
		if half, ok := l.Conn.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
			_ = l.SetReadDeadline(time.Now().Add(lingerTime))
			_, _ = io.Copy(io.Discard, io.LimitReader(l.Conn, lingerBytes))
		}
		l.err = l.Conn.Close()
	})
	return l.err
}

// interrupt ends a Read that waits, and those that follow until resume. Neither touches a connection that is being
// closed.
func (l *lingering) interrupt() { l.deadline(time.Unix(1, 0)) }

func (l *lingering) resume() { l.deadline(time.Time{}) }

func (l *lingering) deadline(at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed {
		_ = l.SetReadDeadline(at)
	}
}

// abort closes at once, and ends a Close that lingers.
func (l *lingering) abort() { _ = l.Conn.Close() }
