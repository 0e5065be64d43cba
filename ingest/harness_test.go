package ingest

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/lxzan/gws"
	"go.uber.org/goleak"

	"weir/auth"
	"weir/internal/remote"
	"weir/kafka"
	"weir/telemetry"
	"weir/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 30 * time.Second

// logProducer keeps records in memory and acknowledges them from one goroutine per call, or when released.
type logProducer struct {
	mu      sync.Mutex
	records map[string][]kafka.Record
	held    []func() // acknowledgements that wait
	hold    bool
	err     error // what acknowledgements say
	panics  bool
	calls   int
}

func (p *logProducer) Produce(_ context.Context, topic string, partition int, recs []kafka.Record, done func(int64, error)) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls++
	if p.panics {
		panic("producer broke")
	}
	if p.records == nil {
		p.records = make(map[string][]kafka.Record)
	}
	base := int64(len(p.records[topic]))
	err := p.err
	if err == nil {
		for i := range recs {
			p.records[topic] = append(p.records[topic], recs[i].Clone())
		}
	}
	acknowledge := func() { done(base, err) }
	if p.hold {
		p.held = append(p.held, acknowledge)
	} else {
		go acknowledge()
	}
	return nil
}

// release acknowledges what was held, the newest first, and holds no longer.
func (p *logProducer) release() {
	p.mu.Lock()
	held := p.held
	p.held, p.hold = nil, false
	p.mu.Unlock()
	for i := len(held) - 1; i >= 0; i-- {
		held[i]()
	}
}

func (p *logProducer) set(change func(p *logProducer)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(p)
}

func (p *logProducer) stored(topic string) []kafka.Record {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]kafka.Record(nil), p.records[topic]...)
}

func (p *logProducer) asked() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.calls
}

// readings are all that is stored, decoded.
func (p *logProducer) readings(t *testing.T) []telemetry.Reading {
	t.Helper()
	var out []telemetry.Reading
	for _, rec := range p.stored(wire.TopicReadings) {
		out = append(out, readingsOf(t, rec.Value)...)
	}
	return out
}

func readingsOf(t *testing.T, value []byte) []telemetry.Reading {
	t.Helper()
	var c wire.ReadingColumns
	if err := c.Unmarshal(value); err != nil {
		t.Fatalf("stored record does not decode: %v", err)
	}
	var out []telemetry.Reading
	for i := range c.Value {
		metric := c.Metrics[0]
		if len(c.Metric) > 0 {
			metric = c.Metrics[c.Metric[i]]
		}
		out = append(out, telemetry.Reading{Metric: strings.Clone(metric), Time: c.Time[i], Value: c.Value[i]})
	}
	return out
}

// site is a running Server behind a real listener.
type site struct {
	*Server
	url  string // http://…
	set  *metrics.Set
	stop func() // ends Run and waits for it
}

func start(t testing.TB, p Producer, change ...func(*Options)) *site {
	t.Helper()
	o := Options{Config: DefaultConfig(), Producer: p, Partitions: 4, Metrics: metrics.NewSet(), Origins: auth.OriginPolicy{}}
	o.Config.Lateness = 0 // tests write times of their own
	for _, c := range change {
		c(&o)
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	mux := auth.NewRouter(s.gate, s.origins)
	s.Routes(mux)
	web := httptest.NewServer(mux)
	ctx, cancel := context.WithCancel(context.Background())
	var run sync.WaitGroup
	run.Go(func() { _ = s.Run(ctx) })
	eventually(t, "serving", func() bool { return s.Ready() == nil })
	stop := func() { cancel(); run.Wait() }
	t.Cleanup(func() { stop(); web.Close() })
	return &site{Server: s, url: web.URL, set: o.Metrics, stop: stop}
}

func (s *site) count(name string) uint64 { return s.set.GetOrCreateCounter(name).Get() }

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", patience, what)
		}
		time.Sleep(time.Millisecond)
	}
}

// device is a WebSocket client that a library made.
type device struct {
	gws.BuiltinEventHandler
	t        testing.TB
	conn     *gws.Conn
	messages chan []byte
	closed   chan error
}

func (d *device) OnMessage(_ *gws.Conn, m *gws.Message) {
	d.messages <- append([]byte(nil), m.Bytes()...)
	_ = m.Close()
}

func (d *device) OnClose(_ *gws.Conn, err error) {
	d.closed <- err
	close(d.messages)
}

func (s *site) dial(t testing.TB, query string, header http.Header) *device {
	t.Helper()
	d := &device{t: t, messages: make(chan []byte, 1<<14), closed: make(chan error, 1)}
	conn, _, err := gws.NewClient(d, &gws.ClientOption{
		Addr: "ws" + strings.TrimPrefix(s.url, "http") + "/v1/ingest" + query, RequestHeader: header})
	if err != nil {
		t.Fatal(err)
	}
	d.conn = conn
	var loop sync.WaitGroup
	loop.Go(conn.ReadLoop)
	t.Cleanup(func() { _ = conn.NetConn().Close(); loop.Wait() })
	return d
}

func (d *device) send(frame string) {
	d.t.Helper()
	if err := d.conn.WriteMessage(gws.OpcodeText, []byte(frame)); err != nil {
		d.t.Fatalf("send: %v", err)
	}
}

func (d *device) message() []byte {
	d.t.Helper()
	select {
	case m, ok := <-d.messages:
		if !ok {
			d.t.Fatal("connection closed instead of a message")
		}
		return m
	case <-time.After(patience):
		d.t.Fatal("no message came")
	}
	return nil
}

func (d *device) receipt() *wire.Receipt {
	d.t.Helper()
	r, err := wire.DecodeReceipt(d.message())
	if err != nil {
		d.t.Fatal(err)
	}
	return r
}

func (d *device) silent(what string) {
	d.t.Helper()
	select {
	case m := <-d.messages:
		d.t.Fatalf("%s: %s", what, m)
	case <-time.After(50 * time.Millisecond):
	}
}

// closeCode waits for the server's close frame.
func (d *device) closeCode() (uint16, string) {
	d.t.Helper()
	select {
	case err := <-d.closed:
		var c *gws.CloseError
		if !errors.As(err, &c) {
			d.t.Fatalf("closed without a close frame: %v", err)
		}
		return c.Code, string(c.Reason)
	case <-time.After(patience):
		d.t.Fatal("connection stays open")
	}
	return 0, ""
}

func mustProxies(networks ...string) remote.Proxies {
	p, err := remote.ParseProxies(networks)
	if err != nil {
		panic(err)
	}
	return p
}
