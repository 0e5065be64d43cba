package ingest

import (
	"bufio"
	"net/http"
	"strings"
	"time"

	"github.com/lxzan/gws"

	"weir/telemetry"
	"weir/wire"
)

// readBufferSize keeps an idle connection small; payloads are read past the buffer.
const readBufferSize = 512

func (s *Server) newUpgrader() *gws.Upgrader {
	return gws.NewUpgrader(handler{}, &gws.ServerOption{
		ReadBufferSize:     readBufferSize,
		ReadMaxPayloadSize: s.cfg.MaxFrameBytes,
		HandshakeTimeout:   s.cfg.HandshakeTimeout,
		Recovery:           gws.Recovery,
		Logger:             gwsLogger{s.logger},
		NewSession:         func() gws.SessionStorage { return new(place) },
		// UTF-8 is the decoder's to judge: it answers with a code and goes on.
		CheckUtf8Enabled: false,
	})
}

// handleSocket is GET /v1/ingest[?device=PATH].
func (s *Server) handleSocket(w http.ResponseWriter, r *http.Request) {
	device, refusal := defaultDevice(r)
	if refusal != nil {
		wire.WriteError(w, http.StatusBadRequest, refusal)
		return
	}
	if !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		w.Header().Set("Upgrade", "websocket")
		wire.WriteError(w, http.StatusUpgradeRequired, &wire.Error{
			Code: wire.CodeMediaType, Message: "this endpoint speaks WebSocket; POST /v1/readings takes plain HTTP"})
		return
	}
	if refusal := s.enter(); refusal != nil {
		s.later(w, refusal)
		return
	}
	if !limit(&s.connections, s.cfg.MaxConnections) {
		s.work.Done()
		s.metrics.refusedFull.Inc()
		s.later(w, wire.NewError(wire.CodeTooManyConns, ""))
		return
	}
	c := newConn(s, device)
	if !s.upgrade(c, w, r) {
		s.connections.Add(-1)
		s.work.Done()
		return
	}
	// Not in the handler's goroutine: that holds the request and its buffers.
	go func() {
		defer s.work.Done()
		defer s.connections.Add(-1)
		s.add(c)
		defer s.remove(c)
		c.serve()
	}()
}

// upgrade completes the handshake, and closes again at once what comes from a foreign page: a browser shows
// its script the close code, but not an HTTP status.
func (s *Server) upgrade(c *conn, w http.ResponseWriter, r *http.Request) bool {
	netConn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		wire.WriteError(w, http.StatusInternalServerError, wire.NewError(wire.CodeInternal, ""))
		return false
	}
	c.net = &lingering{Conn: netConn}
	c.in = newIncoming(c, netConn, buffered.Reader)
	c.socket, err = s.upgrader.UpgradeFromConn(c.net, bufio.NewReaderSize(c.in, readBufferSize), r)
	if err != nil {
		s.metrics.refusedHandshake.Inc()
		s.logger.Debug("handshake failed", "remote", r.RemoteAddr, "error", err)
		return false
	}
	if !s.origins.Allow(r) {
		s.metrics.refusedOrigin.Inc()
		c.close(wire.CloseRefused, wire.ReasonOriginRefused)
		return false
	}
	c.socket.Session().Store("", c)
	s.metrics.opened.Inc()
	return true
}

func defaultDevice(r *http.Request) (string, *wire.Error) {
	device := r.URL.Query().Get("device")
	if device == "" {
		return "", nil
	}
	return device, pathError(telemetry.CheckDevice(device))
}

// later refuses for now.
func (s *Server) later(w http.ResponseWriter, e *wire.Error) {
	w.Header().Set("Retry-After", "1")
	wire.WriteError(w, s.status(e), e)
}

// closeProtocol is what gws ends a connection with whose frames are not WebSocket's (RFC 6455 §7.4.1).
const closeProtocol uint16 = 1002

// handler passes gws's events to the conn they belong to.
type handler struct{ gws.BuiltinEventHandler }

// place is a gws.SessionStorage that holds one value: the conn a socket belongs to.
type place struct{ c *conn }

func (p *place) Len() int                       { return 1 }
func (p *place) Load(string) (any, bool)        { return p.c, true }
func (p *place) Delete(string)                  {}
func (p *place) Store(_ string, value any)      { p.c, _ = value.(*conn) }
func (p *place) Range(f func(string, any) bool) { f("", p.c) }

func connOf(socket *gws.Conn) *conn { return socket.Session().(*place).c }

func (handler) OnMessage(socket *gws.Conn, message *gws.Message) {
	connOf(socket).message(message.Bytes())
	_ = message.Close()
}

// OnClose counts what was refused without a receipt.
func (handler) OnClose(socket *gws.Conn, err error) {
	code, ok := err.(interface{ Uint16() uint16 })
	if !ok {
		return
	}
	s := connOf(socket).srv
	switch code.Uint16() {
	case wire.CloseTooLarge:
		byCode(s.metrics.rejectedFrames, wire.CodeFrameTooLarge).Inc()
	case closeProtocol, wire.CloseProtocolError:
		s.metrics.closedProtocol.Inc()
		s.logger.Debug("protocol broken", "remote", socket.RemoteAddr())
	}
}

func (handler) OnPing(socket *gws.Conn, payload []byte) {
	c := connOf(socket)
	c.lastHeard.Store(nowMicros())
	_ = c.net.SetWriteDeadline(time.Now().Add(c.srv.cfg.WriteTimeout))
	_ = socket.WritePong(payload)
}

func (handler) OnPong(socket *gws.Conn, _ []byte) {
	connOf(socket).lastHeard.Store(nowMicros())
}
