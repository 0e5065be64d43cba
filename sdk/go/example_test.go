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
