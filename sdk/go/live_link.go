package device

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/lxzan/gws"

	"weir/wire"
)

// liveLink is one connection of a Live. Its reader is the goroutine that runs ReadLoop.
type liveLink struct {
	link
	live    *Live
	decoder wire.LiveDecoder // the reader's

	// Guarded by live.mu.
	greeted   bool          // the server has said welcome
	heartbeat time.Duration // 0: not told
	away      time.Duration // how long a server that stops wants to be left alone
	renew     bool          // the credentials end soon
	expires   time.Time     // when
	used      bool          // a subscription was answered
	session   string        // the server's name for the connection
	fault     error         // why the connection is to be given up
}

// dial opens a connection, within dialTimeout and as long as ctx lasts.
func (l *Live) dial(ctx context.Context, token string) (*liveLink, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	k := &liveLink{link: link{closed: make(chan struct{})}, live: l}
	header := l.o.Header.Clone()
	if header == nil {
		header = make(http.Header)
	}
	if token != "" && !l.o.TokenInMessage {
		header.Set("Authorization", "Bearer "+token)
	}
	protocol := wire.LiveProtocol
	if l.o.Protobuf {
		protocol = wire.LiveProtocolProto + ", " + protocol
	}
	header.Set("Sec-WebSocket-Protocol", protocol)
	to := endpoint{url: l.o.URL, tls: l.o.TLS, dial: l.o.Dial}
	//nolint:bodyclose // the body of the answer to an upgrade is the connection itself
	conn, resp, err := to.shake(ctx, k, &gws.ClientOption{
		RequestHeader: header, ReadMaxPayloadSize: l.o.MaxMessage,
		PermessageDeflate: gws.PermessageDeflate{Enabled: l.o.Compress},
	})
	if err != nil {
		return nil, dialError(ctx, l.o.URL, resp, err)
	}
	l.mu.Lock()
	l.current = k
	l.mu.Unlock()
	k.start(conn)
	return k, nil
}

// OnMessage takes what the server says. What is not understood is no reason to end: servers learn new words. What is broken
// is, as nothing that follows could be proved.
func (k *liveLink) OnMessage(_ *gws.Conn, m *gws.Message) {
	defer func() { _ = m.Close() }()
	k.hear()
	at := time.Now()
	decode := k.decoder.Decode
	if m.Opcode == gws.OpcodeBinary {
		decode = k.decoder.DecodeProto
	}
	message, err := decode(m.Bytes())
	if said, ok := message.(*Message); ok && err == nil {
		k.live.takeMessage(k, said)
		return
	}
	k.live.mu.Lock()
	defer k.live.mu.Unlock()
	switch {
	case k.live.current != k:
	case err != nil:
		k.giveUpLocked(fmt.Errorf("a message that cannot be read: %w", err))
	default:
		k.live.takeLocked(k, message, at)
	}
}

// giveUpLocked has run end the connection.
func (k *liveLink) giveUpLocked(why error) {
	k.fault = why
	k.live.signal()
}
