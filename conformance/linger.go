package conformance

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lxzan/gws"
)

// lingering is a connection whose Close lets the device read what was written last: a reset could overtake the close
// frame, and the device would be blamed for what it was never told.
type lingering struct {
	net.Conn
	in   io.Reader   // what the handshake has read too much, then the connection
	lost atomic.Bool // reading or writing failed: the connection did not end by what came over it
	once sync.Once
	err  error
}

const (
	lingerTime  = time.Second
	lingerBytes = 4 << 20
)

func (l *lingering) Read(p []byte) (int, error) {
	n, err := l.in.Read(p)
	if err != nil {
		l.lost.Store(true)
	}
	return n, err
}

func (l *lingering) Write(p []byte) (int, error) {
	n, err := l.Conn.Write(p)
	if err != nil {
		l.lost.Store(true)
	}
	return n, err
}

// Close ends the writing side, discards what still comes for a bounded time, and closes.
func (l *lingering) Close() error {
	l.once.Do(func() {
		if half, ok := l.Conn.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
			_ = l.SetReadDeadline(time.Now().Add(lingerTime))
			_, _ = io.Copy(io.Discard, io.LimitReader(l.Conn, lingerBytes))
		}
		l.err = l.Conn.Close()
	})
	return l.err
}

// cut ends the connection as a cable that breaks.
func (l *lingering) cut() { _ = l.Conn.Close() }

// upgrade makes a WebSocket of a request.
func upgrade(w http.ResponseWriter, r *http.Request, handler gws.Event, option *gws.ServerOption) (*gws.Conn, *lingering, error) {
	raw, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, nil, err
	}
	l := &lingering{Conn: raw, in: buffered.Reader}
	socket, err := gws.NewUpgrader(handler, option).UpgradeFromConn(l, bufio.NewReader(l), r)
	return socket, l, err
}
