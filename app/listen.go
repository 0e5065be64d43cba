package app

import (
	"errors"
	"fmt"
	"net"
	"syscall"

	"weir/config"
)

// hinted is an error that knows what to do next.
type hinted struct {
	error
	hint string
}

func (h hinted) Hint() string  { return h.hint }
func (h hinted) Unwrap() error { return h.error }

// listen binds the public address.
func listen(c *config.Config) (net.Listener, error) {
	address, err := net.ResolveTCPAddr("tcp", c.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	return bind("listen", address)
}

func bind(field string, address *net.TCPAddr) (net.Listener, error) {
	l, err := net.ListenTCP("tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, hinted{
			fmt.Errorf("%s: %s is in use", field, address),
			"stop the other program, or choose another port with --" + dashed(field),
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", field, err)
	}
	return l, nil
}

func dashed(field string) string {
	b := []byte(field)
	for i := range b {
		if b[i] == '_' {
			b[i] = '-'
		}
	}
	return string(b)
}

// loopback reports whether a bound address can be reached from this machine only.
func loopback(a net.Addr) bool {
	tcp, ok := a.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}
