package push

import (
	"crypto/tls"
	"errors"
	"net"

	"golang.org/x/sys/unix"
)

// notSentLowAt is how much unsent data the kernel takes before a write has to wait. What waits in the
// kernel is stale and cannot be merged any more.
const notSentLowAt = 16 << 10

// tune bounds what the kernel buffers for a connection.
func tune(conn net.Conn, sendBuffer int) error {
	if t, ok := conn.(*tls.Conn); ok {
		conn = t.NetConn()
	}
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return nil
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return err
	}
	var optErr error
	err = raw.Control(func(fd uintptr) {
		optErr = errors.Join(
			unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUF, sendBuffer),
			unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, notSentLowAt),
		)
	})
	return errors.Join(err, optErr)
}
