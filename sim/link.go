package sim

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/lxzan/gws"

	"weir/sim/wsdial"
	"weir/wire"
)

// writeTimeout bounds one write; credit keeps a device from writing to a server that does not read.
const writeTimeout = 10 * time.Second

// link is one connection. Its reader is the goroutine that runs ReadLoop; everything else is its device's.
type link struct {
	gws.BuiltinEventHandler
	conn     *gws.Conn
	receipts chan *wire.Receipt
	quit     chan struct{} // closed by the device, which then takes no more receipts
	closed   chan struct{} // closed by the reader when it has ended, after setting err
	err      error

	frames uint64 // sent
	heard  bool   // a receipt has come
}

func openLink(ctx context.Context, url string) (*link, error) {
	l := &link{
		receipts: make(chan *wire.Receipt, 16),
		quit:     make(chan struct{}),
		closed:   make(chan struct{}),
	}
	conn, err := wsdial.Dial(ctx, url, l, nil)
	if err != nil {
		return nil, err
	}
	l.conn = conn
	go conn.ReadLoop()
	return l, nil
}

// send writes the next frame and returns its number on this connection.
func (l *link) send(body []byte) (number uint64, err error) {
	if err := l.conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return 0, err
	}
	if err := l.conn.WriteMessage(gws.OpcodeText, body); err != nil {
		return 0, err
	}
	l.frames++
	return l.frames, nil
}

// close ends the connection and waits for its reader: with a farewell, or as if a cable was cut.
func (l *link) close(farewell bool) {
	if farewell {
		_ = l.conn.SetWriteDeadline(time.Now().Add(time.Second))
		_ = l.conn.WriteClose(wire.CloseNormal, nil)
	}
	l.conn.NetConn().Close()
	close(l.quit)
	<-l.closed
}

// OnMessage takes receipts; other messages are not for devices of today.
func (l *link) OnMessage(_ *gws.Conn, message *gws.Message) {
	defer func() { _ = message.Close() }()
	receipt, err := wire.DecodeReceipt(message.Bytes())
	if err != nil {
		return
	}
	select {
	case l.receipts <- receipt:
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
		l.err = &ClosedError{Code: closed.Code, Reason: string(closed.Reason)}
	}
	close(l.closed)
}

// ClosedError says that the server closed the connection, and why.
type ClosedError struct {
	Code   uint16
	Reason string
}

func (e *ClosedError) Error() string {
	text := fmt.Sprintf("the server closed the connection: %d %s", e.Code, e.Reason)
	if info, ok := e.info(); ok {
		text += " (" + info.Meaning + ")"
	}
	return text
}

// Final reports whether the protocol forbids to come back without a change.
func (e *ClosedError) Final() bool {
	info, ok := e.info()
	return ok && info.Action != wire.ActionReconnect && info.Action != wire.ActionNone
}

func (e *ClosedError) info() (wire.CloseInfo, bool) {
	for _, info := range wire.CloseCodes() {
		if info.Code == e.Code && info.Reason == e.Reason {
			return info, true
		}
	}
	return wire.CloseInfo{}, false
}
