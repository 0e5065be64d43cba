package ingest

import (
	"bufio"
	"errors"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/klauspost/compress/flate"
	"github.com/lxzan/gws"

	"weir/auth"
	"weir/wire"
)

// readBufferSize keeps an idle connection small; payloads are read past the buffer.
const readBufferSize = 512

// upgraders complete handshakes: with a subprotocol or without, with compression or without.
type upgraders struct{ plain, plainNamed, deflate, deflateNamed *gws.Upgrader }

func (s *Server) newUpgraders() upgraders {
	deflate := gws.PermessageDeflate{
		// gws only agrees on it: framing takes the mark off what is compressed, and nothing is sent that is. So the
		// one compressor that it makes is of the smallest kind.
		Enabled: true, PoolSize: 1, Level: flate.HuffmanOnly,
	}
	return upgraders{
		plain: s.newUpgrader(gws.PermessageDeflate{}), plainNamed: s.newUpgrader(gws.PermessageDeflate{}, subprotocols()...),
		deflate: s.newUpgrader(deflate), deflateNamed: s.newUpgrader(deflate, subprotocols()...),
	}
}

func (s *Server) newUpgrader(deflate gws.PermessageDeflate, protocols ...string) *gws.Upgrader {
	return gws.NewUpgrader(handler{}, &gws.ServerOption{
		ReadBufferSize:     readBufferSize,
		ReadMaxPayloadSize: s.cfg.MaxFrameBytes,
		HandshakeTimeout:   s.cfg.HandshakeTimeout,
		PermessageDeflate:  deflate,
		SubProtocols:       protocols,
		Recovery:           gws.Recovery,
		Logger:             gwsLogger{s.logger},
		NewSession:         func() gws.SessionStorage { return new(place) },
		// UTF-8 is the decoder's to judge: it answers with a code and goes on.
		CheckUtf8Enabled: false,
	})
}

// of is the upgrader for what has been agreed. gws reads the request's headers, which are set to that.
func (u *upgraders) of(h http.Header, protocol string, deflate bool) *gws.Upgrader {
	h.Del(extensionsHeader)
	if deflate {
		h.Set(extensionsHeader, string(encodingMessage))
	}
	h.Set(protocolHeader, protocol)
	switch {
	case protocol == "" && deflate:
		return u.deflate
	case protocol == "":
		return u.plain
	case deflate:
		return u.deflateNamed
	}
	return u.plainNamed
}

// handleSocket is GET /v1/ingest[?device=PATH&format=NAME&precision=UNIT].
func (s *Server) handleSocket(w http.ResponseWriter, r *http.Request) {
	d, refusal := dialectOf(r.URL.Query())
	if refusal != nil {
		wire.WriteError(w, s.status(refusal), refusal)
		return
	}
	if !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		w.Header().Set("Upgrade", "websocket")
		w.Header().Set("Connection", "Upgrade")
		wire.WriteError(w, http.StatusUpgradeRequired, &wire.Error{
			Code: wire.CodeUpgradeRequired, Message: "this endpoint speaks WebSocket; POST /v1/readings takes plain HTTP"})
		return
	}
	if refusal := s.enter(); refusal != nil {
		s.later(w, refusal)
		return
	}
	remote := s.proxies.Address(r)
	holder := holderOf(remote)
	if refusal := s.place(holder); refusal != nil {
		s.work.Done()
		s.later(w, refusal)
		return
	}
	c := newConn(s, d)
	c.address, c.remote = holder, remote
	s.connect(c, w, r)
}

// place takes a connection's places; leave gives them back.
func (s *Server) place(holder netip.Prefix) *wire.Error {
	if !limit(&s.connections, s.cfg.MaxConnections) {
		s.metrics.refusedFull.Inc()
		return wire.NewError(wire.CodeTooManyConns, "")
	}
	if !s.addresses.take(holder) {
		s.connections.Add(-1)
		s.metrics.refusedAddress.Inc()
		return wire.NewError(wire.CodeLimitAddress, "")
	}
	return nil
}

// connect serves a connection that has its places, and gives them back when it has ended.
func (s *Server) connect(c *conn, w http.ResponseWriter, r *http.Request) {
	gone := func() { c.leave(); s.work.Done() }
	offers := offered(r.Header)
	protocol, spoken := s.negotiate(offers)
	if isMQTT(protocol) {
		c.mqtt = newMQTTLink(c)
	}
	if f, ok := wire.FormatOfSubprotocol(protocol); ok {
		c.enc.format = f
	}
	p, err := s.gate.Request(r)
	if errors.Is(err, auth.ErrNoCredentials) {
		if !limit(&s.strangers, s.cfg.MaxUnauthenticated) {
			gone()
			s.metrics.refusedStranger.Inc()
			s.later(w, &wire.Error{Code: wire.CodeTooManyConns, Message: "too many connections without credentials; send them with the request"})
			return
		}
		c.stranger = true
	}
	if !spoken {
		protocol = offers[0]
	}
	if !s.upgrade(c, w, r, protocol, spoken) {
		gone()
		return
	}
	// Not in the handler's goroutine: that holds the request and its buffers.
	go func() {
		defer gone()
		s.add(c)
		defer s.remove(c)
		c.serve(p, err)
	}()
}

// upgrade completes the handshake, and closes again at once what comes from a foreign page, or speaks nothing that is
// spoken here: a browser shows its script the close code, but not an HTTP status.
func (s *Server) upgrade(c *conn, w http.ResponseWriter, r *http.Request, protocol string, spoken bool) bool {
	netConn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		wire.WriteError(w, http.StatusInternalServerError, wire.NewError(wire.CodeInternal, ""))
		return false
	}
	c.net = &lingering{Conn: netConn}
	c.in = newIncoming(c, netConn, buffered.Reader)
	if c.stranger {
		c.expectAuth()
	}
	deflate := s.cfg.Compression && offersDeflate(r.Header)
	c.in.framing.deflate = deflate
	upgrader := s.upgraders.of(r.Header, protocol, deflate)
	if !spoken {
		// Clients that offer something see a close code only if something of it is chosen.
		upgrader = s.newUpgrader(gws.PermessageDeflate{}, protocol)
	}
	c.socket, err = upgrader.UpgradeFromConn(c.net, bufio.NewReaderSize(c.in, readBufferSize), r)
	if err != nil {
		s.metrics.refusedHandshake.Inc()
		s.logger.Debug("handshake failed", "remote", r.RemoteAddr, "error", err)
		return false
	}
	switch {
	case !s.origins.Allow(r):
		s.metrics.refusedOrigin.Inc()
		c.close(wire.CloseRefused, wire.ReasonOriginRefused)
		return false
	case !spoken:
		s.metrics.refusedProtocol.Inc()
		c.close(wire.CloseUnsupportedProtocol, wire.ReasonUnsupportedProtocol)
		return false
	}
	c.socket.Session().Store("", c)
	s.metrics.opened.Inc()
	return true
}

// later refuses for now.
func (s *Server) later(w http.ResponseWriter, e *wire.Error) {
	w.Header().Set("Retry-After", "1")
	wire.WriteError(w, s.status(e), e)
}

// closeProtocol is what gws ends a connection with whose frames are not WebSocket's (RFC 6455 §7.4.1).
const closeProtocol = wire.CloseMalformed

// With closeNormal and closeGoingAway a client says that it means to go (RFC 6455 §7.4.1).
const (
	closeNormal    = 1000
	closeGoingAway = 1001
)

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
	if c := connOf(socket); c.mqtt != nil && message.Opcode != gws.OpcodeBinary {
		c.mqtt.refuseText()
	} else {
		c.message(message.Bytes())
	}
	_ = message.Close()
}

// OnClose counts what was refused without a receipt, and notes whether the client meant to go.
func (handler) OnClose(socket *gws.Conn, err error) {
	if bye := new(gws.CloseError); errors.As(err, &bye) {
		connOf(socket).orderly = bye.Code == closeNormal || bye.Code == closeGoingAway
	}
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
