package push

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/lxzan/gws"

	"weir/telemetry"
	"weir/wire"
)

// eventClient reads a stream of events as a browser does. What it is told is kept as the messages that a WebSocket
// would have got.
type eventClient struct {
	*wsClient
	tcp net.Conn
	in  *bufio.Reader

	// Guarded by wsClient.mu.
	lastID   string
	retry    string
	comments int
}

// stream asks for events and waits for the response's head.
func (ts *testServer) stream(query string, o dialOptions, header ...string) *eventClient {
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
	ts.t.Cleanup(func() { _ = tcp.Close() })
	req, err := http.NewRequest(http.MethodGet, "http://"+ts.addr+"/v1/events?"+query, nil)
	if err != nil {
		ts.t.Fatal(err)
	}
	req.Header.Set("Accept", "text/event-stream")
	if o.token != "" {
		req.Header.Set("Authorization", "Bearer "+o.token)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	if err := req.Write(tcp); err != nil {
		ts.t.Fatal(err)
	}
	in := bufio.NewReader(tcp)
	res, err := http.ReadResponse(in, req)
	if err != nil {
		ts.t.Fatal(err)
	}
	if h := res.Header; res.StatusCode != http.StatusOK || h.Get("Content-Type") != "text/event-stream" || h.Get("Cache-Control") != "no-store" {
		body, _ := io.ReadAll(res.Body)
		ts.t.Fatalf("answered %d %v %s", res.StatusCode, h, body)
	}
	c := &eventClient{wsClient: &wsClient{t: ts.t, keep: true}, tcp: tcp, in: bufio.NewReader(res.Body)}
	c.cond = sync.NewCond(&c.mu)
	if !o.stalled {
		c.read()
	}
	return c
}

func (c *eventClient) read() {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for c.event() {
		}
		_ = c.tcp.Close()
		c.mu.Lock()
		defer c.mu.Unlock()
		c.ended = true
		c.cond.Broadcast()
	}()
	c.t.Cleanup(func() {
		_ = c.tcp.Close()
		<-done
	})
}

// event reads up to the next empty line.
func (c *eventClient) event() bool {
	var kind, data, id string
	for {
		line, err := c.in.ReadString('\n')
		if err != nil {
			return false
		}
		line = strings.TrimSuffix(line, "\n")
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		c.mu.Lock()
		switch {
		case line == "":
			c.dispatch(kind, data, id)
			c.mu.Unlock()
			return true
		case name == "":
			c.comments++
		case name == "event":
			kind = value
		case name == "data":
			data += value
		case name == "id":
			id = value
		case name == "retry":
			c.retry = value
		default:
			c.t.Errorf("line %q", line)
		}
		c.cond.Broadcast()
		c.mu.Unlock()
	}
}

func (c *eventClient) dispatch(kind, data, id string) {
	if id != "" {
		c.lastID = id
	}
	switch kind {
	case "":
	case typeClose:
		var bye struct {
			Code   uint16
			Reason string
		}
		if err := json.Unmarshal([]byte(data), &bye); err != nil {
			c.t.Errorf("close event %q: %v", data, err)
		}
		c.closed = &gws.CloseError{Code: bye.Code, Reason: []byte(bye.Reason)}
	default:
		c.msgs = append(c.msgs, []byte(fmt.Sprintf(`{"type":%q,"payload":%s}`, kind, data)))
	}
	c.cond.Broadcast()
}

// lastEvent is what a browser that comes back says.
func (c *eventClient) lastEvent() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lastID
}

func TestEventsAreTheMessagesOfAWebSocket(t *testing.T) {
	s := startServer(t, nil)
	s.feed(single("p/a/m", 0, 1), single("q/a/m", 0, 1), single("r/a/m", 0, 1))
	ws := s.dial(dialOptions{})
	ws.send(`{"type":"subscribe","payload":{"id":"events","patterns":["p/#","q/#"],"max_hz":0}}`)
	events := s.stream("subscribe=p/%23&subscribe=q/%23&max_hz=0", dialOptions{})
	f, g := newFollower(t), newFollower(t)
	await[*wire.Welcome](ws, f)
	if w := await[*wire.Welcome](events.wsClient, g); w.Epoch != "epoch-1" || w.Session == "" {
		t.Errorf("welcome = %+v", w)
	}
	var last string
	for v := range telemetry.Version(4) {
		if v == 0 {
			sub := await[*wire.Subscribed](events.wsClient, g)
			await[*wire.Subscribed](ws, f)
			if last = sub.Cursor; events.lastEvent() != last || len(sub.Rows) != 2 || sub.ID != eventsID {
				t.Errorf("subscribed with id %q: %+v", events.lastEvent(), sub)
			}
		}
		same := func() {
			t.Helper()
			m, e := ws.message("a message"), events.message("an event")
			if !bytes.Equal(m, e) {
				t.Fatalf("a WebSocket is told\n%s\nand a stream of events\n%s", m, e)
			}
			if u, ok := g.take(e).(*wire.Updates); ok && u.Cursor != "" {
				last = u.Cursor
			}
		}
		s.feed(single("p/a/m", v+1, float64(v)), single(fmt.Sprintf("p/%d/m", v), 0, 1))
		same() // series
		same() // updates
		s.hub.alerts(0, []telemetry.Alert{alert("x", "p/a/m", telemetry.Firing, v+1)}, int64(v)+1)
		same()
	}
	if events.lastEvent() != last || last == "" {
		t.Errorf("the last id is %q, want the cursor %q", events.lastEvent(), last)
	}
	if got := s.hub.m.views.Load(); got != 1 {
		t.Errorf("%d views, want 1 for both", got)
	}
	if len(g.alerts) != 4 || events.retry == "" {
		t.Errorf("%d alerts, retry %q", len(g.alerts), events.retry)
	}
}

func TestAStreamOfEventsIsRefusedBeforeItBegins(t *testing.T) {
	s, _ := startGuarded(t, func(o *Options) { o.Config.MaxConnectionsPerPrincipal, o.Config.MaxSeries = 1, 1 })
	as := func(token string) []string { return []string{"Authorization", "Bearer " + token} }
	for _, tc := range []struct {
		query  string
		header []string
		status int
		code   string
		path   string
	}{
		{"subscribe=p/%23", nil, 401, wire.CodeUnauthenticated, ""},
		{"subscribe=p/%23", as("expired"), 401, wire.CodeTokenExpired, ""},
		{"max_hz=1", as("p"), 400, wire.CodeFieldMissing, "subscribe"},
		{"subscribe=p/%23&subscribe=a/%23/b", as("p"), 400, telemetry.CodePatternForm, "subscribe[1]"},
		{"subscribe=p/%23&subscribe=q/%23", as("p"), 403, wire.CodeForbidden, "subscribe[1]"},
		{"subscribe=p/%23&max_hz=-1", as("p"), 400, wire.CodeFieldRange, "max_hz"},
		{"subscribe=p/%23&max_hz=fast", as("p"), 400, wire.CodeFieldType, "max_hz"},
		{"subscribe=p/%23&max_hz=1&max_hz=2", as("p"), 400, wire.CodeFieldRange, "max_hz"},
		{"subscribe=p/%23&shout=1", as("p"), 400, wire.CodeFieldUnknown, "shout"},
		{"subscribe=p/%23", append(as("p"), "Origin", "https://evil.example"), 403, wire.CodeOriginRefused, ""},
		{"subscribe=p/%23", as("p"), 429, wire.CodeSubscriptionsMany, ""}, // two series
	} {
		status, body := s.get(t, "/v1/events?"+tc.query, tc.header...)
		var answer struct{ Error wire.Error }
		if err := json.Unmarshal(body, &answer); err != nil || status != tc.status || answer.Error.Code != tc.code || answer.Error.Path != tc.path {
			t.Errorf("%s is answered %d %s, want %d %s at %q", tc.query, status, body, tc.status, tc.code, tc.path)
		}
	}
	first := s.stream("subscribe=p/a/%23", dialOptions{token: "p"})
	await[*wire.Subscribed](first.wsClient, newFollower(t))
	if status, body := s.get(t, "/v1/events?subscribe=p/a/%23", as("p-again")...); status != 429 || errorCode(body) != wire.CodeLimitPrincipal {
		t.Errorf("one connection too many is answered %d %s", status, body)
	}
	_ = first.tcp.Close()
	eventually(t, "its place is free", func() bool { return s.hub.m.connections.Load() == 0 })
	if got := s.hub.m.subscriptions.Load() + s.hub.m.views.Load() + s.hub.m.losslessBytes.Load(); got != 0 {
		t.Errorf("gauges do not return to zero: %d", got)
	}
}

func TestAStreamOfEventsThatIsNotReadCostsWhatALaggardDoes(t *testing.T) {
	const names, rounds = 50, 2000
	s := startServer(t, smallBuffers)
	c, f := s.stream("subscribe=p/%23&max_hz=0", dialOptions{recvBuffer: 2 << 10, stalled: true}), newFollower(t)
	eventually(t, "it has subscribed", func() bool { return s.hub.m.subscriptions.Load() == 1 })
	for v := range telemetry.Version(rounds) {
		batch := make([]telemetry.Update, names)
		for i := range batch {
			batch[i] = single(fmt.Sprintf("p/%d/m", i), v, float64(v))
		}
		s.feed(batch...)
	}
	if got := s.hub.m.laggingRows.Load(); got > 2*names {
		t.Errorf("%d rows wait for a laggard of %d series", got, names)
	}
	c.read()
	done := func() bool {
		for i := range names {
			if got := f.series(eventsID, fmt.Sprintf("p/%d/m", i)); got == nil || got.seen != rounds-1 {
				return false
			}
		}
		return true
	}
	c.followUntil(f, "the last version", done)
	for i := range names {
		got := f.series(eventsID, fmt.Sprintf("p/%d/m", i))
		if want := uint64(rounds - 1 - got.base); got.n != want {
			t.Errorf("series %d: n adds up to %d, want %d", i, got.n, want)
		}
	}
	if s.hub.m.frames[framePrivate].Get() == 0 {
		t.Error("no private frame was sent: the client did not stall")
	}
}

func TestAStreamOfEventsThatIsNeverReadIsClosed(t *testing.T) {
	s := startServer(t, func(o *Options) {
		smallBuffers(o)
		o.Config.WriteTimeout, o.Config.DrainTimeout = 50*time.Millisecond, 50*time.Millisecond
	})
	s.stream("subscribe=%23&max_hz=0", dialOptions{recvBuffer: 2 << 10, stalled: true})
	eventually(t, "the connection is there", func() bool { return s.hub.m.connections.Load() == 1 }) // counted once the head is out
	for v := telemetry.Version(0); s.hub.m.connections.Load() > 0; v++ {
		s.feed(single("p/a/m", v, 1))
	}
	if s.hub.m.closes[endedNoProgress].Get() != 1 || s.hub.m.laggards.Load() != 0 {
		t.Errorf("closes = %d, laggards = %d", s.hub.m.closes[endedNoProgress].Get(), s.hub.m.laggards.Load())
	}
}

func TestAStreamOfEventsIsSilentOnlyBetweenHeartbeats(t *testing.T) {
	s := startServer(t, func(o *Options) {
		o.Config.Heartbeat, o.Config.IdleTimeout = 5*time.Millisecond, 10*time.Millisecond
	})
	c := s.stream("subscribe=%23", dialOptions{})
	c.until("comments, for longer than a client may be silent", func() bool { return c.comments >= 10 })
	if n := s.hub.m.connections.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

func TestAStreamOfEventsSaysHowItEnds(t *testing.T) {
	s, g := startGuarded(t, nil)
	c, f := s.stream("subscribe=p/%23&max_hz=0.01", dialOptions{token: "p"}), newFollower(t)
	await[*wire.Subscribed](c.wsClient, f)
	other := s.stream("subscribe=q/%23", dialOptions{token: "q"})
	await[*wire.Subscribed](other.wsClient, newFollower(t))
	g.end("quinn", wire.CodeTokenRevoked)
	other.waitClosed(wire.CloseTokenRevoked, wire.ReasonTokenRevoked)
	s.feed(single("p/a/m", 1, 1)) // would wait for 100 s
	s.stop()
	if d := await[*wire.Draining](c.wsClient, f); d.ReconnectAfterMS <= 0 || d.JitterMS <= 0 {
		t.Errorf("draining = %+v", d)
	}
	c.followUntil(f, "the last update", func() bool { return f.series(eventsID, "p/a/m").seen == 1 })
	c.waitClosed(wire.CloseDraining, wire.ReasonDraining)
}

func TestAStreamOfEventsNeedsNoSubscription(t *testing.T) {
	s := startServer(t, func(o *Options) { o.Config.Heartbeat = 5 * time.Millisecond })
	c := s.stream("", dialOptions{})
	if w := await[*wire.Welcome](c.wsClient, newFollower(t)); w.Protocol != wire.LiveProtocol {
		t.Errorf("welcome = %+v", w)
	}
	c.until("comments", func() bool { return c.comments >= 3 })
	if _, body := s.get(t, "/v1/connections"); !bytes.Contains(body, []byte(`"protocol":"events"`)) || !bytes.Contains(body, []byte(`"subscriptions":[]`)) {
		t.Errorf("connections: %s", body)
	}
	named := s.stream("subscribe=%23&id=mine", dialOptions{})
	if sub := await[*wire.Subscribed](named.wsClient, newFollower(t)); sub.ID != "mine" {
		t.Errorf("subscribed = %+v", sub)
	}
}

func TestTheHeadOfAStreamOfEventsHasNoStream(t *testing.T) {
	s := startServer(t, nil)
	res, err := http.Head("http://" + s.addr + "/v1/events?subscribe=%23")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != "text/event-stream" || s.hub.m.subscriptions.Load() != 0 {
		t.Errorf("answered %d %v", res.StatusCode, res.Header)
	}
}

func TestAClientThatSpeaksToAStreamOfEventsIsNotHeard(t *testing.T) {
	s := startServer(t, nil)
	c := s.stream("subscribe=%23", dialOptions{})
	await[*wire.Subscribed](c.wsClient, newFollower(t))
	if _, err := c.tcp.Write(make([]byte, maxSaid+1)); err != nil {
		t.Fatal(err)
	}
	c.waitClosed(wire.CloseProtocolError, wire.ReasonProtocolError)
}

func TestAStreamOfEventsGoesOnFromTheLastID(t *testing.T) {
	s := startServer(t, nil)
	s.tailed()
	s.write(single("p/a/m", 0, 1), single("p/b/m", 0, 1))
	c, f := s.stream("subscribe=p/%23&max_hz=0", dialOptions{}), newFollower(t)
	await[*wire.Subscribed](c.wsClient, f)
	s.write(single("p/a/m", 1, 2))
	await[*wire.Updates](c.wsClient, f)
	seen := c.lastEvent()
	_ = c.tcp.Close()
	s.write(single("p/a/m", 2, 90), single("p/c/m", 0, 1))
	s.write(single("p/a/m", 3, 4))
	for _, how := range []struct {
		query, header string
	}{{"", seen}, {"&cursor=" + url.QueryEscape(seen), ""}, {"&cursor=nonsense", seen}} {
		var header []string
		if how.header != "" {
			header = []string{lastEventID, how.header}
		}
		again := s.stream("subscribe=p/%23&max_hz=0"+how.query, dialOptions{}, header...)
		sub := await[*wire.Subscribed](again.wsClient, newFollower(t))
		if !sub.Resumed || len(sub.Rows) != 2 {
			t.Fatalf("subscribed = %+v", sub)
		}
		if u := sub.Rows[0].Update; u.Series != "p/a/m" || u.Since != 1 || u.Version != 3 || u.N != 2 || u.Max != 90 {
			t.Errorf("row = %+v", u)
		}
	}
	anew := s.stream("subscribe=p/%23&max_hz=0", dialOptions{}, lastEventID, "nonsense")
	g := newFollower(t)
	if sub := await[*wire.Subscribed](anew.wsClient, g); sub.Resumed || len(sub.Rows) != 3 || g.resyncs != 1 {
		t.Errorf("subscribed = %+v after %d resyncs", sub, g.resyncs)
	}
}
