//go:build unix

package ingest

import (
	"errors"
	"syscall"
)

// mayWatch: a socket can be waited on without reading from it.
const mayWatch = true

// readable waits until there is something to be read, or nothing will be. What that is, reading tells; an error that is
// a timeout says that the wait was interrupted. Its stack is kept small: see TestAClientIsWatchedOnASmallStack.
func (c *conn) readable() error {
	return c.raw.Read(peek)
}

// peek looks at the next byte.
func peek(fd uintptr) (done bool) {
	var b [1]byte
	for {
		_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK)
		if !errors.Is(err, syscall.EINTR) {
			return !errors.Is(err, syscall.EAGAIN)
		}
	}
}
