package push

import (
	"time"

	"weir/wire"
)

// How long clients stay away when the server stops: so long, and a random part of the jitter, which grows with their
// number, so that about returnsPerSecond come back in a second.
const (
	reconnectAfter   = 500 * time.Millisecond
	leastJitter      = 2 * time.Second
	mostJitter       = time.Minute
	returnsPerSecond = 1000
)

// jitterFor is within how long so many connections are to come back.
func jitterFor(connections int) time.Duration {
	return min(max(time.Duration(connections)*time.Second/returnsPerSecond, leastJitter), mostJitter)
}

// drain ends all connections: what views hold and queues have goes out first.
func (s *Server) drain(empty <-chan struct{}) {
	s.hub.close()
	clients := s.conns.list()
	announcement := forMany(textFrame((&wire.Draining{
		ReconnectAfterMS: reconnectAfter.Milliseconds(), JitterMS: jitterFor(len(clients)).Milliseconds(),
	}).Append(nil)))
	for _, c := range clients {
		c.send(announcement)
		c.close(endedDraining)
	}
	timeout := time.NewTimer(s.cfg.DrainTimeout)
	defer timeout.Stop()
	select {
	case <-empty:
		return
	case <-timeout.C:
	}
	for _, c := range s.conns.list() {
		_ = c.conn.Close()
	}
	<-empty
}
