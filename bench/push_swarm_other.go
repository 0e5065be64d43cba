//go:build !linux

package bench

import (
	"context"
	"errors"
)

type poller struct{}

var errLinuxOnly = errors.New("many connections are read by epoll: on Linux only")

// Dial fails.
func Dial(context.Context, SwarmOptions) (*Swarm, error) { return nil, errLinuxOnly }

func (c *swarmConn) pong([]byte) error { return errLinuxOnly }

// Trickle does nothing.
func (s *Swarm) Trickle(int) {}

// Close does nothing.
func (s *Swarm) Close() {}

func openFiles() (int, error) { return 0, errLinuxOnly }
