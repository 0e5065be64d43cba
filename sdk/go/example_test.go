package device_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/lxzan/gws"

	"weir/app"
	"weir/config"
	device "weir/sdk/go"
	"weir/wire"
)

func Example() {
	server := exampleServer()
	defer server.Close()

	client, err := device.New(device.Options{
		URL:    "ws" + strings.TrimPrefix(server.URL, "http") + "/v1/ingest",
		Device: "plant1/line3/press7",
		Token:  "weir_…", // an API key
		OnRejected: func(r device.Rejection) {
			fmt.Println("refused:", r.Code, r.Path)
		},
	})
	if err != nil {
		log.Print(err)
		return
	}
	for i := range 3 {
		if err := client.Publish("temperature", 21.5+float64(i), time.Now()); err != nil {
			log.Print(err) // the buffer is full, or the reading is none
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := client.Close(ctx); err != nil {
		log.Print(err) // says what is left
	}
	fmt.Println("stored:", client.Stats().Accepted)
	// Output: stored: 3
}

// ExampleLive follows all series of a plant and prints what is new, over lost connections too.
func ExampleLive() {
	server := exampleLiveServer()
	defer server.Close()

	live, err := device.NewLive(device.LiveOptions{
		URL:   "ws" + strings.TrimPrefix(server.URL, "http") + "/v1/live",
		Token: "weir_…", // an API key
	})
	if err != nil {
		log.Print(err)
		return
	}
	defer live.Close()
	sub, err := live.Subscribe(device.SubscribeOptions{
		Patterns: []string{"plant1/#"},
		OnAlert:  func(a device.Alert) { fmt.Println(a.Severity, a.Phase, a.Series, a.Summary) },
		OnResync: func(reason string) { fmt.Println("readings between are summed up in nothing:", reason) },
	})
	if err != nil {
		log.Print(err)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	highest, readings := 0.0, uint64(0)
	for u := range sub.Updates(ctx) {
		// However late this loop comes round: rows that waited were merged, so no spike is missed.
		highest, readings = max(highest, u.Max), readings+u.N
		if u.Last == 95 {
			break // or go on for good
		}
	}
	fmt.Println(readings, "readings up to", highest)
	if err := sub.Err(); err != nil {
		log.Print(err) // the server refused, or forbade to come back
	}
	// Output:
	// critical firing plant1/press7/temperature above 90
	// 4 readings up to 97
}

// ExampleSubscription_Next keeps the worst ten series, with what is known of them, for a display.
func ExampleSubscription_Next() {
	server := exampleLiveServer()
	defer server.Close()
	live, err := device.NewLive(device.LiveOptions{URL: "ws" + strings.TrimPrefix(server.URL, "http") + "/v1/live"})
	if err != nil {
		log.Print(err)
		return
	}
	defer live.Close()
	sub, err := live.Subscribe(device.SubscribeOptions{Patterns: []string{"plant1/#"}, Order: "worst", Limit: 10, MaxHz: 5})
	if err != nil {
		log.Print(err)
		return
	}
	shown := make(map[string]device.Update)
	for len(shown) == 0 { // or for good
		c, err := sub.Next(context.Background())
		if err != nil {
			log.Print(err)
			return
		}
		if c.Reset {
			clear(shown) // what follows is all there is
		}
		for _, u := range append(c.Rows, c.Back...) {
			shown[u.Series] = u
		}
		for _, series := range c.Left {
			delete(shown, series)
		}
	}
	fmt.Println(len(shown), "shown")
	// Output: 1 shown
}

// ExampleRoom talks in a room.
func ExampleRoom() {
	url, stop := exampleWeir()
	defer stop()
	live, err := device.NewLive(device.LiveOptions{URL: url})
	if err != nil {
		log.Print(err)
		return
	}
	defer live.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	room, err := live.Join(ctx, "plant1/ops", device.JoinOptions{Last: 20})
	if err != nil {
		log.Print(err) // such as forbidden, or banned
		return
	}
	version, err := room.Send(ctx, "chat", map[string]string{"text": "Press 7 is hot."})
	if err != nil {
		log.Print(err)
		return
	}
	for {
		e, err := room.Next(ctx)
		switch {
		case err != nil:
			log.Print(err) // kicked, or ctx has ended
			return
		case e.Missed:
			fmt.Println("messages are missing here")
		case e.Presence != nil:
			fmt.Println(e.Presence.User, e.Presence.Event)
		case e.Message != nil:
			fmt.Println(e.Message.Type, string(e.Message.Payload))
			if e.Message.Version == version {
				return // one reads what one writes
			}
		}
	}
	// Output: chat {"text":"Press 7 is hot."}
}

// ExampleLive_Send sends to a user, who reads it now or when next there.
func ExampleLive_Send() {
	url, stop := exampleWeir()
	defer stop()
	inbox := make(chan device.Message, 16)
	live, err := device.NewLive(device.LiveOptions{URL: url, OnMessage: func(m device.Message) { inbox <- m }})
	if err != nil {
		log.Print(err)
		return
	}
	defer live.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_, err = live.Send(ctx, device.Outgoing{
		Target: device.Target{User: "_users/anonymous"}, // on a server that asks who one is: plant1/_users/alice
		Type:   "mail", Payload: "The shift begins at six.", TTL: time.Hour,
	})
	if err != nil {
		log.Print(err)
		return
	}
	m := <-inbox
	fmt.Println(m.Type, string(m.Payload))
	live.Ack(&m) // or it comes again with the next Live
	// Output: mail "The shift begins at six."
}

// exampleWeir is a server in this process, open to everybody.
func exampleWeir() (url string, stop func()) {
	c := config.Default()
	c.Listen, c.InsecureOpen = "127.0.0.1:0", true
	server, err := app.New(app.Options{Config: c})
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx) }()
	return "ws" + strings.TrimPrefix(server.URL(), "http") + "v1/live", func() {
		cancel()
		if err := <-done; err != nil {
			log.Print(err)
		}
	}
}

// exampleLiveServer says the same to everybody.
func exampleLiveServer() *httptest.Server {
	upgrader := gws.NewUpgrader(new(news), &gws.ServerOption{SubProtocols: []string{wire.LiveProtocol}})
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if socket, err := upgrader.Upgrade(w, r); err == nil {
			_ = socket.WriteMessage(gws.OpcodeText, (&wire.Welcome{Protocol: wire.LiveProtocol, HeartbeatMS: 15000}).Append(nil))
			socket.ReadLoop()
		}
	}))
}

type news struct{ gws.BuiltinEventHandler }

func (*news) OnMessage(socket *gws.Conn, message *gws.Message) {
	defer message.Close()
	m, err := wire.DecodeClientMessage(message.Bytes())
	if err != nil || m.Type != wire.TypeSubscribe {
		return
	}
	const series = "plant1/press7/temperature"
	row := func(u device.Update) []wire.Row { return []wire.Row{{Update: &u}} }
	for _, m := range []wire.ServerMessage{
		&wire.Subscribed{
			ID: m.Subscribe.ID, View: 1, Dictionary: []wire.Entry{{Series: series}},
			Rows: row(device.Update{Since: -1, Version: 1, N: 1, Last: 21.5, Max: 21.5}),
		},
		&wire.AlertMsg{Alert: device.Alert{ID: "a1", Series: series, Severity: "critical", Phase: "firing", Version: 4, Summary: "above 90"}},
		&wire.Updates{View: 1, Rows: row(device.Update{Since: 1, Version: 4, N: 3, Last: 95, Max: 97})},
	} {
		_ = socket.WriteMessage(gws.OpcodeText, m.Append(nil))
	}
}

// exampleServer takes everything.
func exampleServer() *httptest.Server {
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if socket, err := gws.NewUpgrader(new(content), nil).Upgrade(w, r); err == nil {
			socket.ReadLoop()
		}
	}))
}

type content struct {
	gws.BuiltinEventHandler
	frames uint64
}

func (c *content) OnMessage(socket *gws.Conn, message *gws.Message) {
	defer message.Close()
	c.frames++
	frame, err := wire.NewDecoder(wire.DecoderOptions{}).Decode(message.Bytes())
	if err != nil {
		log.Print(err)
		return
	}
	receipt := wire.Receipt{Frame: c.frames, Accepted: frame.Total, Credit: 8}
	_ = socket.WriteMessage(gws.OpcodeText, receipt.Append(nil))
}
