package ingest

import (
	"context"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"weir/auth"
	"weir/ingest/mqtt"
	"weir/wire"
)

// lastTimeout bounds storing a last will.
const lastTimeout = 5 * time.Second

// handleMQTT is GET /mqtt, the path that many MQTT clients know.
func (s *Server) handleMQTT(w http.ResponseWriter, r *http.Request) {
	if !slices.ContainsFunc(offered(r.Header), isMQTT) {
		w.Header().Set("Upgrade", "websocket")
		w.Header().Set("Connection", "Upgrade")
		wire.WriteError(w, http.StatusUpgradeRequired, &wire.Error{
			Code: wire.CodeUpgradeRequired, Message: "this endpoint speaks MQTT over WebSocket, subprotocol mqtt"})
		return
	}
	s.handleSocket(w, r)
}

// mqttOptions are what the sessions of all MQTT clients share.
func (s *Server) mqttOptions(commands mqtt.Commands) *mqtt.Options {
	return &mqtt.Options{
		MaxPacket: s.cfg.MaxFrameBytes, ReceiveMaximum: s.cfg.Credit, ConnectTimeout: s.cfg.AuthTimeout,
		PacketTimeout: s.cfg.MessageTimeout, KeepAlive: max(s.cfg.IdleTimeout, time.Second), Commands: commands, Clients: mqtt.NewClients(),
	}
}

// mqttLink is the connection of an MQTT client: a mqtt.Link. What is not said otherwise is the reader's.
type mqttLink struct {
	c       *conn
	intake  *intake
	session *mqtt.Session
	held    int64 // of the server's budget, for a packet that comes in pieces

	// What the gate said to the handshake.
	principal *auth.Principal
	refusal   error

	ending atomic.Pointer[ending] // why others want the connection to end
}

type ending struct {
	code   uint16
	reason string
}

func newMQTTLink(c *conn) *mqttLink {
	l := &mqttLink{c: c, intake: newIntake(c)}
	l.session = mqtt.New(c.srv.mqtt, l)
	return l
}

// handshake keeps what the gate said, until CONNECT comes.
func (l *mqttLink) handshake(p *auth.Principal, err error) { l.principal, l.refusal = p, err }

// take deals with a WebSocket message; refusal is of one that cannot be decompressed.
func (l *mqttLink) take(data []byte, refusal *wire.Error) {
	if refusal != nil {
		l.c.breaks(notUnpacked)
		return
	}
	if l.c.ctx.Err() != nil || l.c.verdict.Load() == signedOut {
		return // read before the end
	}
	l.session.Take(data)
}

// gather appends a binary frame with what is due, and tells how many receipts it, or nothing, stands for. It is the
// writer's.
func (l *mqttLink) gather(buf []byte) ([]byte, uint64) {
	c, start := l.c, len(buf)
	buf = append(buf, noHeader[:]...)
	head, n := c.head.Load(), uint64(0)
	for pending := c.tail.Load() - head; n < pending && len(buf) < maxWriteBytes; n++ {
		r := c.ring[(head+n)%uint64(len(c.ring))]
		if !r.ready.Load() {
			break
		}
		buf = l.session.Answer(buf, l.intake.tag(head+n), &r.Receipt)
	}
	buf = l.session.Due(buf)
	if len(buf) == start+maxHeader {
		return buf[:start], n
	}
	return frameBinary(buf, start), n
}

// overdue reports whether the connection is to end. It is the sweep's.
func (l *mqttLink) overdue(now int64) bool {
	code, reason, over := l.session.Verdict(now)
	if over {
		l.ending.CompareAndSwap(nil, &ending{code, reason})
	}
	return over
}

// over ends the connection as others wanted. It is the writer's.
func (l *mqttLink) over() {
	e := l.ending.Load()
	if e == nil {
		e = &ending{wire.CloseInternal, wire.ReasonInternal}
	}
	if e.reason == wire.ReasonHeartbeat {
		l.c.srv.metrics.closedIdle.Inc()
	}
	l.c.close(e.code, e.reason)
}

// ended is for when neither reads nor writes any more.
func (l *mqttLink) ended() {
	l.session.Ended(l.c.draining.Load() || l.c.ousted.Load() != nil)
}

// Authenticate implements mqtt.Link.
func (l *mqttLink) Authenticate(credential string) (*auth.Principal, error) {
	if credential == "" {
		return l.principal, l.refusal
	}
	ctx, cancel := context.WithTimeout(l.c.ctx, l.c.srv.cfg.AuthTimeout)
	defer cancel()
	return l.c.srv.gate.Token(auth.WithAddress(ctx, l.c.remote), credential)
}

// Admit implements mqtt.Link.
func (l *mqttLink) Admit(p *auth.Principal) *wire.Error {
	if p == nil {
		return wire.NewError(wire.CodeUnauthenticated, "")
	}
	refusal := l.c.signIn(p)
	l.c.expires.Store(0) // the notice is not MQTT's
	return refusal
}

// Submit implements mqtt.Link.
func (l *mqttLink) Submit(f *mqtt.Frame, tag uint64) bool {
	r := l.intake.begin(tag)
	if r == nil {
		return false
	}
	l.c.srv.metrics.framesMQTT.Inc()
	l.store(l.c.ctx, f, r)
	l.c.end(r)
	return true
}

func (l *mqttLink) store(ctx context.Context, f *mqtt.Frame, r *receipt) {
	format, ok := wire.FormatOfContentType(f.ContentType)
	e := l.intake.encoder(f.Device, format)
	switch {
	case f.Refusal != nil:
		e.refuse(ctx, f.Payload, r, f.Refusal)
	case !ok:
		e.refuse(ctx, f.Payload, r, wire.NewError(wire.CodeFormatUnknown, "content_type"))
	default:
		e.submitNumbered(ctx, f.Payload, numbers{f.Session, f.Seq, f.HasSeq}, r)
	}
}

// Defer implements mqtt.Link.
func (l *mqttLink) Defer(tag uint64, start func(context.Context, func(*wire.Error))) bool {
	r := l.intake.begin(tag)
	if r == nil {
		return false
	}
	r.pending.Add(1)
	start(l.c.ctx, func(e *wire.Error) {
		r.Err = e
		r.release()
	})
	l.c.end(r)
	return true
}

// Last implements mqtt.Link. It waits, but not for ever.
func (l *mqttLink) Last(f *mqtt.Frame) {
	ctx, cancel := context.WithTimeout(context.Background(), lastTimeout)
	defer cancel()
	s := l.c.srv
	if _, err := s.storeAlone(ctx, true, func(r *receipt) { l.store(ctx, f, r) }); err != nil {
		s.logger.Warn("last will not known to be stored", "remote", l.c.net.RemoteAddr(), "device", f.Device, "error", err)
	}
}

// Send implements mqtt.Link.
func (l *mqttLink) Send(packets []byte) bool {
	if l.c.net == nil {
		return false
	}
	buf := append(make([]byte, 0, maxHeader+len(packets)), noHeader[:]...)
	return l.c.write(frameBinary(append(buf, packets...), 0))
}

// Wake implements mqtt.Link.
func (l *mqttLink) Wake() { l.c.signal() }

// Close implements mqtt.Link.
func (l *mqttLink) Close(code uint16, reason string) {
	if code == wire.CloseProtocolError {
		l.c.breaks(badPacket)
		return
	}
	l.c.close(code, reason)
}

// End implements mqtt.Link.
func (l *mqttLink) End(code uint16, reason string) {
	l.ending.CompareAndSwap(nil, &ending{code, reason})
	l.c.giveUp(sessionOver)
}

// Reserve implements mqtt.Link.
func (l *mqttLink) Reserve(bytes int64) bool {
	if !l.c.srv.pending.try(bytes) {
		return false
	}
	l.held += bytes
	return true
}

// GiveBack implements mqtt.Link.
func (l *mqttLink) GiveBack() {
	if l.held > 0 {
		l.c.srv.pending.giveBack(l.held)
		l.held = 0
	}
}
