package ingest

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/autopaho"
	"github.com/eclipse/paho.golang/paho"
	paho3 "github.com/eclipse/paho.mqtt.golang"

	"weir/commands"
	"weir/wire"
)

// paho311 connects a client library of MQTT 3.1.1.
func (s *site) paho311(t *testing.T, path string) paho3.Client {
	t.Helper()
	o := paho3.NewClientOptions().AddBroker("ws" + strings.TrimPrefix(s.url, "http") + path)
	o.SetClientID("press7").SetUsername("anything").SetPassword(deviceKey).SetProtocolVersion(4).SetAutoReconnect(false)
	c := paho3.NewClient(o)
	if token := c.Connect(); !token.WaitTimeout(patience) || token.Error() != nil {
		t.Fatalf("connect: %v", token.Error())
	}
	t.Cleanup(func() { c.Disconnect(100) })
	return c
}

func TestClientLibraryOfMQTT311(t *testing.T) {
	book, p := &commandBook{}, &logProducer{hold: true}
	s := start(t, p, keyed, func(o *Options) { o.Commands = book })
	for _, path := range []string{"/mqtt", "/v1/ingest"} {
		p.set(func(p *logProducer) { p.hold, p.calls = true, 0 })
		c := s.paho311(t, path)
		token := c.Publish("plant1/press7/temperature", 1, false, "21.5")
		eventually(t, "taken", func() bool { return p.asked() == 1 })
		if token.WaitTimeout(50 * time.Millisecond) {
			t.Error("acknowledged before Kafka did")
		}
		p.release()
		if !token.WaitTimeout(patience) || token.Error() != nil {
			t.Fatalf("publish: %v", token.Error())
		}
		c.Publish("plant1/press7", 0, false, `{"metric":"open","value":true}`).Wait()
		got := make(chan string, 1)
		c.Subscribe("plant1/press7/_commands", 1, func(_ paho3.Client, m paho3.Message) { got <- string(m.Payload()) }).Wait()
		select {
		case payload := <-got:
			if !strings.Contains(payload, `"id":"c1","name":"restart","args":{"in":5}`) {
				t.Errorf("command %s", payload)
			}
		case <-time.After(patience):
			t.Fatal("no command came")
		}
		if token := c.Publish("plant1/press7/_commands/c1/result", 1, false, `{"ok":true}`); !token.WaitTimeout(patience) || token.Error() != nil {
			t.Errorf("result: %v", token.Error())
		}
		c.Disconnect(100)
	}
	eventually(t, "four readings", func() bool { return len(p.readings(t)) == 4 })
}

func TestClientLibraryOfMQTT5(t *testing.T) {
	book, p := &commandBook{}, &logProducer{}
	s := start(t, p, keyed, func(o *Options) { o.Commands = book })
	address, err := url.Parse("ws" + strings.TrimPrefix(s.url, "http") + "/mqtt")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	got := make(chan *paho.Publish, 1)
	manager, err := autopaho.NewConnection(ctx, autopaho.ClientConfig{
		ServerUrls: []*url.URL{address}, KeepAlive: 20, ConnectUsername: "anything", ConnectPassword: []byte(deviceKey), CleanStartOnInitialConnection: true,
		ClientConfig: paho.ClientConfig{ClientID: "press7", OnPublishReceived: []func(paho.PublishReceived) (bool, error){
			func(r paho.PublishReceived) (bool, error) { got <- r.Packet; return true, nil }}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := manager.AwaitConnection(ctx); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for i := range 200 { // more than may be unacknowledged
		all.Go(func() {
			answer, err := manager.Publish(ctx, &paho.Publish{
				QoS: 1, Topic: "plant1/press7", Payload: fmt.Appendf(nil, `{"metric":"m","value":%d}`, i), Properties: &paho.PublishProperties{ContentType: "application/json"}})
			if err != nil || answer.ReasonCode != 0 {
				t.Errorf("publish: %v", err)
			}
		})
	}
	all.Wait()
	if n := len(p.readings(t)); n != 200 {
		t.Errorf("%d readings", n)
	}
	answer, _ := manager.Publish(ctx, &paho.Publish{QoS: 1, Topic: "plant1/press8/t", Payload: []byte("1")})
	if answer == nil || answer.ReasonCode != 0x87 || !strings.HasPrefix(answer.Properties.ReasonString, wire.CodeForbidden) || answer.Properties.User.Get("rejected") != "1" {
		t.Errorf("for another device: %+v", answer)
	}
	if _, err := manager.Subscribe(ctx, &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: "plant1/press7/_commands", QoS: 1}}}); err != nil {
		t.Fatal(err)
	}
	command := <-got
	if _, err := manager.Publish(ctx, &paho.Publish{QoS: 1, Topic: command.Properties.ResponseTopic, Payload: []byte(`{"ok":true}`)}); err != nil {
		t.Error(err)
	}
	if n := book.count(func() int { return len(book.results) }); n != 1 {
		t.Errorf("%d results", n)
	}
	if err := manager.Disconnect(ctx); err != nil {
		t.Error(err)
	}
	<-manager.Done()
}

func TestWebSocketDevicesGetCommands(t *testing.T) {
	for name, c := range map[string]struct {
		query string
		key   bool
		say   string
	}{
		"named in the request": {"?device=plant1/press7", false, ""},
		"named in a message":   {"", false, `{"type":"command_result","payload":{"device":"plant1/press7","id":"c9","ok":true}}`},
		"the only one":         {"", true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			book := &commandBook{}
			s := start(t, &logProducer{}, func(o *Options) {
				o.Commands = book
				if c.key {
					o.Gate = onlyGate{}
				}
			})
			d := s.dial(t, c.query, http.Header{})
			if c.say != "" {
				d.send(c.say)
			}
			want := `{"type":"command","payload":{"id":"c1","name":"restart","args":{"in":5},"expires_at":"`
			if got := string(d.message()); !strings.HasPrefix(got, want) {
				if c.say == "" || !strings.Contains(got, wire.CodeCommandUnknown) {
					t.Fatalf("got %s", got)
				}
				if got = string(d.message()); !strings.HasPrefix(got, want) {
					t.Fatalf("got %s", got)
				}
			}
			d.send(`{"type":"command_result","payload":{"device":"plant1/press7","id":"c1","ok":true,"result":7}}`)
			eventually(t, "result", func() bool {
				return book.count(func() int { return strings.Count(strings.Join(book.results, ","), "plant1/press7 c1 true 7") }) == 1
			})
			_ = d.conn.NetConn().Close()
			eventually(t, "detached", func() bool { return book.count(func() int { return book.attached["plant1/press7"] }) == 0 })
		})
	}
}

func TestADeviceThatLeavesItsCommandsUnreadEnds(t *testing.T) {
	flood := &floodBook{}
	s := start(t, &logProducer{}, func(o *Options) { o.Commands = flood })
	d := s.dial(t, "?device=plant1/press7", nil)
	if code, _ := d.closeCode(); code != wire.CloseNoProgress {
		t.Errorf("closed with %d", code)
	}
}

// floodBook has more commands at once than may wait.
type floodBook struct{ commandBook }

func (*floodBook) Attach(device string, deliver func(*commands.Command) bool) func() {
	args := []byte(`"` + strings.Repeat("x", 16<<10) + `"`)
	for deliver(&commands.Command{ID: "c", Device: device, Name: "x", Args: args, Expires: time.Now().Add(time.Minute)}) {
	}
	return func() {}
}
