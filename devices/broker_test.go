package devices

import (
	"context"
	"testing"
	"time"

	"weir/kafka"
	"weir/kafka/kafkatest"
	"weir/kafka/table"
	"weir/wire"
)

// cluster is an embedded broker with weir.devices.
type cluster struct {
	client   *kafka.Client
	producer *kafka.Producer
}

func startCluster(t *testing.T) *cluster {
	t.Helper()
	b := kafkatest.InMemory(t, kafka.TopicSpec{Name: wire.TopicDevices, Partitions: 3, Compact: true}, kafka.TopicSpec{Name: wire.TopicReadings, Partitions: 3})
	return &cluster{b.Client, b.Producer}
}

// instance starts a registry over a table of its own.
func (c *cluster) instance(t *testing.T, node string, alive func(string) bool) (r *Registry, stop func()) {
	t.Helper()
	tb := table.New(table.Options{Client: c.client, Producer: c.producer, Topic: wire.TopicDevices, Partitions: 3})
	o := options(tb, node)
	o.Producer, o.Partitions, o.Alive = c.producer, 3, alive
	o.Config.ReconnectGrace = 100 * time.Millisecond
	r = open(t, o)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 2)
	go func() { ended <- tb.Run(ctx) }()
	go func() { ended <- r.Run(ctx) }()
	done := false
	stop = func() {
		if !done {
			done = true
			cancel()
			must(t, <-ended)
			must(t, <-ended)
		}
	}
	t.Cleanup(stop)
	<-tb.Ready()
	return r, stop
}

func TestWhatIsKnownSurvivesARestartAndIsKnownEverywhere(t *testing.T) {
	c := startCluster(t)
	a, stop := c.instance(t, "a", nil)
	b, _ := c.instance(t, "b", nil)
	describe(t, a, "p/d", fullMeta)
	conn := a.Connect(socket)
	conn.Attach("p/d")
	eventually(t, func() bool { return b.state("p/d") == "online" })
	if b.Labels("p/d", "door")["open"] != 1 {
		eventually(t, func() bool { return b.Labels("p/d", "door")["open"] == 1 })
	}
	stop()
	again, _ := c.instance(t, "a", nil)
	if m, ok := again.Meta("p/d"); !ok || m.DisplayName != "Press 7" {
		t.Errorf("metadata after a restart: %+v", m)
	}
	if again.state("p/d") != "online" {
		t.Errorf("the device is %s right after the restart", again.state("p/d"))
	}
	must(t, b.Delete(t.Context(), "p/d", "operator"))
	eventually(t, func() bool {
		_, known := again.describe("p/d", true)
		return !known
	})
	offsets, err := c.client.Offsets(t.Context(), wire.TopicReadings)
	must(t, err)
	if n := offsets[0].End + offsets[1].End + offsets[2].End; n != 1 {
		t.Errorf("%d commands were written", n)
	}
}

func TestTheNewConnectionsInstanceWins(t *testing.T) {
	c := startCluster(t)
	a, _ := c.instance(t, "a", nil)
	b, _ := c.instance(t, "b", nil)
	first, second := a.Connect(socket), b.Connect(socket)
	first.Attach("p/d")
	eventually(t, func() bool { return a.state("p/d") == "online" && b.state("p/d") == "online" })
	second.Attach("p/d")
	eventually(t, func() bool { p := a.storedPresence("p/d"); return p != nil && p.Node == "b" })
	first.Close(false)
	time.Sleep(3 * tick)
	if p := a.storedPresence("p/d"); p.State != "online" || p.Node != "b" {
		t.Errorf("%+v", p)
	}
	second.Close(false)
	eventually(t, func() bool { return a.state("p/d") == "offline" })
}

func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("did not come about")
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
