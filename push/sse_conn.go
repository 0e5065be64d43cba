package push

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"time"

	"weir/auth"
	"weir/internal/remote"
	"weir/wire"
)

// maxSaid is how much a client may say after its request: nothing of it is heard.
const maxSaid = 4 << 10

// serveEvents answers GET /v1/events[?subscribe=PATTERN[&subscribe=…]][&join=ROOM[&join=…]] with one subscription to all of
// the patterns and a stay in the rooms, if there are any, as server-sent events: what a WebSocket is told, from the same
// lanes. Whatever can be refused is, before the response begins.
func (s *Server) serveEvents(w http.ResponseWriter, r *http.Request) {
	req, refusal := eventsRequest(r)
	var joins []wire.RoomRequest
	if refusal == nil {
		joins, refusal = queryJoins(r.URL.Query())
	}
	if refusal == nil && !s.origin.Allow(r) {
		refusal = wire.NewError(wire.CodeOriginRefused, "")
	}
	if refusal != nil {
		wire.Refuse(w, refusal)
		return
	}
	if r.Method == http.MethodHead {
		eventsHeader(w.Header())
		return
	}
	c := s.newClient()
	c.encoding, c.from = asEvents, s.proxies.Address(r)
	if err := s.conns.admit(c, remote.Holder(c.from)); err != nil {
		s.refuseConnection(w, err)
		return
	}
	c.writing = true // so that nothing is written yet
	if refusal := s.subscribeEvents(c, auth.PrincipalOf(r.Context()), req, joins); refusal != nil {
		s.giveUp(c)
		if counter := s.hub.m.refused[refusal.Code]; counter != nil {
			counter.Inc()
		}
		wire.Refuse(w, refusal)
		return
	}
	if err := s.beginEvents(w, c); err != nil {
		s.giveUp(c)
		s.hub.m.refused[refusedHandshake].Inc()
		s.log.Debug("stream of events refused", "error", err)
		return
	}
	inTime := s.conns.add(c)
	s.hub.m.connections.Add(1)
	if !inTime {
		c.close(endedDraining)
	}
	c.beginWriting()
	go s.follow(c)
}

// subscribeEvents is what a WebSocket's first messages do.
func (s *Server) subscribeEvents(c *client, p *auth.Principal, req *wire.Subscribe, joins []wire.RoomRequest) *wire.Error {
	if !s.conns.identify(c, accountOf(p, c.from)) {
		return wire.NewError(wire.CodeLimitPrincipal, "")
	}
	s.become(c, p)
	s.greet(c)
	if req != nil {
		if err := c.handleSubscribe(req, &s.cfg); err != nil {
			return ofParams(err)
		}
	}
	for i := range joins {
		if refusal := s.joinAsked(c, joins, i); refusal != nil {
			return refusal
		}
	}
	return nil
}

// giveUp is for a connection that ends before it has begun.
func (s *Server) giveUp(c *client) {
	c.ended(endedLost)
	s.detach(c)
	c.stopWatch()
	s.hub.leave(c)
	s.conns.dismiss(c)
}

// beginEvents takes the connection from the HTTP server and begins the response, which ends with the connection.
func (s *Server) beginEvents(w http.ResponseWriter, c *client) error {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return fmt.Errorf("hijack: %w", err)
	}
	if err := s.writeEventsHead(conn, w.Header()); err != nil {
		_ = conn.Close()
		return err
	}
	if err := tune(conn, s.cfg.SendBuffer); err != nil {
		s.log.Debug("socket options not set", "error", err)
	}
	// A client that is silent by nature is known to be gone when the kernel cannot deliver what it is sent.
	if err := giveUpAfter(conn, max(s.cfg.IdleTimeout, s.cfg.WriteTimeout)); err != nil {
		s.log.Debug("socket options not set", "error", err)
	}
	c.conn = conn
	return nil
}

func eventsHeader(h http.Header) {
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Accel-Buffering", "no") // what nginx in front is to do
	h.Set("Connection", "close")
}

func (s *Server) writeEventsHead(conn net.Conn, h http.Header) error {
	eventsHeader(h)
	if err := conn.SetWriteDeadline(time.Now().Add(s.cfg.HandshakeTimeout)); err != nil {
		return err
	}
	var head bytes.Buffer
	head.WriteString("HTTP/1.1 200 OK\r\n")
	_ = h.Write(&head)
	// Browsers come back after that time when the connection is gone; not all at once.
	retry := reconnectAfter + rand.N(jitterFor(s.conns.count()))
	fmt.Fprintf(&head, "\r\nretry: %d\n\n", retry.Milliseconds())
	if _, err := conn.Write(head.Bytes()); err != nil {
		return err
	}
	return conn.SetDeadline(time.Time{})
}

// beginWriting lets a connection be written to that was kept from it.
func (c *client) beginWriting() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writing = false
	c.kickLocked()
}

// follow waits for the end of a stream of events. What the client says is not heard.
func (s *Server) follow(c *client) {
	said := 0
	for b := make([]byte, 64); ; {
		n, err := c.conn.Read(b)
		if said += n; said > maxSaid {
			c.expel(endedProtocol)
			discard(c.conn)
			break
		}
		if err != nil {
			break
		}
	}
	s.depart(c, endedLost)
}
