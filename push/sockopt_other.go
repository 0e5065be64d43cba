//go:build !linux

package push

import (
	"net"
	"time"
)

// tune bounds the send buffer; how much of it may be unsent is left to the system.
func tune(conn net.Conn, sendBuffer int) error {
	if tcp, ok := conn.(*net.TCPConn); ok {
		return tcp.SetWriteBuffer(sendBuffer)
	}
	return nil
}

// unacknowledged is not known.
func unacknowledged(net.Conn) int { return 0 }

// giveUpAfter leaves it to the system when a connection is given up.
func giveUpAfter(net.Conn, time.Duration) error { return nil }
