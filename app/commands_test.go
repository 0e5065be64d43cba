package app

import (
	"io"
	"net/http"
	"strings"
	"testing"

	paho3 "github.com/eclipse/paho.mqtt.golang"
)

func TestACommandGoesToAnMQTTDeviceAndItsResultComesBack(t *testing.T) {
	r := start(t, memory())
	const device = "plant1/line3/press7"
	c := paho3.NewClient(paho3.NewClientOptions().AddBroker("ws" + strings.TrimPrefix(r.URL(), "http") + "mqtt").SetClientID("press7").SetAutoReconnect(false))
	if token := c.Connect(); !token.WaitTimeout(patience) || token.Error() != nil {
		t.Fatalf("connect: %v", token.Error())
	}
	defer c.Disconnect(100)
	if token := c.Publish(device+"/temperature", 1, false, "21.5"); !token.WaitTimeout(patience) || token.Error() != nil {
		t.Fatalf("publish: %v", token.Error())
	}
	r.eventually("the reading is pushed", func() bool { return len(r.snapshot("plant1/%23").Rows) == 1 })
	token := c.Subscribe(device+"/_commands", 1, func(c paho3.Client, m paho3.Message) {
		id := strings.Split(string(m.Payload()), `"`)[3]
		c.Publish(m.Topic()+"/"+id+"/result", 1, false, `{"ok":true,"result":"done"}`)
	})
	if !token.WaitTimeout(patience) || token.Error() != nil {
		t.Fatalf("subscribe: %v", token.Error())
	}
	url := strings.TrimSuffix(r.URL(), "/") + "/v1/commands/" + device + "?wait=20s"
	res, err := http.Post(url, "application/json", strings.NewReader(`{"name":"restart"}`))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK || !strings.Contains(string(body), `"status":"done"`) || !strings.Contains(string(body), `"result":"done"`) {
		t.Errorf("%d %s %v", res.StatusCode, body, err)
	}
}
