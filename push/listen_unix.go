//go:build unix

package push

import (
	"errors"
	"syscall"
)

// mayWatch: a socket can be waited on without reading from it.
const mayWatch = true

// peek looks at the next byte, and is true when there is one or will be none. Who waits with it has a stack of 2 KiB: see
// TestASilentClientIsWaitedForOnASmallStack.
func peek(fd uintptr) (done bool) {
	var b [1]byte
	for {
		_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK)
		if !errors.Is(err, syscall.EINTR) {
			return !errors.Is(err, syscall.EAGAIN)
		}
	}
}
