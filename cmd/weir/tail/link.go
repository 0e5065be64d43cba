package tail

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/lxzan/gws"

	"weir/sim"
	"weir/sim/wsdial"
	"weir/wire"
)

// link is one connection. Its reader hands over one message at a time, so that while the terminal is slow
// the socket is not read and the server merges.
type link struct {
	gws.BuiltinEventHandler
	conn     *gws.Conn
	decoder  wire.LiveDecoder // the reader's
	messages chan received
	quit     chan struct{} // closed by Run, which then takes no more
	closed   chan struct{} // closed by the reader, after setting err
	err      error
}

type received struct {
	message wire.ServerMessage
	at      time.Time
	err     error
}

func open(ctx context.Context, url, token string, subscribe wire.Subscribe) (*link, error) {
	l := &link{messages: make(chan received), quit: make(chan struct{}), closed: make(chan struct{})}
	header := http.Header{"Sec-WebSocket-Protocol": {wire.LiveProtocol}}
	if token != "" {
		header.Set("Authorization", "Bearer "+token)
	}
	conn, err := wsdial.Dial(ctx, url, l, header)
	if err != nil {
		return nil, err
	}
	l.conn = conn
	go conn.ReadLoop()
	if err := conn.WriteMessage(gws.OpcodeText, subscribe.Append(nil)); err != nil {
		l.close()
		return nil, fmt.Errorf("subscribe: %w", err)
	}
	return l, nil
}

// close ends the connection and waits for its reader.
func (l *link) close() {
	_ = l.conn.SetWriteDeadline(time.Now().Add(time.Second))
	_ = l.conn.WriteClose(wire.CloseNormal, nil)
	close(l.quit)
	<-l.closed
}

// OnMessage hands a message over.
func (l *link) OnMessage(_ *gws.Conn, message *gws.Message) {
	defer func() { _ = message.Close() }()
	at := time.Now()
	m, err := l.decoder.Decode(message.Bytes())
	select {
	case l.messages <- received{m, at, err}:
	case <-l.quit:
	}
}

// OnPing answers with the payload, as RFC 6455 wants and gws by itself does not.
func (l *link) OnPing(conn *gws.Conn, payload []byte) { _ = conn.WritePong(payload) }

// OnClose ends the link.
func (l *link) OnClose(_ *gws.Conn, err error) {
	l.err = fmt.Errorf("connection lost: %w", err)
	var closed *gws.CloseError
	if errors.As(err, &closed) {
		l.err = &sim.ClosedError{Code: closed.Code, Reason: string(closed.Reason)}
	}
	close(l.closed)
}
