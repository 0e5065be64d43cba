package device

import (
	"bufio"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lxzan/gws"
	"go.uber.org/goleak"

	"weir/wire"
)

func TestMain(m *testing.M) {
	if crashChild() {
		return
	}
	goleak.VerifyTestMain(m)
}

const testURL = "ws://server.test/v1/ingest"

// arrival is a frame on one of the server's connections, both counted from 1.
type arrival struct {
	Device   string `json:"device"`
	Session  string `json:"session"`
	Seq      uint64 `json:"seq"`
	Backlog  bool   `json:"backlog"`
	Readings []struct {
		Metric string  `json:"metric"`
		Time   any     `json:"ts"`
		Value  float64 `json:"value"`
	} `json:"readings"`

	raw    string
	peer   *peer
	conn   int
	frame  uint64
	flying uint64
	at     time.Time
}

// peer is one connection at the server.
type peer struct {
	gws.BuiltinEventHandler
	s        *server
	socket   *gws.Conn
	number   int
	header   http.Header
	query    string
	frames   uint64
	answered uint64
	others   []string // messages that are no frames
	pings    atomic.Int64
	ended    chan struct{}
}

// server is an ingest endpoint on in-memory connections that does what its test says. answer is called for each
// frame in the goroutine of its connection; what it returns is sent as the receipt, nil sends none. refuse, if set,
// may answer a handshake.
type server struct {
	answer func(a *arrival) *wire.Receipt
	refuse func(dial int) (status int, header http.Header)
	opened func(p *peer)
	heard  func(p *peer, kind string, payload json.RawMessage)

	mu       sync.Mutex
	dials    []time.Time
	peers    []*peer
	arrivals []*arrival
	down     bool
	closes   []error
	wg       sync.WaitGroup
}

// accept is the answer of a server that is content.
func accept(a *arrival) *wire.Receipt { return &wire.Receipt{Accepted: len(a.Readings), Credit: 8} }

var errDown = &net.OpError{Op: "dial", Err: net.ErrClosed}

// dial is Options.Dial.
func (s *server) dial(context.Context, string, string) (net.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dials = append(s.dials, time.Now())
	if s.down {
		return nil, errDown
	}
	here, there := net.Pipe()
	number := len(s.dials)
	s.wg.Go(func() { s.serve(there, number) })
	return here, nil
}

func (s *server) serve(conn net.Conn, dial int) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	r, err := http.ReadRequest(in)
	if err != nil {
		return
	}
	if s.refuse != nil {
		if status, header := s.refuse(dial); status != 0 {
			resp := http.Response{StatusCode: status, ProtoMajor: 1, ProtoMinor: 1, Header: header}
			_ = resp.Write(conn)
			return
		}
	}
	p := &peer{s: s, header: r.Header, query: r.URL.RawQuery, ended: make(chan struct{})}
	option := &gws.ServerOption{Recovery: gws.Recovery, SubProtocols: subprotocols(r),
		PermessageDeflate: gws.PermessageDeflate{Enabled: true, Threshold: 1}}
	socket, err := gws.NewUpgrader(p, option).UpgradeFromConn(conn, in, r)
	if err != nil {
		return
	}
	p.socket = socket
	s.mu.Lock()
	s.peers = append(s.peers, p)
	p.number = len(s.peers)
	s.mu.Unlock()
	if s.opened != nil {
		s.opened(p)
	}
	socket.ReadLoop()
}

func subprotocols(r *http.Request) []string {
	if asked := r.Header.Get("Sec-WebSocket-Protocol"); asked != "" {
		return strings.Split(asked, ", ")
	}
	return nil
}

func (p *peer) OnClose(_ *gws.Conn, err error) {
	p.s.mu.Lock()
	p.s.closes = append(p.s.closes, err)
	p.s.mu.Unlock()
	close(p.ended)
}

func (p *peer) OnPing(conn *gws.Conn, payload []byte) {
	p.pings.Add(1)
	_ = conn.SetWriteDeadline(time.Now().Add(time.Second))
	_ = conn.WritePong(payload)
}

func (p *peer) OnMessage(_ *gws.Conn, message *gws.Message) {
	defer message.Close()
	var typed struct {
		Type    string          `json:"type"`
		Payload json.RawMessage `json:"payload"`
	}
	a := &arrival{raw: message.Data.String(), peer: p, conn: p.number, at: time.Now()}
	if message.Opcode == gws.OpcodeText {
		if err := json.Unmarshal(message.Bytes(), &typed); err != nil {
			panic(err)
		}
		if typed.Type != "" {
			p.s.mu.Lock()
			p.others = append(p.others, a.raw)
			p.s.mu.Unlock()
			if p.s.heard != nil {
				p.s.heard(p, typed.Type, typed.Payload)
			}
			return
		}
		if err := json.Unmarshal(message.Bytes(), a); err != nil {
			panic(err)
		}
	}
	p.s.mu.Lock()
	p.frames++
	a.frame, a.flying = p.frames, p.frames-p.answered
	p.s.arrivals = append(p.s.arrivals, a)
	p.s.mu.Unlock()
	if r := p.s.answer(a); r != nil {
		p.reply(a, r)
	}
}

func (p *peer) reply(a *arrival, r *wire.Receipt) {
	p.s.mu.Lock()
	p.answered++
	p.s.mu.Unlock()
	r.Frame, r.Seq, r.HasSeq = a.frame, a.Seq, true
	p.write(string(r.Append(nil)))
}

func (p *peer) write(text string) {
	_ = p.socket.SetWriteDeadline(time.Now().Add(time.Second))
	_ = p.socket.WriteString(text)
}

func (p *peer) close(code uint16, reason string) {
	_ = p.socket.SetWriteDeadline(time.Now().Add(time.Second))
	_ = p.socket.WriteClose(code, []byte(reason))
}

func (s *server) setDown(down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = down
	if down {
		for _, p := range s.peers {
			p.socket.NetConn().Close()
		}
	}
}

func (s *server) seen() []*arrival {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.arrivals)
}

func (s *server) dialled() []time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.dials)
}

func (s *server) others(conn int) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.peers[conn-1].others)
}

// start makes a client of the server. The test closes it.
func start(t *testing.T, s *server, change func(o *Options)) *Client {
	t.Helper()
	o := Options{URL: testURL, Device: "plant1/press1", Dial: s.dial}
	if change != nil {
		change(&o)
	}
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// finish closes the client within a minute of its time and waits for the server's goroutines.
func finish(t *testing.T, s *server, c *Client) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := c.Close(ctx); err != nil {
		t.Errorf("close: %v", err)
	}
	s.wg.Wait()
}

func send(t *testing.T, c *Client, values ...float64) uint64 {
	t.Helper()
	var readings []Reading
	for _, v := range values {
		readings = append(readings, At("temperature", v, time.Now()))
	}
	seq, err := c.Send(context.Background(), readings...)
	if err != nil {
		t.Fatal(err)
	}
	return seq
}

func flush(t *testing.T, c *Client) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	if err := c.Flush(ctx); err != nil {
		t.Fatal(err)
	}
}
