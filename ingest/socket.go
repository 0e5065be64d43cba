package ingest

import (
	"errors"
	"net/http"
	"net/netip"
	"strings"

	"github.com/klauspost/compress/flate"
	"github.com/lxzan/gws"

	"weir/auth"
	"weir/internal/remote"
	"weir/internal/wsframe"
	"weir/wire"
)

// upgraders complete handshakes, for which alone gws is used: what it makes for a connection is larger than all that
// is kept here of one that is silent. There are those with a subprotocol and without, with
// compression and without.
type upgraders struct{ plain, plainNamed, deflate, deflateNamed *gws.Upgrader }

func (s *Server) newUpgraders() upgraders {
	deflate := gws.PermessageDeflate{
		// gws only agrees on it: what is compressed is unpacked here, and nothing is sent that is. So the one
		// compressor that it makes is of the smallest kind.
		Enabled: true, PoolSize: 1, Level: flate.HuffmanOnly,
	}
	return upgraders{
		plain: s.newUpgrader(gws.PermessageDeflate{}), plainNamed: s.newUpgrader(gws.PermessageDeflate{}, subprotocols()...),
		deflate: s.newUpgrader(deflate), deflateNamed: s.newUpgrader(deflate, subprotocols()...),
	}
}

func (s *Server) newUpgrader(deflate gws.PermessageDeflate, protocols ...string) *gws.Upgrader {
	return gws.NewUpgrader(gws.BuiltinEventHandler{}, &gws.ServerOption{
		HandshakeTimeout:  s.cfg.HandshakeTimeout,
		PermessageDeflate: deflate,
		SubProtocols:      protocols,
		NewSession:        func() gws.SessionStorage { return nil },
	})
}

// of is the upgrader for what has been agreed. gws reads the request's headers, which are set to that.
func (u *upgraders) of(h http.Header, protocol string, deflate bool) *gws.Upgrader {
	h.Del(wsframe.ExtensionsHeader)
	if deflate {
		h.Set(wsframe.ExtensionsHeader, string(encodingMessage))
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
		wire.Refuse(w, refusal)
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
		wire.Refuse(w, refusal)
		return
	}
	from := s.proxies.Address(r)
	holder := remote.Holder(from)
	if refusal := s.place(holder); refusal != nil {
		s.work.Done()
		wire.Refuse(w, refusal)
		return
	}
	c := newConn(s, d)
	c.address, c.remote = holder, from
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
		c.format = f
	}
	p, err := s.gate.Request(r)
	if err != nil && (c.mqtt != nil || errors.Is(err, auth.ErrNoCredentials)) { // others are closed at once
		if refusal := c.countStranger(); refusal != nil {
			gone()
			wire.Refuse(w, refusal)
			return
		}
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
		s.add(c)
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
	c.in = newIncoming(c, buffered.Reader)
	if c.stranger {
		c.expectAuth()
	}
	deflate := s.cfg.Compression && wsframe.OffersDeflate(r.Header)
	c.in.framing.deflate, c.assembly.Deflate = deflate, deflate
	upgrader := s.upgraders.of(r.Header, protocol, deflate)
	if !spoken {
		// Clients that offer something see a close code only if something of it is chosen.
		upgrader = s.newUpgrader(gws.PermessageDeflate{}, protocol)
	}
	if _, err = upgrader.UpgradeFromConn(c.net, nil, r); err != nil {
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
	c.device = strings.Clone(c.device) // and not the request
	c.raw = rawOf(netConn)
	s.metrics.opened.Inc()
	return true
}

// closeProtocol ends a connection whose frames are not WebSocket's (RFC 6455 §7.4.1).
const closeProtocol = wire.CloseMalformed

// With closeNormal and closeGoingAway a client says that it means to go (RFC 6455 §7.4.1).
const (
	closeNormal    = 1000
	closeGoingAway = 1001
)
