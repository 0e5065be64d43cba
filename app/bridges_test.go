package app

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	paho3 "github.com/eclipse/paho.mqtt.golang"

	"weir/bridge"
	"weir/config"
	"weir/kafka"
)

// foreign is a program beside Weir on the same cluster.
type foreign struct {
	t        *testing.T
	client   *kafka.Client
	producer *kafka.Producer
}

func (r *running) foreign(t *testing.T) *foreign {
	t.Helper()
	client, err := kafka.New(r.kafkaOptions())
	must(t, err)
	t.Cleanup(client.Close)
	producer, err := client.NewProducer(t.Context(), kafka.ProducerOptions{})
	must(t, err)
	t.Cleanup(func() { _ = producer.Close() })
	return &foreign{t, client, producer}
}

func (f *foreign) topic(name string) {
	f.t.Helper()
	must(f.t, f.client.EnsureTopics(f.t.Context(), []kafka.TopicSpec{{Name: name, Partitions: 1}}))
}

func (f *foreign) put(topic string, values ...string) {
	f.t.Helper()
	for _, v := range values {
		_, err := f.producer.ProduceSync(f.t.Context(), topic, 0, []kafka.Record{{Value: []byte(v)}})
		must(f.t, err)
	}
}

// bridged is a configuration with a file of bridges.
func bridged(t *testing.T, text string) config.Config {
	t.Helper()
	c := memory()
	c.Bridges.File = filepath.Join(t.TempDir(), "bridges.yaml")
	c.Bridges.LookAgain = 100 * time.Millisecond
	replaceFile(t, c.Bridges.File, text)
	return c
}

func (r *running) bridgesState() (out bridgesAnswer) {
	r.t.Helper()
	status, body := r.get("/v1/bridges", "")
	if status != http.StatusOK {
		r.t.Fatalf("bridges: %d %s", status, body)
	}
	must(r.t, json.Unmarshal(body, &out))
	return out
}

const ordersBridge = `
bridges:
  - name: maintenance
    topic: erp.orders
    to: {room: "plant1/ops"}
    type: order
`

// lossy stores what it is given, and then lets the first answers be lost: what a crash between writing and committing is
// to who comes after it.
type lossy struct {
	bridge.Producer
	mu   sync.Mutex
	left int
}

func (l *lossy) Produce(ctx context.Context, topic string, partition int, recs []kafka.Record, done func(int64, error)) error {
	return l.Producer.Produce(ctx, topic, partition, recs, func(base int64, err error) {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.left > 0 {
			l.left--
			err = kafka.ErrInDoubt
		}
		done(base, err)
	})
}

func TestARecordIsToldInTheRoomOnceThoughItsBridgeDiesBeforeItCommits(t *testing.T) {
	c := memory()
	c.Roles = []string{config.RoleIngest, config.RolePipeline, config.RolePush}
	r := start(t, c)
	f := r.foreign(t)
	f.topic("erp.orders")
	s := r.dialFrom("v1/live", "")
	must(t, s.conn.WriteString(`{"type":"join","payload":{"room":"plant1/ops"}}`))
	s.await(t, "joined")
	plan, err := bridge.Parse([]byte(ordersBridge))
	must(t, err)
	dying := &lossy{Producer: f.producer, left: 2}
	server, err := bridge.New(bridge.Options{Config: bridge.DefaultConfig(), Client: f.client, Producer: dying, Partitions: config.DefaultPartitions})
	must(t, err)
	server.Apply(plan)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	defer func() { cancel(); must(t, <-ended) }()
	f.put("erp.orders", `{"n":1}`, `{"n":2}`, `{"n":3}`)
	for n := 1; n <= 3; n++ {
		if m := s.await(t, "message"); string(m.Payload.Payload) != fmt.Sprintf(`{"n":%d}`, n) || m.Payload.From.User != "_bridges/maintenance" {
			t.Fatalf("message %d is %s of %s", n, m.Payload.Payload, m.Payload.From.User)
		}
	}
	r.eventually("all is committed", func() bool {
		all, err := f.client.Committed(t.Context(), bridge.GroupPrefix+"maintenance", "erp.orders", 1)
		return err == nil && all[0] == 3
	})
	// What was carried again came before this, and nobody was told.
	if status, text := r.publish(`{"target":{"room":"plant1/ops"},"type":"chat","id":"last"}`); status != http.StatusOK {
		t.Fatal(text)
	}
	if m := s.await(t, "message"); m.Payload.ID != "last" {
		t.Errorf("told again: %+v", m.Payload)
	}
	if repeated := r.metric("weir_rooms_messages_repeated_total"); repeated == "0" {
		t.Error("nothing was carried again: the test tests nothing")
	}
}

const jobsBridge = `
bridges:
  - name: jobs
    topic: mes.jobs
    to: {device: "plant1/{{value.machine}}"}
    command: start
    args: '{program: value.program}'
    id: "{{value.job}}"
  - name: lab
    topic: lab.results
    to: {series: "plant1/{{value.tank}}/ph"}
    reading: value.ph
`

func TestCommandsOfABridgeGoDownWebSocketAndMQTTAndReadingsIntoSeries(t *testing.T) {
	r := start(t, bridged(t, jobsBridge))
	f := r.foreign(t)
	f.topic("mes.jobs")
	f.topic("lab.results")

	ws := r.dial("v1/ingest?device=plant1/press7")
	const mqttDevice = "plant1/press8"
	mqtt := paho3.NewClient(paho3.NewClientOptions().AddBroker("ws" + strings.TrimPrefix(r.URL(), "http") + "mqtt").SetClientID("press8").SetAutoReconnect(false))
	if token := mqtt.Connect(); !token.WaitTimeout(patience) || token.Error() != nil {
		t.Fatalf("connect: %v", token.Error())
	}
	defer mqtt.Disconnect(100)
	got := make(chan string, 10)
	token := mqtt.Subscribe(mqttDevice+"/_commands", 1, func(c paho3.Client, m paho3.Message) {
		got <- string(m.Payload())
		c.Publish(m.Topic()+"/j2/result", 1, false, `{"ok":false,"error":"jammed"}`)
	})
	if !token.WaitTimeout(patience) || token.Error() != nil {
		t.Fatalf("subscribe: %v", token.Error())
	}

	f.put("mes.jobs", `{"machine":"press7","job":"j1","program":7}`, `{"machine":"press8","job":"j2","program":8}`)
	var down struct {
		Type    string
		Payload struct {
			ID, Name string
			Args     struct{ Program int }
			Expires  string `json:"expires_at"`
		}
	}
	for down.Type != "command" {
		must(t, json.Unmarshal(ws.next(t), &down))
	}
	if p := down.Payload; p.ID != "j1" || p.Name != "start" || p.Args.Program != 7 || p.Expires == "" {
		t.Errorf("%+v", p)
	}
	ws.send(t, []byte(`{"type":"command_result","payload":{"id":"j1","ok":true,"result":"started"}}`))
	if text := <-got; !strings.Contains(text, `"id":"j2"`) || !strings.Contains(text, `"program":8`) {
		t.Errorf("over MQTT comes %s", text)
	}
	for device, want := range map[string]string{"plant1/press7?id=j1": `"status":"done"`, mqttDevice + "?id=j2": `"error":"jammed"`} {
		r.eventually("the result is there: "+device, func() bool {
			_, body := r.get("/v1/commands/"+device, "")
			return strings.Contains(string(body), want) && strings.Contains(string(body), `"created_by":"_bridges/jobs"`)
		})
	}

	d := r.dashboard("plant1/t1/ph")
	f.put("lab.results", `{"tank":"t1","ph":7.25}`)
	for d.count("plant1/t1/ph") < 1 {
		d.step()
	}
	if u := d.total["plant1/t1/ph"]; u.Last != 7.25 {
		t.Errorf("%+v", u)
	}
}

func TestAFileOfBridgesIsFollowed(t *testing.T) {
	c := bridged(t, ordersBridge)
	r := start(t, c)
	f := r.foreign(t)
	f.topic("erp.orders")
	s := r.dialFrom("v1/live", "")
	must(t, s.conn.WriteString(`{"type":"join","payload":{"room":"plant1/ops"}}`))
	s.await(t, "joined")
	f.put("erp.orders", `1`)
	if m := s.await(t, "message"); m.Payload.Type != "order" {
		t.Fatalf("%+v", m.Payload)
	}
	replaceFile(t, c.Bridges.File, ordersBridge+"    colour: red\n")
	r.eventually("the fault is told", func() bool {
		out := r.bridgesState()
		return len(out.Faults) == 1 && strings.Contains(out.Faults[0], "bridges[0].colour (line 7)") && !out.OK && len(out.Bridges) == 1
	})
	if ok := r.metric("weir_bridges_reload_ok"); ok != "0" {
		t.Errorf("weir_bridges_reload_ok is %s", ok)
	}
	f.put("erp.orders", `2`)
	if m := s.await(t, "message"); m.Payload.Type != "order" {
		t.Fatalf("with a bad file: %+v", m.Payload)
	}
	replaceFile(t, c.Bridges.File, strings.Replace(ordersBridge, "type: order", "type: changed", 1))
	r.eventually("it is good again", func() bool { return r.bridgesState().OK })
	f.put("erp.orders", `3`)
	if m := s.await(t, "message"); m.Payload.Type != "changed" {
		t.Fatalf("with another file: %+v", m.Payload)
	}
	r.eventually("what it does is told", func() bool {
		b := r.bridgesState().Bridges[0]
		return b.Records["sent"] == 3 && len(b.Partitions) == 1 && b.Partitions[0].Next == 3 && b.Partitions[0].Lag == 0 && b.Group == "weir-bridge-maintenance"
	})
}

func TestABadFileOfBridgesKeepsTheServerFromStarting(t *testing.T) {
	c := bridged(t, "bridges: [{name: a, topic: weir.messages, to: {room: plant1/ops}, type: x}]\n")
	_, err := New(Options{Config: c})
	if err == nil || !strings.Contains(err.Error(), "bridges[0].topic (line 1): weir.messages is Weir's own") {
		t.Errorf("%v", err)
	}
	must(t, os.Remove(c.Bridges.File))
	if _, err := New(Options{Config: c}); err == nil || !strings.Contains(err.Error(), "bridges.file: ") {
		t.Errorf("a file that is not there: %v", err)
	}
}

var yamlBlock = regexp.MustCompile("(?ms)^```yaml\n(.*?)^```$")

func TestThePageOfBridgesWorks(t *testing.T) {
	page, err := os.ReadFile("../docs/bridges.md")
	must(t, err)
	r := start(t, bridged(t, string(yamlBlock.FindSubmatch(page)[1])))
	f := r.foreign(t)
	for _, topic := range []string{"erp.orders", "mes.jobs", "lab.results"} {
		f.topic(topic)
	}
	s := r.dialFrom("v1/live", "")
	must(t, s.conn.WriteString(`{"type":"join","payload":{"room":"plant1/press7"}}`))
	s.await(t, "joined")
	device := r.dial("v1/ingest?device=plant1/press7")
	f.put("erp.orders", `{"id":"o-1","site":"plant1","line":"Press7","kind":"repair","title":"Oil leak","priority":9}`)
	f.put("mes.jobs", `{"machine":"press7","program":7,"pieces":100}`)
	f.put("lab.results", `{"tank":"t1","ph":7.25}`)
	if m := s.await(t, "message"); m.Payload.ID != "o-1" || string(m.Payload.Payload) != `{"due":"today","text":"Oil leak","urgent":true}` {
		t.Errorf("%+v", m.Payload)
	}
	for text := device.next(t); !strings.Contains(string(text), `"args":{"pieces":100,"program":7}`); text = device.next(t) {
	}
	r.eventually("the reading is there", func() bool { return len(r.snapshot("plant1/t1/ph").Rows) == 1 })
}
