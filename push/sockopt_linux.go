package push

import (
	"crypto/tls"
	"errors"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// notSentLowAt is how much unsent data the kernel takes before a write has to wait. What waits in the
// kernel is stale and cannot be merged any more.
const notSentLowAt = 16 << 10

// tune bounds what the kernel buffers for a connection.
func tune(conn net.Conn, sendBuffer int) error {
	return setOptions(conn, func(fd int) error {
		return errors.Join(
			unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, sendBuffer),
			unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, notSentLowAt),
		)
	})
}

// giveUpAfter ends a connection when what was sent has not been acknowledged for so long.
func giveUpAfter(conn net.Conn, d time.Duration) error {
	return setOptions(conn, func(fd int) error {
		return unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(d.Milliseconds()))
	})
}

// unacknowledged is how much of what was sent the other end's kernel does not have, in bytes, as far as this is known.
func unacknowledged(conn net.Conn) (n int) {
	_ = setOptions(conn, func(fd int) (err error) {
		n, err = unix.IoctlGetInt(fd, unix.SIOCOUTQ)
		return err
	})
	return n
}

func setOptions(conn net.Conn, set func(fd int) error) error {
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
	err = raw.Control(func(fd uintptr) { optErr = set(int(fd)) })
	return errors.Join(err, optErr)
}
