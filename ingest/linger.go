package ingest

import (
	"encoding/binary"
	"io"
	"net"
	"sync"
	"time"

	"weir/wire"
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
}

// Write replaces gws's own sentence for a frame that is too large by the reason the protocol has for it.
func (l *lingering) Write(p []byte) (int, error) {
	if len(p) > 4 && p[0] == finalFrame|opClose && binary.BigEndian.Uint16(p[2:]) == wire.CloseTooLarge {
		_, err := l.Conn.Write(tooLargeFrame)
		return len(p), err
	}
	return l.Conn.Write(p)
}

var tooLargeFrame = append(
	[]byte{finalFrame | opClose, byte(2 + len(wire.ReasonFrameTooLarge)), byte(wire.CloseTooLarge >> 8), byte(wire.CloseTooLarge & 0xff)},
	wire.ReasonFrameTooLarge...)

// Close ends the writing side, discards what the peer still sends for a bounded time, and closes.
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

// abort closes at once, and ends a Close that lingers.
func (l *lingering) abort() { _ = l.Conn.Close() }
