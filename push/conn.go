package push

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/lxzan/gws"

	"weir/auth"
	"weir/internal/remote"
	"weir/internal/wsframe"
	"weir/telemetry"
	"weir/wire"
)

const (
	// mistakesRate (per second) and mistakesBurst are how many errors a client may make.
	mistakesRate  = 1
	mistakesBurst = 50
)

// live upgrades a request to a WebSocket and serves it.
func (s *Server) live(w http.ResponseWriter, r *http.Request) {
	if !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		w.Header().Set("Upgrade", "websocket")
		wire.WriteError(w, http.StatusUpgradeRequired, wire.NewError(wire.CodeUpgradeRequired, ""))
		return
	}
	patterns, hz, refusal := s.querySubscriptions(r)
	var joins []wire.RoomRequest
	if refusal == nil {
		joins, refusal = queryJoins(r.URL.Query())
	}
	if refusal != nil {
		wire.WriteError(w, http.StatusBadRequest, refusal)
		return
	}
	c := s.newClient()
	c.wanted, c.from = wanted{patterns, hz, joins}, s.proxies.Address(r)
	c.answers = r.URL.Query().Get("app_ping") == "1"
	if err := s.conns.admit(c, remote.Holder(c.from)); err != nil {
		s.refuseConnection(w, err)
		return
	}
	p, err := s.gate.Request(r)
	if err != nil {
		if full := s.conns.wait(c); full != nil {
			s.conns.dismiss(c)
			s.refuseConnection(w, full)
			return
		}
	}
	s.accept(w, r, c, p, err)
}

// accept completes the handshake of a connection that was admitted, and serves it. refused is why the gate does
// not let the client in; a page learns that by the close code only.
func (s *Server) accept(w http.ResponseWriter, r *http.Request, c *client, p *auth.Principal, refused error) {
	spoken, err := s.upgrade(w, r, c)
	if err != nil {
		s.conns.dismiss(c)
		s.hub.m.refused[refusedHandshake].Inc()
		s.log.Debug("live connection refused", "error", err)
		return
	}
	inTime := s.conns.add(c)
	s.hub.m.connections.Add(1)
	switch {
	case !s.origin.Allow(r):
		c.close(endedOrigin)
	case !inTime:
		c.close(endedDraining)
	case !spoken:
		c.expel(endedSubprotocol)
	case errors.Is(refused, auth.ErrNoCredentials): // they may come as a message
	case refused != nil:
		c.expel(endedFor(auth.Refusal(refused)))
	case s.identify(c, p):
		s.greet(c)
	}
	go s.attend(c) // last: nothing that the client says is heard before it has its welcome
}

func (s *Server) refuseConnection(w http.ResponseWriter, err *wire.Error) {
	s.hub.m.refused[err.Code].Inc()
	if err.Code == wire.CodeOverloaded {
		w.Header().Set("Retry-After", retryAfter())
	}
	wire.Refuse(w, err)
}

func (s *Server) newClient() *client {
	now := s.hub.now()
	c := &client{
		hub: s.hub, session: rand.Text(), limits: limits{s.cfg.MaxLosslessBytes, s.cfg.DrainTimeout},
		messages: newBucket(s.cfg.MessageRate, s.cfg.MessageBurst, now),
		// The server's own pings can always be answered.
		frames:   newBucket(s.cfg.MessageRate+2/s.cfg.Heartbeat.Seconds(), s.cfg.MessageBurst, now),
		mistakes: newBucket(mistakesRate, mistakesBurst, now),
		pinged:   now,
		since:    now,
		authBy:   now.Add(s.cfg.AuthTimeout),
	}
	c.heard.Store(c.hub.elapsed(now))
	c.said.Store(c.hub.elapsed(now))
	return c
}

// greet queues the welcome, makes the subscriptions that were asked for in the URL, and joins its rooms.
func (s *Server) greet(c *client) {
	now := s.hub.now()
	c.send(textFrame((&wire.Welcome{
		Protocol: c.encoding.protocol(), Epoch: s.epoch, Session: c.session, ServerTime: now.UnixMicro(),
		HeartbeatMS: s.cfg.Heartbeat.Milliseconds(), Insecure: s.insecure,
		Read: readable(c.who),
	}).Append(nil)))
	s.attach(c)
	asked := c.wanted
	c.wanted = wanted{}
	for i, p := range asked.patterns {
		var err error = wire.NewError(wire.CodeForbidden, fmt.Sprintf("subscribe[%d]", i))
		if c.who.MayRead(p) {
			err = s.hub.subscribe(c, p.String(), choice{patterns: asked.patterns[i : i+1], hz: asked.hz}, nil)
		}
		var refusal *wire.Error
		if errors.As(err, &refusal) {
			c.send(errorFrame(refusal, p.String()))
		}
	}
	for i := range asked.joins {
		if refusal := s.joinAsked(c, asked.joins, i); refusal != nil {
			c.send(textFrame((&wire.ErrorMsg{Error: *refusal, Room: asked.joins[i].Room}).Append(nil)))
		}
	}
}

// querySubscriptions reads the subscriptions of a client that cannot speak first: one per pattern, under
// the pattern as id.
func (s *Server) querySubscriptions(r *http.Request) ([]telemetry.Pattern, float64, *wire.Error) {
	query := r.URL.Query()
	texts := query["subscribe"]
	if len(texts) == 0 {
		return nil, 0, nil
	}
	patterns, err := parsePatterns(texts, s.cfg.MaxSubscriptions, "subscribe")
	if err != nil {
		return nil, 0, err
	}
	hz, err := hzParam(query.Get("max_hz"), s.cfg.DefaultMaxHz)
	return patterns, hz, err
}

// upgrade takes the connection from the HTTP server and completes the WebSocket handshake. spoken is false if the client
// offers subprotocols and none of them is spoken here.
func (s *Server) upgrade(w http.ResponseWriter, r *http.Request, c *client) (spoken bool, _ error) {
	hijacker, ok := w.(http.Hijacker)
	if !ok {
		return false, errors.New("hijack: not supported by the server")
	}
	conn, rw, err := hijacker.Hijack()
	if err != nil {
		return false, err
	}
	if early := rw.Reader.Buffered(); early > 0 {
		b, _ := rw.Peek(early)
		c.ear.early = bytes.Clone(b)
	}
	if err := tune(conn, s.cfg.SendBuffer); err != nil {
		s.log.Debug("socket options not set", "error", err)
	}
	c.conn, c.probes = conn, true
	agreed, spoken := s.negotiate(r.Header)
	c.encoding = agreed.encoding()
	c.ear.raw = rawOf(conn)
	c.ear.assembly.Deflate = agreed.deflate
	_, err = s.upgraderFor(agreed, r.Header).UpgradeFromConn(conn, nil, r)
	return spoken, err
}

// agreed is what a handshake comes to: a subprotocol, or none, and compression.
type agreed struct {
	protocol string
	deflate  bool
}

// spokenProtocols are the subprotocols of the live protocol.
var spokenProtocols = map[string]encoding{wire.LiveProtocol: asJSON, wire.LiveProtocolProto: asProto}

// negotiate agrees on a subprotocol: the first that is spoken here, or none with who offers none. A client that offers
// others learns why it is closed only if one of them is chosen; spoken is false then.
func (s *Server) negotiate(h http.Header) (a agreed, spoken bool) {
	offers := auth.Subprotocols(h)
	a.deflate = s.cfg.CompressMinBytes > 0 && wsframe.OffersDeflate(h)
	if len(offers) == 0 {
		return a, true
	}
	for _, offer := range offers {
		if _, spoken := spokenProtocols[offer]; spoken {
			a.protocol = offer
			return a, true
		}
	}
	a.protocol = offers[0]
	return a, false
}

// encoding is how a client is told what has been agreed on.
func (a agreed) encoding() encoding {
	e := spokenProtocols[a.protocol] // of one that is not spoken: JSON
	if a.deflate {
		return e.deflated()
	}
	return e
}

// upgraderFor completes a handshake with what has been agreed on. gws reads the request's headers, which are set to that.
func (s *Server) upgraderFor(a agreed, h http.Header) *gws.Upgrader {
	h.Del(wsframe.ExtensionsHeader)
	if a.deflate {
		h.Set(wsframe.ExtensionsHeader, wsframe.Deflate)
	}
	h.Del("Sec-WebSocket-Protocol")
	if a.protocol != "" {
		h.Set("Sec-WebSocket-Protocol", a.protocol)
	}
	if u := s.upgraders[a]; u != nil {
		return u
	}
	return s.newUpgrader(a)
}

// depart gives up a connection from which nothing more is read.
func (s *Server) depart(c *client, reason closeReason) {
	c.waitHungUp()
	_ = c.conn.Close()
	s.hub.m.closes[c.ended(reason)].Inc()
	c.stray(false)
	s.detach(c)
	c.stopWatch()
	s.hub.leave(c)
	s.hub.m.connections.Add(-1)
	s.conns.remove(c)
}

func (c *client) heardNow() time.Time {
	now := c.hub.now()
	c.heard.Store(c.hub.elapsed(now))
	return now
}

// queuePong answers a ping. If an answer still waits it is for an older ping, and only the newest needs
// one (RFC 6455, 5.5.3).
func (c *client) queuePong(payload []byte) {
	f := controlFrame(opPong, payload)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pong != nil {
		grown := f.size() - c.pong.frame.size()
		c.lane.bytes += grown
		c.hub.m.losslessBytes.Add(int64(grown))
		c.pong.frame = f
		return
	}
	it := &item{frame: f, counted: true}
	c.pushLocked(it)
	if c.state == serving {
		c.pong = it
	}
}
