package device

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lxzan/gws"

	"weir/wire"
)

// writeTimeout bounds one write; credit keeps a client from writing to a server that does not read.
const writeTimeout = 10 * time.Second

// maxInbox is how many messages may wait for the client.
const maxInbox = 4096

// message is one of the server's: a receipt, or another with its payload.
type message struct {
	receipt *wire.Receipt
	kind    string
	payload json.RawMessage
}

// link is one connection. Its reader is the goroutine that runs ReadLoop; everything else is the client's.
type link struct {
	gws.BuiltinEventHandler
	conn   *gws.Conn
	ready  chan struct{} // to the client: there are messages
	closed chan struct{} // closed by the reader when it has ended, after setting err
	err    error
	opened time.Time
	heard  atomic.Int64 // when anything came, since opened: clocks of devices jump

	// What the reader has taken. It never waits for the client, who may be writing to a server that waits for its
	// own messages to be read.
	inboxMu sync.Mutex
	inbox   []message

	frames   uint64 // sent
	progress bool   // the server has taken part: the next wait may be short again
}

func newLink() *link {
	return &link{ready: make(chan struct{}, 1), closed: make(chan struct{})}
}

func (l *link) start(conn *gws.Conn) {
	l.conn = conn
	l.opened = time.Now()
	go conn.ReadLoop()
}

func (l *link) hear() { l.heard.Store(int64(time.Since(l.opened))) }

// silence is how long nothing has come, and when something last did.
func (l *link) silence() (silent time.Duration, heard int64) {
	heard = l.heard.Load()
	return time.Since(l.opened) - time.Duration(heard), heard
}

// send writes the next frame and returns its number on this connection.
func (l *link) send(opcode gws.Opcode, head, body []byte) (number uint64, err error) {
	if err := l.conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return 0, err
	}
	if err := l.conn.Writev(opcode, head, body); err != nil {
		return 0, err
	}
	l.frames++
	return l.frames, nil
}

// tell writes a message that is no frame.
func (l *link) tell(text []byte) error {
	if err := l.conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	return l.conn.WriteMessage(gws.OpcodeText, text)
}

func (l *link) ping() error {
	if err := l.conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	return l.conn.WritePing(nil)
}

// close ends the connection and waits for its reader: with a farewell, or as if a cable was cut.
func (l *link) close(farewell bool) {
	if farewell {
		_ = l.conn.SetWriteDeadline(time.Now().Add(time.Second))
		_ = l.conn.WriteClose(wire.CloseNormal, nil)
	}
	l.conn.NetConn().Close()
	<-l.closed
}

var receiptStart = []byte(`{"type":"receipt"`)

// OnMessage passes on what the server says. What is not understood is no reason to end: servers learn new words.
func (l *link) OnMessage(_ *gws.Conn, m *gws.Message) {
	defer func() { _ = m.Close() }()
	l.hear()
	var out message
	if text := m.Bytes(); bytes.HasPrefix(text, receiptStart) {
		receipt, err := wire.DecodeReceipt(text)
		if err != nil {
			return
		}
		out.receipt = receipt
	} else {
		var envelope struct {
			Type    string          `json:"type"`
			Payload json.RawMessage `json:"payload"`
		}
		if json.Unmarshal(text, &envelope) != nil {
			return
		}
		out.kind, out.payload = envelope.Type, envelope.Payload
		if out.kind == wire.TypeReceipt {
			receipt, err := wire.DecodeReceipt(text)
			if err != nil {
				return
			}
			out.receipt = receipt
		}
	}
	l.inboxMu.Lock()
	l.inbox = append(l.inbox, out)
	full := len(l.inbox) > maxInbox
	l.inboxMu.Unlock()
	if full {
		l.conn.NetConn().Close() // a server that says more than anybody asked for
		return
	}
	select {
	case l.ready <- struct{}{}:
	default:
	}
}

// messages takes what has come.
func (l *link) messages() []message {
	l.inboxMu.Lock()
	defer l.inboxMu.Unlock()
	out := l.inbox
	l.inbox = nil
	return out
}

// OnPing answers with the payload, as RFC 6455 wants and gws by itself does not.
func (l *link) OnPing(conn *gws.Conn, payload []byte) {
	l.hear()
	_ = conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	_ = conn.WritePong(payload)
}

// OnPong is a sign of life.
func (l *link) OnPong(*gws.Conn, []byte) { l.hear() }

// OnClose ends the link.
func (l *link) OnClose(_ *gws.Conn, err error) {
	l.err = fmt.Errorf("connection lost: %w", err)
	var closed *gws.CloseError
	if errors.As(err, &closed) {
		l.err = &ClosedError{Code: closed.Code, Reason: string(closed.Reason)}
	}
	close(l.closed)
}
