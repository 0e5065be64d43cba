package push

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/lxzan/gws"

	"weir/auth"
	"weir/telemetry"
	"weir/wire"
)

// patience bounds every wait of the tests. It is long because it is only reached by a failure.
const patience = 30 * time.Second

// testServer is a Server on a loopback port, fed by the test instead of Kafka.
type testServer struct {
	*Server
	t    testing.TB
	addr string
	stop func()

	wrote, alerted int64 // the offsets of the next records
}

func startServer(t testing.TB, change func(*Options)) *testServer {
	t.Helper()
	opts := Options{Config: DefaultConfig(), Epoch: "epoch-1"}
	if change != nil {
		change(&opts)
	}
	s, err := build(opts)
	if err != nil {
		t.Fatal(err)
	}
	running := make(chan struct{})
	s.source = func(ctx context.Context) error {
		s.hub.setReady()
		close(running)
		<-ctx.Done()
		return nil
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	<-running

	mux := auth.NewRouter(s.gate, s.origin)
	s.Routes(mux)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: patience}
	go func() { _ = srv.Serve(ln) }()
	ts := &testServer{Server: s, t: t, addr: ln.Addr().String()}
	ts.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
		_ = srv.Close()
	})
	t.Cleanup(ts.stop)
	return ts
}

// feed applies updates of partition 0.
func (ts *testServer) feed(us ...telemetry.Update) { ts.hub.apply(0, us, 0) }

// wsClient is a client of the live protocol that keeps what it gets.
type wsClient struct {
	t    testing.TB
	conn *gws.Conn

	mu     sync.Mutex
	cond   *sync.Cond
	msgs   [][]byte
	next   int // of msgs: those before were taken
	pongs  [][]byte
	pings  int
	ended  bool
	closed *gws.CloseError
	keep   bool // without it, messages that were taken are let go
}

type dialOptions struct {
	query      string
	origin     string
	token      string
	from       string // where a proxy says it comes from
	recvBuffer int
	protocol   string
	deflate    bool
	stalled    bool // do not read until read is called
	noPong     bool
}

func (ts *testServer) dial(o dialOptions) *wsClient {
	ts.t.Helper()
	dialer := net.Dialer{}
	if o.recvBuffer > 0 {
		dialer.Control = func(_, _ string, raw syscall.RawConn) error {
			return raw.Control(func(fd uintptr) {
				_ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, o.recvBuffer)
			})
		}
	}
	tcp, err := dialer.Dial("tcp", ts.addr)
	if err != nil {
		ts.t.Fatal(err)
	}
	c := &wsClient{t: ts.t, keep: true}
	c.cond = sync.NewCond(&c.mu)
	header := http.Header{}
	if o.origin != "" {
		header.Set("Origin", o.origin)
	}
	if o.token != "" {
		header.Set("Authorization", "Bearer "+o.token)
	}
	if o.from != "" {
		header.Set("X-Forwarded-For", o.from)
	}
	if o.protocol != "" {
		header.Set("Sec-WebSocket-Protocol", o.protocol)
	}
	conn, _, err := gws.NewClientFromConn(clientEvents{c, o.noPong}, &gws.ClientOption{
		Addr: "ws://" + ts.addr + "/v1/live" + o.query, RequestHeader: header,
		PermessageDeflate: gws.PermessageDeflate{Enabled: o.deflate},
	}, tcp)
	if err != nil {
		ts.t.Fatal(err)
	}
	c.conn = conn
	ts.t.Cleanup(func() { _ = conn.NetConn().Close() })
	if !o.stalled {
		c.read()
	}
	return c
}

func (c *wsClient) read() {
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.conn.ReadLoop()
	}()
	c.t.Cleanup(func() {
		_ = c.conn.NetConn().Close()
		<-done
	})
}

type clientEvents struct {
	c      *wsClient
	noPong bool
}

func (e clientEvents) OnOpen(*gws.Conn) {}
func (e clientEvents) OnClose(_ *gws.Conn, err error) {
	e.c.mu.Lock()
	defer e.c.mu.Unlock()
	e.c.ended = true
	_ = errors.As(err, &e.c.closed)
	e.c.cond.Broadcast()
}
func (e clientEvents) OnPing(conn *gws.Conn, payload []byte) {
	if !e.noPong {
		_ = conn.WritePong(payload)
	}
	e.c.mu.Lock()
	defer e.c.mu.Unlock()
	e.c.pings++
	e.c.cond.Broadcast()
}
func (e clientEvents) OnPong(_ *gws.Conn, payload []byte) {
	e.c.mu.Lock()
	defer e.c.mu.Unlock()
	e.c.pongs = append(e.c.pongs, append([]byte(nil), payload...))
	e.c.cond.Broadcast()
}
func (e clientEvents) OnMessage(_ *gws.Conn, m *gws.Message) {
	defer m.Close()
	e.c.mu.Lock()
	defer e.c.mu.Unlock()
	e.c.msgs = append(e.c.msgs, append([]byte(nil), m.Bytes()...))
	e.c.cond.Broadcast()
}

// until waits for a condition on the client's fields, which it holds the lock for.
func (c *wsClient) until(what string, done func() bool) {
	c.t.Helper()
	timer := time.AfterFunc(patience, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.cond.Broadcast()
	})
	defer timer.Stop()
	deadline := time.Now().Add(patience)
	c.mu.Lock()
	defer c.mu.Unlock()
	for !done() {
		if time.Now().After(deadline) {
			c.t.Fatalf("waited too long for %s; %d messages, ended %v (%v)", what, len(c.msgs), c.ended, c.closed)
		}
		c.cond.Wait()
	}
}

// message takes the next message.
func (c *wsClient) message(what string) []byte {
	c.t.Helper()
	var out []byte
	c.until(what, func() bool {
		if c.next < len(c.msgs) {
			out = c.msgs[c.next]
			if !c.keep {
				c.msgs[c.next] = nil
			}
			c.next++
			return true
		}
		if c.ended {
			c.t.Fatalf("connection ended (%v) before %s", c.closed, what)
		}
		return false
	})
	return out
}

// waitClosed waits for the end and checks the code and reason that the server gave.
func (c *wsClient) waitClosed(code uint16, reason string) {
	c.t.Helper()
	c.until("close", func() bool { return c.ended })
	if c.closed == nil || c.closed.Code != code || string(c.closed.Reason) != reason {
		c.t.Fatalf("closed with %v, want %d %s", c.closed, code, reason)
	}
}

func (c *wsClient) send(format string, args ...any) {
	c.t.Helper()
	if err := c.conn.WriteString(fmt.Sprintf(format, args...)); err != nil {
		c.t.Fatal(err)
	}
}

func (c *wsClient) subscribe(id, pattern string, hz float64) {
	c.t.Helper()
	c.send(`{"type":"subscribe","payload":{"id":%q,"patterns":[%q],"max_hz":%v}}`, id, pattern, hz)
}

// follower reads a connection as a careful client does: it checks that every view's rows are contiguous,
// and adds up what they tell.
type follower struct {
	t       testing.TB
	choosy  bool // the views do not tell of all their series
	decoder wire.LiveDecoder
	proto   bool
	views   map[int]map[string]*followed
	ids     map[string]int // view by subscription
	alerts  []telemetry.Alert
	open    []telemetry.Alert // as of the last subscribed
	exact   bool              // it has told all transitions since the one before
	resyncs int
	errors  []*wire.ErrorMsg
	last    wire.ServerMessage
}

// followed is what a follower knows of one series in one view.
type followed struct {
	base   telemetry.Version // of the snapshot
	seen   telemetry.Version
	n      uint64 // since the snapshot
	sum    float64
	max    float64
	rows   int
	newest telemetry.Update
	in     bool // of a view that does not tell of all its series: it is in
}

func newFollower(t testing.TB) *follower {
	return &follower{t: t, views: make(map[int]map[string]*followed), ids: make(map[string]int)}
}

// take checks one message.
func (f *follower) take(raw []byte) wire.ServerMessage {
	f.t.Helper()
	decode := f.decoder.Decode
	if f.proto {
		decode = f.decoder.DecodeProto
	}
	msg, err := decode(raw)
	if err != nil {
		f.t.Fatalf("message %q: %v", raw, err)
	}
	f.last = msg
	switch m := msg.(type) {
	case *wire.Subscribed:
		f.ids[m.ID] = m.View
		f.views[m.View] = make(map[string]*followed)
		for _, e := range m.Dictionary {
			f.views[m.View][e.Series] = &followed{base: telemetry.NoVersion, seen: telemetry.NoVersion}
		}
		for _, r := range m.Rows {
			s := f.views[m.View][r.Update.Series]
			s.base, s.seen, s.newest, s.in = r.Update.Version, r.Update.Version, *r.Update, true
		}
		f.open, f.exact = m.Alerts, m.Resumed || m.AlertsResumed
	case *wire.SeriesMsg:
		if f.views[m.View] == nil {
			f.t.Fatalf("series of view %d before its subscribed", m.View)
		}
		for _, i := range m.Removed {
			name := f.decoder.Name(m.View, i)
			if f.views[m.View][name] == nil {
				f.t.Fatalf("%d (%q) of view %d is gone, which does not have it", i, name, m.View)
			}
			delete(f.views[m.View], name)
		}
		for _, e := range m.Added {
			if f.views[m.View][e.Series] != nil {
				f.t.Fatalf("series %s of view %d added twice", e.Series, m.View)
			}
			f.views[m.View][e.Series] = &followed{base: telemetry.NoVersion, seen: telemetry.NoVersion}
		}
	case *wire.Updates:
		for _, r := range m.Rows {
			f.row(m.View, r.Update)
		}
		f.left(m)
	case *wire.Resync:
		f.resyncs++
		delete(f.views, m.View)
	case *wire.AlertMsg:
		f.alerts = append(f.alerts, m.Alert)
	case *wire.ErrorMsg:
		f.errors = append(f.errors, m)
	}
	return msg
}

func (f *follower) row(view int, u *telemetry.Update) {
	f.t.Helper()
	s := f.views[view][u.Series]
	if s == nil {
		f.t.Fatalf("row of %s in view %d, which does not have it", u.Series, view)
	}
	s.in = true
	switch r := u.Follow(s.seen); {
	case r == telemetry.Contiguous:
	case f.choosy && s.seen == telemetry.NoVersion: // its chain begins here
		s.base = u.Since
	case f.choosy && r == telemetry.Replay && u.Version == s.seen: // back without news
		return
	default:
		f.t.Fatalf("view %d, %s: row (%d, %d] after %d is relation %d", view, u.Series, u.Since, u.Version, s.seen, r)
	}
	if s.rows == 0 || u.Max > s.max {
		s.max = u.Max
	}
	s.seen = u.Version
	s.n += u.N
	s.sum += u.Sum
	s.rows++
	s.newest = *u
}

// left takes out what is in a view no more.
func (f *follower) left(m *wire.Updates) {
	f.t.Helper()
	for _, idx := range m.Left {
		for _, r := range m.Rows {
			if r.I == int(idx) {
				f.t.Fatalf("%s of view %d has a row and has left", r.Update.Series, m.View)
			}
		}
		name := f.decoder.Name(m.View, int(idx))
		s := f.views[m.View][name]
		if s == nil || !f.choosy {
			f.t.Fatalf("%d (%q) has left view %d, which does not have it", idx, name, m.View)
		}
		s.in = false
	}
}

// in are the series that a subscription has in, by name.
func (f *follower) in(id string) (names []string) {
	for name, s := range f.views[f.ids[id]] {
		if s.in {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// series is what the follower knows of a series by the id of a subscription.
func (f *follower) series(id, name string) *followed {
	return f.views[f.ids[id]][name]
}

// followUntil lets a follower read a connection until done.
func (c *wsClient) followUntil(f *follower, what string, done func() bool) {
	c.t.Helper()
	for !done() {
		f.take(c.message(what))
	}
}

// await follows until a message of type M comes.
func await[M wire.ServerMessage](c *wsClient, f *follower) M {
	c.t.Helper()
	for {
		var want M
		if m, ok := f.take(c.message(fmt.Sprintf("%T", want))).(M); ok {
			return m
		}
	}
}

// single is an update of one reading. Versions of a series made by it count up from 0.
func single(series string, version telemetry.Version, value float64) telemetry.Update {
	u := telemetry.Update{Series: series, Since: version - 1, IngestTime: 2_000_000, EmitTime: 3_000_000, Avg: value, Lo: value - 1, Hi: value + 1}
	u.Add(version, 1_000_000+int64(version), value)
	return u
}
