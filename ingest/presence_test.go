package ingest

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/lxzan/gws"

	"weir/devices"
	"weir/kafka"
	"weir/wire"
)

// devicesTable is a table of weir.devices in memory.
type devicesTable struct {
	mu       sync.Mutex
	values   map[string][]byte
	watchers []func(string, []byte)
	ready    chan struct{}
}

func (m *devicesTable) Ready() <-chan struct{} { return m.ready }

func (m *devicesTable) Get(key string) ([]byte, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	v, ok := m.values[key]
	return v, ok
}

func (m *devicesTable) Watch(prefix string, fn func(string, []byte)) {
	m.watchers = append(m.watchers, func(key string, value []byte) {
		if len(key) > len(prefix) && key[:len(prefix)] == prefix {
			fn(key, value)
		}
	})
}

func (m *devicesTable) Put(_ context.Context, key string, value []byte) error {
	m.mu.Lock()
	m.values[key] = value
	m.mu.Unlock()
	for _, w := range m.watchers {
		w(key, value)
	}
	return nil
}

func (m *devicesTable) PutAsync(ctx context.Context, key string, value []byte, done func(error)) {
	done(m.Put(ctx, key, value))
}

func (m *devicesTable) Delete(ctx context.Context, key string) error { return m.Put(ctx, key, nil) }

type noCommands struct{}

func (noCommands) ProduceSync(context.Context, string, int, []kafka.Record) (int64, error) {
	return 0, nil
}

// withDevices has ingest tell a registry, which runs until the test ends.
func withDevices(t *testing.T) (r *devices.Registry, change func(*Options), join func(*site)) {
	t.Helper()
	table := &devicesTable{values: make(map[string][]byte), ready: make(chan struct{})}
	close(table.ready)
	var s *site
	o := devices.Options{
		Config: devices.DefaultConfig(), Table: table, Producer: noCommands{}, Partitions: 4, Node: "n",
		Submit: func(ctx context.Context, device string, frame []byte) error { return s.StoreWill(ctx, device, frame) },
	}
	o.Config.ReconnectGrace = 10 * time.Millisecond
	r, err := devices.New(o)
	if err != nil {
		t.Fatal(err)
	}
	change = func(o *Options) { o.Hello, o.Presence, o.Tracker, o.Labels = r, r, r, r.Labels }
	join = func(of *site) {
		s = of
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- r.Run(ctx) }()
		t.Cleanup(func() { cancel(); <-ended })
	}
	return r, change, join
}

func stateOf(r *devices.Registry, device string) string {
	if h, ok := r.Health(device, true); ok && h.Presence != nil {
		return h.Presence.State
	}
	return ""
}

func awaitState(t *testing.T, r *devices.Registry, device, want string) {
	t.Helper()
	for deadline := time.Now().Add(patience); stateOf(r, device) != want; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s is %q, want %q", device, stateOf(r, device), want)
		}
	}
}

func TestAConnectionTellsWhichDevicesAreThere(t *testing.T) {
	p := &logProducer{}
	r, change, join := withDevices(t)
	s := start(t, p, change)
	join(s)
	named := s.dial(t, "?device=a/named", nil)
	awaitState(t, r, "a/named", "online")
	gateway := s.dial(t, "", nil)
	gateway.send(`[{"device":"a/1","metric":"m","value":1},{"device":"a/2","metric":"m","value":1}]`)
	gateway.receipt()
	for _, device := range []string{"a/1", "a/2"} {
		awaitState(t, r, device, "online")
		if h, _ := r.Health(device, true); h.Presence.Transport != "websocket" || h.Presence.Remote != "127.0.0.1" || h.Readings.Accepted != 1 {
			t.Errorf("%+v", h)
		}
	}
	_ = gateway.conn.NetConn().Close()
	awaitState(t, r, "a/1", "offline")
	awaitState(t, r, "a/2", "offline")
	if got := stateOf(r, "a/named"); got != "online" {
		t.Errorf("the other connection's device is %s", got)
	}
	named.conn.WriteClose(1000, nil)
	awaitState(t, r, "a/named", "offline")
	s.post(t, "", `{"device":"a/3","metric":"m","value":1}`)
	awaitState(t, r, "a/3", "online")
}

func TestALastWillIsStoredWhenTheDeviceIsCutOff(t *testing.T) {
	const hello = `{"type":"hello","payload":{"device":"a/1","will":{"readings":[{"metric":"up","value":0}],"text":"lost"}}}`
	for _, c := range []struct {
		name string
		end  func(*gws.Conn)
		want int
	}{
		{"cut off", func(c *gws.Conn) { _ = c.NetConn().Close() }, 1},
		{"orderly", func(c *gws.Conn) { _ = c.WriteClose(1000, nil) }, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := &logProducer{}
			r, change, join := withDevices(t)
			s := start(t, p, change)
			join(s)
			d := s.dial(t, "", nil)
			d.send(hello)
			if got := string(d.message()); got != `{"type":"hello_ok","payload":{"device":"a/1"}}` {
				t.Fatal(got)
			}
			c.end(d.conn)
			awaitState(t, r, "a/1", "offline")
			for deadline := time.Now().Add(patience); c.want > 0 && len(p.stored(wire.TopicReadings)) == 0 && time.Now().Before(deadline); {
				time.Sleep(time.Millisecond)
			}
			if got := p.readings(t); len(got) != c.want || c.want == 1 && got[0].Metric != "up" {
				t.Errorf("stored: %+v", got)
			}
			if got := stateOf(r, "a/1"); got != "offline" {
				t.Errorf("after its will the device is %s", got)
			}
		})
	}
}

func TestLabelsAreTakenForNumbers(t *testing.T) {
	p := &logProducer{}
	_, change, join := withDevices(t)
	s := start(t, p, change)
	join(s)
	d := s.dial(t, "?device=a/1", nil)
	d.send(`{"metric":"door","value":"open"}`)
	if r := d.receipt(); len(r.Rejected) != 1 {
		t.Errorf("without labels: %+v", r)
	}
	d.send(`{"type":"hello","payload":{"metadata":{"metrics":{"door":{"labels":{"open":1}}}}}}`)
	d.message()
	d.send(`{"metric":"door","value":"open"}`)
	if r := d.receipt(); r.Accepted != 1 {
		t.Errorf("with labels: %+v", r)
	}
}
