package device

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lxzan/gws"

	"weir/wire"
)

const liveURL = "ws://server.test/v1/live"

// livePeer is one connection at a live server.
type livePeer struct {
	gws.BuiltinEventHandler
	s      *liveServer
	socket *gws.Conn
	number int // from 1
	header http.Header
	ended  chan struct{}
	mute   atomic.Bool // pings are not answered

	mu    sync.Mutex
	got   []string       // messages
	subs  map[string]int // by id: up to where of the log it was told
	view  map[string]int // by id
	views int
	want  map[string]string // by id: the pattern
	told  map[int]map[string]bool
}

// liveServer is a live endpoint on in-memory connections. heard, if set, may take a message; what it does not take is
// answered as a server would, from the log. greet, if set, replaces the welcome.
type liveServer struct {
	heard  func(p *livePeer, kind string, payload json.RawMessage) bool
	greet  func(p *livePeer)
	refuse func(dial int) (status int, header http.Header)

	mu     sync.Mutex
	dials  []time.Time
	peers  []*livePeer
	closes []error
	down   bool
	wg     sync.WaitGroup

	epoch  string
	oldest int // of the log, that a cursor may name
	log    []logged
	state  map[string]*Update // by series: the newest row
	alerts map[string]Alert   // open
	order  []string           // of series, by dictionary index
}

// logged is an update or a transition.
type logged struct {
	update *Update
	alert  *Alert
}

func newLiveServer() *liveServer {
	return &liveServer{epoch: "e1", state: make(map[string]*Update), alerts: make(map[string]Alert)}
}

func (s *liveServer) dial(context.Context, string, string) (net.Conn, error) {
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

func (s *liveServer) serve(conn net.Conn, dial int) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	r, err := http.ReadRequest(in)
	if err != nil {
		return
	}
	if s.refuse != nil {
		if status, header := s.refuse(dial); status != 0 {
			_ = (&http.Response{StatusCode: status, ProtoMajor: 1, ProtoMinor: 1, Header: header}).Write(conn)
			return
		}
	}
	p := &livePeer{
		s: s, header: r.Header, ended: make(chan struct{}), subs: make(map[string]int), view: make(map[string]int),
		want: make(map[string]string), told: make(map[int]map[string]bool),
	}
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
	if s.greet != nil {
		s.greet(p)
	} else {
		p.welcome()
	}
	socket.ReadLoop()
}

func (p *livePeer) welcome() {
	p.write(&wire.Welcome{Protocol: wire.LiveProtocol, Epoch: p.s.epoch, Session: fmt.Sprintf("s%d", p.number), HeartbeatMS: 10_000, Read: []string{"#"}})
}

func (p *livePeer) OnClose(_ *gws.Conn, err error) {
	p.s.mu.Lock()
	p.s.closes = append(p.s.closes, err)
	p.s.mu.Unlock()
	close(p.ended)
}

func (p *livePeer) OnMessage(_ *gws.Conn, message *gws.Message) {
	defer message.Close()
	text := message.Data.String()
	var m struct {
		Type    string
		Payload json.RawMessage
	}
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		panic(err)
	}
	p.mu.Lock()
	p.got = append(p.got, text)
	p.mu.Unlock()
	if p.s.heard != nil && p.s.heard(p, m.Type, m.Payload) {
		return
	}
	switch m.Type {
	case wire.TypePing:
		if !p.mute.Load() {
			p.write(&wire.Pong{Payload: m.Payload})
		}
	case wire.TypeSubscribe:
		c, err := wire.DecodeClientMessage([]byte(text))
		if err != nil {
			panic(err)
		}
		p.subscribe(&c.Subscribe)
	case wire.TypeUnsubscribe:
		c, _ := wire.DecodeClientMessage([]byte(text))
		p.mu.Lock()
		delete(p.subs, c.Unsubscribe.ID)
		p.mu.Unlock()
	}
}

// newestText is the message that came last.
func (p *livePeer) newestText() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.got[len(p.got)-1]
}

// all are the messages.
func (p *livePeer) all() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.got)
}

// said are the messages of a type.
func (p *livePeer) said(kind string) (out []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, text := range p.got {
		if strings.HasPrefix(text, `{"type":"`+kind+`"`) {
			out = append(out, text)
		}
	}
	return out
}

// write says a message in the encoding that was agreed on.
func (p *livePeer) write(m wire.ServerMessage) {
	if p.socket.SubProtocol() != wire.LiveProtocolProto {
		p.text(string(m.Append(nil)))
		return
	}
	var message []byte
	switch m := m.(type) {
	case *wire.Subscribed:
		message = m.AppendProto(nil)
	case *wire.SeriesMsg:
		message = m.AppendProto(nil)
	case *wire.Updates:
		message = m.AppendProto(nil, 0)
	default:
		message = wire.AppendServerJSON(nil, m.Append(nil))
	}
	p.say(gws.OpcodeBinary, message)
}

func (p *livePeer) text(text string) { p.say(gws.OpcodeText, []byte(text)) }

func (p *livePeer) say(opcode gws.Opcode, message []byte) {
	_ = p.socket.SetWriteDeadline(time.Now().Add(time.Second))
	_ = p.socket.WriteMessage(opcode, message)
}

func (p *livePeer) close(code uint16, reason string) {
	_ = p.socket.SetWriteDeadline(time.Now().Add(time.Second))
	_ = p.socket.WriteClose(code, []byte(reason))
}

// newest is the number of the newest view.
func (p *livePeer) newest() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.views
}

func (p *livePeer) next() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.views++
	return p.views
}

func (p *livePeer) cut() { _ = p.socket.NetConn().Close() }

// peer is the newest connection that is open, or nil.
func (s *liveServer) peer() *livePeer {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range slices.Backward(s.peers) {
		select {
		case <-p.ended:
		default:
			return p
		}
	}
	return nil
}

func (s *liveServer) dialled() []time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.dials)
}

// startLive makes a Live of the server. The test closes it by finishLive.
func startLive(t *testing.T, s *liveServer, change func(o *LiveOptions)) *Live {
	t.Helper()
	o := LiveOptions{URL: liveURL, Dial: s.dial}
	if change != nil {
		change(&o)
	}
	l, err := NewLive(o)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func finishLive(s *liveServer, l *Live) {
	l.Close()
	s.wg.Wait()
}

func follow(t *testing.T, l *Live, o SubscribeOptions) *Subscription {
	t.Helper()
	if o.Patterns == nil {
		o.Patterns = []string{"#"}
	}
	sub, err := l.Subscribe(o)
	if err != nil {
		t.Fatal(err)
	}
	return sub
}

func next(t *testing.T, sub *Subscription) *Changes {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	c, err := sub.Next(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
