package device

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lxzan/gws"

	"weir/telemetry"
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
	mute   bool // pings are not answered

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
		if !p.mute {
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

func (p *livePeer) write(m wire.ServerMessage) { p.text(string(m.Append(nil))) }

func (p *livePeer) text(text string) {
	_ = p.socket.SetWriteDeadline(time.Now().Add(time.Second))
	_ = p.socket.WriteString(text)
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

// add writes an update of n readings that continues its series, and returns its version.
func (s *liveServer) add(series string, n int, value float64) Version {
	s.mu.Lock()
	defer s.mu.Unlock()
	since := telemetry.NoVersion
	if before := s.state[series]; before != nil {
		since = before.Version
	} else {
		s.order = append(s.order, series)
	}
	at := int64(len(s.log)+1) * 1000
	u := &Update{
		Series: series, Since: since, Version: Version(len(s.log)+1) * 10, N: uint64(n),
		FirstTime: at, LastTime: at, Last: value, Min: value, Max: value, Sum: value * float64(n), EmitTime: at, IngestTime: at,
	}
	s.log = append(s.log, logged{update: u})
	s.state[series] = u
	return u.Version
}

// alert writes a transition.
func (s *liveServer) alert(id, series string, phase telemetry.Phase) {
	s.mu.Lock()
	a := Alert{ID: id, Series: series, Phase: phase, Version: Version(len(s.log)+1) * 10}
	s.log = append(s.log, logged{alert: &a})
	if s.alerts[id] = a; phase == telemetry.Resolved {
		delete(s.alerts, id)
	}
	s.mu.Unlock()
	for _, p := range s.open() {
		p.mu.Lock()
		hears := slices.ContainsFunc(mapKeys(p.subs), func(id string) bool { return matches(p.want[id], series) })
		p.mu.Unlock()
		if hears {
			p.write(&wire.AlertMsg{Alert: a})
		}
	}
}

func mapKeys[V any](m map[string]V) (keys []string) {
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func matches(pattern, series string) bool {
	p, err := telemetry.ParsePattern(pattern)
	return err == nil && p.Match(series)
}

func (s *liveServer) open() (out []*livePeer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.peers {
		select {
		case <-p.ended:
		default:
			out = append(out, p)
		}
	}
	return out
}

func (s *liveServer) indexLocked(series string) int { return slices.Index(s.order, series) }

func (s *liveServer) cursorLocked(at int) string { return s.epoch + ":" + strconv.Itoa(at) }

// mergedLocked are rows of what came from a place of the log on, and the transitions.
func (s *liveServer) mergedLocked(pattern string, from int) (rows []wire.Row, alerts []Alert) {
	at := make(map[string]int)
	for _, e := range s.log[from:] {
		switch {
		case e.alert != nil:
			if matches(pattern, e.alert.Series) {
				alerts = append(alerts, *e.alert)
			}
		case !matches(pattern, e.update.Series):
		default:
			u := *e.update
			i, known := at[u.Series]
			if !known {
				at[u.Series] = len(rows)
				rows = append(rows, wire.Row{I: s.indexLocked(u.Series), Update: &u})
				continue
			}
			if err := rows[i].Update.Merge(&u); err != nil {
				panic(err)
			}
		}
	}
	return rows, alerts
}

func (p *livePeer) subscribe(r *wire.Subscribe) {
	s := p.s
	pattern := r.Patterns[0].String()
	s.mu.Lock()
	epoch, offset, _ := strings.Cut(r.Cursor, ":")
	from, err := strconv.Atoi(offset)
	m := &wire.Subscribed{ID: r.ID, View: p.next(), MaxHz: 20, Cursor: s.cursorLocked(len(s.log)), PushTime: 1}
	for i, series := range s.order {
		if matches(pattern, series) {
			m.Dictionary = append(m.Dictionary, wire.Entry{I: i, Series: series})
		}
	}
	reason := ""
	switch {
	case r.Cursor == "":
	case epoch != s.epoch:
		reason = "epoch_changed"
	case err != nil || from < s.oldest:
		reason = "cursor_too_old"
	default:
		m.Resumed = true
		m.Rows, m.Alerts = s.mergedLocked(pattern, from)
	}
	if !m.Resumed {
		for i, series := range s.order {
			if matches(pattern, series) {
				m.Rows = append(m.Rows, wire.Row{I: i, Update: s.state[series]})
			}
		}
		for _, id := range mapKeys(s.alerts) {
			if matches(pattern, s.alerts[id].Series) {
				m.Alerts = append(m.Alerts, s.alerts[id])
			}
		}
	}
	p.mu.Lock()
	p.subs[r.ID], p.view[r.ID], p.want[r.ID] = len(s.log), m.View, pattern
	p.told[m.View] = make(map[string]bool)
	for _, e := range m.Dictionary {
		p.told[m.View][e.Series] = true
	}
	p.mu.Unlock()
	s.mu.Unlock()
	if reason != "" {
		p.write(&wire.Resync{View: m.View, ID: r.ID, Reason: reason})
	}
	p.write(m)
}

// flush tells the connections what is new.
func (s *liveServer) flush() {
	for _, p := range s.open() {
		p.flush()
	}
}

func (p *livePeer) flush() {
	s := p.s
	var out []wire.ServerMessage
	s.mu.Lock()
	p.mu.Lock()
	for _, id := range mapKeys(p.subs) {
		rows, _ := s.mergedLocked(p.want[id], p.subs[id])
		p.subs[id] = len(s.log)
		added := &wire.SeriesMsg{View: p.view[id]}
		for _, r := range rows {
			if told := p.told[added.View]; !told[r.Update.Series] {
				told[r.Update.Series] = true
				added.Added = append(added.Added, wire.Entry{I: r.I, Series: r.Update.Series})
			}
		}
		if len(added.Added) > 0 {
			out = append(out, added)
		}
		if len(rows) > 0 {
			out = append(out, &wire.Updates{View: p.view[id], Cursor: s.cursorLocked(len(s.log)), PushTime: time.Now().UnixMicro(), Rows: rows})
		}
	}
	p.mu.Unlock()
	s.mu.Unlock()
	for _, m := range out {
		p.write(m)
	}
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
