package app

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lxzan/gws"
	"go.uber.org/goleak"

	"weir/config"
	"weir/kafka"
	"weir/telemetry"
	"weir/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 60 * time.Second

// memory is a configuration on a free port with everything in memory, that asks for no credentials.
func memory() config.Config {
	c := config.Default()
	c.Listen, c.InsecureOpen = "127.0.0.1:0", true
	c.StopTimeout = 10 * time.Second
	return c
}

func onDisk(t testing.TB) config.Config {
	c := memory()
	c.Data = t.TempDir()
	return c
}

// running is an App in Run.
type running struct {
	*App
	t    testing.TB
	stop func() error // asks for an end and waits for it
}

func start(t testing.TB, c config.Config) *running {
	t.Helper()
	return startLogging(t, c, nil)
}

func startLogging(t testing.TB, c config.Config, log *slog.Logger) *running {
	t.Helper()
	a, err := New(Options{Config: c, Logger: log, Build: Build{Version: "test"}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var run sync.WaitGroup
	var result error
	run.Go(func() { result = a.Run(ctx) })
	stop := func() error { cancel(); run.Wait(); return result }
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	r := &running{App: a, t: t, stop: stop}
	r.eventually("ready", func() bool { status, _ := r.get("/readyz", ""); return status == http.StatusOK })
	return r
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", patience, what)
		}
	}
}

func (r *running) eventually(what string, ok func() bool) {
	r.t.Helper()
	eventually(r.t, what, ok)
}

// get asks without keeping the connection.
func get(t testing.TB, url, host string) (int, []byte) {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if host != "" {
		req.Host = host
	}
	res, err := asking(t).Do(req)
	if err != nil {
		return 0, []byte(err.Error())
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, body
}

func (r *running) get(path, host string) (int, []byte) {
	r.t.Helper()
	return get(r.t, strings.TrimSuffix(r.URL(), "/")+path, host)
}

func (r *running) snapshot(pattern string) *wire.Snapshot {
	r.t.Helper()
	status, body := r.get("/v1/snapshot?series="+pattern, "")
	if status != http.StatusOK {
		r.t.Fatalf("snapshot: %d %s", status, body)
	}
	s, err := wire.DecodeSnapshot(body)
	if err != nil {
		r.t.Fatal(err)
	}
	return s
}

// admits reports whether a page of an origin gets a connection that stays: a refused one is closed at once.
// After the welcome, or the answer to a ping, it is in.
func (r *running) admits(path, origin string) bool {
	r.t.Helper()
	s := r.dialFrom(path, origin)
	_ = s.conn.WriteString(`{"type":"app_ping"}`) // fails on a connection that is closed
	admitted := s.next(r.t) != nil
	_ = s.conn.NetConn().Close()
	return admitted
}

// posts is the status with which a page's reading is answered.
func (r *running) posts(origin string) int {
	r.t.Helper()
	req, err := http.NewRequest(http.MethodPost, r.URL()+"v1/readings", strings.NewReader(`{"device":"a/b","metric":"m","value":1}`))
	if err != nil {
		r.t.Fatal(err)
	}
	if origin != "" {
		req.Header.Set("Origin", origin)
	}
	res, err := asking(r.t).Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer res.Body.Close()
	return res.StatusCode
}

// syncBuffer takes a log from several goroutines.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// socket is a WebSocket client.
type socket struct {
	gws.BuiltinEventHandler
	conn     *gws.Conn
	messages chan []byte
}

func (s *socket) OnMessage(_ *gws.Conn, m *gws.Message) {
	s.messages <- append([]byte(nil), m.Bytes()...)
	_ = m.Close()
}
func (s *socket) OnClose(*gws.Conn, error) { close(s.messages) }

func (r *running) dial(path string) *socket {
	r.t.Helper()
	return r.dialFrom(path, "")
}

func (r *running) dialFrom(path, origin string) *socket {
	r.t.Helper()
	s := &socket{messages: make(chan []byte, 1<<16)}
	header := http.Header{}
	if origin != "" {
		header.Set("Origin", origin)
	}
	conn, _, err := gws.NewClient(s, &gws.ClientOption{
		Addr: strings.Replace(r.URL(), "http", "ws", 1) + path, RequestHeader: header})
	if err != nil {
		r.t.Fatal(err)
	}
	s.conn = conn
	var loop sync.WaitGroup
	loop.Go(conn.ReadLoop)
	r.t.Cleanup(func() { _ = conn.NetConn().Close(); loop.Wait() })
	return s
}

// next waits for a message; nil means that the connection has ended.
func (s *socket) next(t testing.TB) []byte {
	t.Helper()
	select {
	case m := <-s.messages:
		return m
	case <-time.After(patience):
		t.Fatal("no message came")
		return nil
	}
}

func (s *socket) send(t testing.TB, message []byte) {
	t.Helper()
	if err := s.conn.WriteMessage(gws.OpcodeText, message); err != nil {
		t.Fatalf("send: %v", err)
	}
}

// deliver sends a frame and waits for its receipt.
func (s *socket) deliver(t testing.TB, frame any) *wire.Receipt {
	t.Helper()
	text, err := json.Marshal(frame)
	if err != nil {
		t.Fatal(err)
	}
	s.send(t, text)
	r, err := wire.DecodeReceipt(s.next(t))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// dashboard subscribes, and checks what it is shown: every row follows the one before.
type dashboard struct {
	t       testing.TB
	socket  *socket
	decoder wire.LiveDecoder
	welcome *wire.Welcome
	seen    map[string]telemetry.Version
	total   map[string]*telemetry.Update // merged since the snapshot
	alerts  []telemetry.Alert
}

func (r *running) dashboard(pattern string) *dashboard {
	r.t.Helper()
	d := &dashboard{t: r.t, socket: r.dial("v1/live"),
		seen: make(map[string]telemetry.Version), total: make(map[string]*telemetry.Update)}
	p, err := telemetry.ParsePattern(pattern)
	if err != nil {
		r.t.Fatal(err)
	}
	d.socket.send(r.t, (&wire.Subscribe{ID: "a", Patterns: []telemetry.Pattern{p}, HasMaxHz: true}).Append(nil))
	for subscribed := false; !subscribed; {
		_, subscribed = d.step().(*wire.Subscribed)
	}
	return d
}

// step takes one message.
func (d *dashboard) step() wire.ServerMessage {
	d.t.Helper()
	m, err := d.decoder.Decode(d.socket.next(d.t))
	if err != nil {
		d.t.Fatal(err)
	}
	switch m := m.(type) {
	case *wire.Welcome:
		d.welcome = m
	case *wire.Subscribed:
		for _, row := range m.Rows {
			d.seen[row.Update.Series] = row.Update.Version
		}
		d.alerts = append(d.alerts, m.Alerts...)
	case *wire.Updates:
		for _, row := range m.Rows {
			d.take(row.Update)
		}
	case *wire.AlertMsg:
		d.alerts = append(d.alerts, m.Alert)
	case *wire.Resync, *wire.ErrorMsg:
		d.t.Fatalf("unexpected %T %+v", m, m)
	}
	return m
}

func (d *dashboard) take(u *telemetry.Update) {
	d.t.Helper()
	seen, known := d.seen[u.Series]
	if !known {
		seen = telemetry.NoVersion
	}
	if u.Since != seen {
		d.t.Fatalf("%s: an update since %d after version %d", u.Series, u.Since, seen)
	}
	d.seen[u.Series] = u.Version
	if d.total[u.Series] == nil {
		d.total[u.Series] = u
	} else if err := d.total[u.Series].Merge(u); err != nil {
		d.t.Fatal(err)
	}
}

// count is how many readings of a series were shown since the snapshot.
func (d *dashboard) count(series string) uint64 {
	u := d.total[series]
	if u == nil {
		return 0
	}
	return u.N + u.Late + u.Invalid
}

// stored counts the readings in weir.readings, and emitted those that weir.updates accounts for.
func (r *running) stored(ctx context.Context) (stored, emitted uint64) {
	r.t.Helper()
	client, err := kafka.New(r.broker.Options())
	if err != nil {
		r.t.Fatal(err)
	}
	defer client.Close()
	each := func(topic string, take func(*kafka.Record) error) {
		ranges, err := client.Offsets(ctx, topic)
		for p := 0; err == nil && p < len(ranges); p++ {
			err = client.ReadRange(ctx, topic, p, ranges[p].First, ranges[p].End, take)
		}
		if err != nil {
			r.t.Fatal(err)
		}
	}
	each(wire.TopicReadings, func(rec *kafka.Record) error {
		var c wire.ReadingColumns
		err := c.Unmarshal(rec.Value)
		stored += uint64(len(c.Value))
		return err
	})
	each(wire.TopicUpdates, func(rec *kafka.Record) error {
		if string(rec.Key) == kafka.FenceKey {
			return nil
		}
		us, err := wire.DecodeUpdateBatch(rec.Value, nil, nil)
		for i := range us {
			emitted += us[i].N + us[i].Late + us[i].Invalid
		}
		return err
	})
	return stored, emitted
}
